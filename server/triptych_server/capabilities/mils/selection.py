"""Which scored texts the proposer is shown."""

from collections.abc import Sequence

import numpy as np

from triptych_server.capabilities.mils.candidates import Candidate


def best_of(ranked: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best, which come first in `ranked`, worst first."""
    return list(reversed(ranked[:count]))


def varied(ranked: Sequence[Candidate], count: int, random: np.random.Generator) -> list[Candidate]:
    """The best and some of those after it, which are in `ranked`, worst first: `count`, or all but
    one of fewer."""
    others = min(count, max(len(ranked) - 1, 1)) - 1
    if others < 1:
        return best_of(ranked, min(count, 1))
    places = 1 + random.choice(len(ranked) - 1, others, replace=False)
    return [*(ranked[place] for place in sorted(places, reverse=True)), ranked[0]]
