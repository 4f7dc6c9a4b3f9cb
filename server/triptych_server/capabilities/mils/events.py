"""What a search tells while it runs, and what it ends with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.timing import StageTimes


class Stop(StrEnum):
    """What ended a search; `DEADLINE` also where finalists were left uncompared for it."""

    STEPS = "steps"
    PATIENCE = "patience"
    EVALUATIONS = "evaluations"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Spending:
    """What a search took. `evaluations` are the candidates scored, seeds not counted; `duplicates`
    and `near_duplicates` those that were not scored. `ranked_seeds` are the captions among which
    seeds were chosen by vectors that were stored; no search itself does that."""

    evaluations: int = 0
    encoded_texts: int = 0
    known_texts: int = 0
    ranked_seeds: int = 0
    matched_pairs: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    unparsed: int = 0
    usage: Usage = field(default_factory=Usage)

    def then(self, later: "Spending") -> "Spending":
        """Of one piece of work after another."""
        return Spending(
            self.evaluations + later.evaluations,
            self.encoded_texts + later.encoded_texts,
            self.known_texts + later.known_texts,
            self.ranked_seeds + later.ranked_seeds,
            self.matched_pairs + later.matched_pairs,
            self.duplicates + later.duplicates,
            self.near_duplicates + later.near_duplicates,
            self.unparsed + later.unparsed,
            Usage.sum([self.usage, later.usage]),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What was scored in one step, best first; step 0 has the seeds that the search begins with.

    `best` is the best so far, None while there is none. `spending` is the whole so far, `times` are
    those of this step.
    """

    step: int
    best: Candidate | None
    candidates: Sequence[Candidate]
    spending: Spending
    times: StageTimes


@dataclass(frozen=True, slots=True)
class Result:
    """How a search ended: finalists in the order of `finalists`, then the others by their score.

    `best` is the best by score, None where nothing was scored. `steps` are the proposer's.
    `spending` and `times` are those of the whole search.
    """

    texts: Sequence[Candidate]
    stop: Stop
    steps: int
    best: Candidate | None
    spending: Spending
    times: StageTimes
