"""Everything that was scored, in order."""

from bisect import insort
from collections.abc import Sequence

import numpy as np

from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.neighbours import Neighbours
from triptych_server.capabilities.mils.scorer import Vectors
from triptych_server.capabilities.mils.texts import distinct, normalised

TEXT_OPERATIONS = 1_000  # that a seed takes besides its vector: it is made comparable, and ordered


class Standing:
    """The scored texts of a search, those that take part in it best first; of equal scores the
    earlier one is the better.

    `ranked` has all of them, `examples` those of them that no better one says the same as.
    """

    def __init__(self, cosine: float) -> None:
        self.ranked: list[Candidate] = []
        self.examples: list[Candidate] = []
        self.neighbours = Neighbours(cosine)
        self._cosine = cosine
        self._known: set[str] = set()

    @property
    def best(self) -> Candidate | None:
        return self.ranked[0] if self.ranked else None

    def work(self, texts: Sequence[str], vectors: Vectors | None) -> int:
        """Operations that `begin` takes."""
        comparing = 0 if vectors is None else self.neighbours.work(vectors)
        return len(texts) * TEXT_OPERATIONS + comparing

    def begin(
        self, texts: Sequence[str], scores: Sequence[float], vectors: Vectors | None, count: int
    ) -> None:
        """Take seeds, `vectors` `[N, D]`. All are known from now on, the best `count` take part."""
        self._known.update(map(normalised, texts))
        if vectors is not None:
            self.neighbours.hold(vectors)
        order = np.argsort(-np.asarray(scores), kind="stable")[:count]
        self.ranked = [Candidate(texts[seed], scores[seed], 0) for seed in order]
        self.examples = list(self.ranked)
        if vectors is not None:
            apart = Neighbours(self._cosine).admit(vectors[order])
            self.examples = [self.ranked[place] for place in apart]

    def unknown(self, texts: Sequence[str]) -> list[str]:
        """Those that equal none that was scored, nor an earlier one, in their order."""
        first = distinct(texts, str)
        return [text for key, text in first.items() if key not in self._known]

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Take what was scored, and is near nothing that was."""
        for candidate in candidates:
            self._known.add(normalised(candidate.text))
            insort(self.ranked, candidate, key=_worse)
            insort(self.examples, candidate, key=_worse)


def _worse(candidate: Candidate) -> float:
    return -candidate.score
