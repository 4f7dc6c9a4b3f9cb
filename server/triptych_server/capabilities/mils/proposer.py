"""What every proposer of texts does, whatever writes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.timing import StageTimes


@dataclass(frozen=True, slots=True)
class Proposals:
    """Texts that were understood, in the order in which they were asked for, equal ones included;
    and how many replies were not understood."""

    texts: Sequence[str]
    unparsed: int = 0
    usage: Usage = field(default_factory=Usage)
    times: StageTimes = field(default_factory=StageTimes)


class Proposer(Protocol):
    """Writes candidates, given scored ones."""

    @property
    def examples(self) -> int:
        """How many scored texts it is shown at most."""
        ...

    @property
    def greedy(self) -> bool:
        """Whether equal examples give equal texts, whatever the seed and the heat."""
        ...

    async def propose(
        self, examples: Sequence[Candidate], count: int, *, seed: int, heat: float
    ) -> Proposals:
        """Write `count` texts that should score higher than the examples, which come worst first
        and may be none.

        Equal calls with equal seeds give equal texts. `heat` is 1 or above: how much more varied
        than usual the texts should be. Waits where the generator has no room.
        """
        ...
