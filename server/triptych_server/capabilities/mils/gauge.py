"""A scorer's answers, checked and accounted for."""

from collections.abc import Sequence

import numpy as np

from triptych_server.capabilities.mils.ledger import Ledger
from triptych_server.capabilities.mils.scorer import Scorer, Vectors
from triptych_server.errors import Internal


class Gauge:
    """Measures texts by a scorer, and enters the costs in a ledger.

    Raises `Internal` for answers that no search can go by, and what the scorer raises.
    """

    def __init__(self, scorer: Scorer, ledger: Ledger) -> None:
        self._scorer = scorer
        self._ledger = ledger

    async def embed(self, texts: Sequence[str]) -> Vectors | None:
        """`[N, D]`; None from a scorer without vectors."""
        embedded = await self._scorer.embed(texts)
        self._ledger.enter_scoring(embedded.cost)
        if embedded.vectors is not None and len(embedded.vectors) != len(texts):
            raise _failed(f"gave {len(embedded.vectors)} vectors for {len(texts)} texts")
        return embedded.vectors

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> list[float]:
        """A finite number a text."""
        scores = await self._scorer.score(texts, vectors)
        self._ledger.enter_scoring(scores.cost)
        if len(scores.values) != len(texts):
            raise _failed(f"gave {len(scores.values)} scores for {len(texts)} texts")
        values = np.asarray(scores.values, np.float64)
        if not np.isfinite(values).all():
            raise _failed("gave scores that are not finite")
        finite: list[float] = values.tolist()
        return finite

    async def measure(self, texts: Sequence[str]) -> list[float]:
        """Embed and score."""
        return await self.score(texts, await self.embed(texts))


def _failed(what: str) -> Internal:
    return Internal(f"a scorer {what}", reason="SCORER_FAILED")
