"""Several scorers as one."""

from collections.abc import Iterable, Sequence

import numpy as np

from triptych_server.capabilities.concurrency import run_all
from triptych_server.capabilities.mils.scorer import (
    Embedded,
    Scorer,
    Scores,
    ScoringCost,
    Vectors,
)
from triptych_server.capabilities.timing import StageTimes


class Ensemble:
    """A `Scorer` whose score is the weighted sum of the scores of its parts, which run side by
    side. It embeds with the first part that does."""

    def __init__(self, parts: Sequence[tuple[Scorer, float]]) -> None:
        self._parts = parts
        self._embedding = next((scorer for scorer, _ in parts if scorer.embeds), None)

    @property
    def embeds(self) -> bool:
        return self._embedding is not None

    async def embed(self, texts: Sequence[str]) -> Embedded:
        if self._embedding is None:
            return Embedded(None, ScoringCost())
        return await self._embedding.embed(texts)

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        scored = await run_all(
            scorer.score(texts, vectors if scorer is self._embedding else None)
            for scorer, _ in self._parts
        )
        weights = np.array([[weight] for _, weight in self._parts])
        values = (weights * np.array([each.values for each in scored])).sum(axis=0)
        return Scores(values.tolist(), _beside(each.cost for each in scored))


def _beside(costs: Iterable[ScoringCost]) -> ScoringCost:
    """Of pieces of work side by side."""
    every = list(costs)
    return ScoringCost(
        sum(cost.encoded_texts for cost in every),
        sum(cost.known_texts for cost in every),
        sum(cost.matched_pairs for cost in every),
        StageTimes.longest(cost.times for cost in every),
    )
