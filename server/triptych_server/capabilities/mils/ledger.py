"""What a search took so far."""

from triptych_server.capabilities.mils.events import Spending
from triptych_server.capabilities.mils.scorer import ScoringCost
from triptych_server.capabilities.timing import StageTimes


class Ledger:
    """Adds up costs and times: `spending` and `times` of the whole, `step_times` of one step."""

    def __init__(self) -> None:
        self.spending = Spending()
        self.times = StageTimes()
        self.step_times = StageTimes()

    def open_step(self) -> None:
        """What comes from now on belongs to another step."""
        self.step_times = StageTimes()

    def enter(self, spending: Spending, times: StageTimes | None = None) -> None:
        self.spending = self.spending.then(spending)
        if times is not None:
            self.times = self.times.then(times)
            self.step_times = self.step_times.then(times)

    def enter_scoring(self, cost: ScoringCost) -> None:
        spending = Spending(
            encoded_texts=cost.encoded_texts,
            known_texts=cost.known_texts,
            matched_pairs=cost.matched_pairs,
        )
        self.enter(spending, cost.times)
