"""Which scored texts the proposer is shown."""

from collections.abc import Sequence

import numpy as np

from triptych_server.capabilities.mils.candidates import Candidate


def best_of(ranked: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best, which come first in `ranked`, worst first."""
    return list(reversed(ranked[:count]))


def varied(ranked: Sequence[Candidate], count: int, random: np.random.Generator) -> list[Candidate]:
    """The best and some of those after it, worst first: a choice among twice as many as are shown,
    or all but one of fewer."""
    pool = ranked[: 2 * count]
    others = min(count, max(len(pool) - 1, 1)) - 1
    if others < 1:
        return best_of(pool, min(count, 1))
    places = 1 + random.choice(len(pool) - 1, others, replace=False)
    return [*(pool[place] for place in sorted(places, reverse=True)), pool[0]]
