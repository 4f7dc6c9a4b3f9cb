"""What texts are to fit and not to fit, and what makes one score of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.concurrency import Patience, run_all
from triptych_server.capabilities.embedding import Embedded, Embedder
from triptych_server.capabilities.mils.scorer import ScoringCost, Vectors
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.timing import StageTimes
from triptych_server.capabilities.vectors import Vector, unit, unit_sum
from triptych_server.errors import InvalidArgument
from triptych_server.media.content import Content, Text

# `[N, T]` float: a row a text, a column a target.
Fits = npt.NDArray[np.floating[Any]]


class Aggregation(StrEnum):
    """How the fits of several targets become one: `MEAN` is what is true of most of them, `MIN`
    what is true of all."""

    MEAN = "mean"
    MIN = "min"


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One part of a target. A vector is `[D]` float32, finite and of any length but zero; a weight
    is finite and not 0."""

    source: Content | Vector
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """A weighted sum of at least one term, usually one picture."""

    terms: Sequence[Term]


@dataclass(frozen=True, slots=True)
class Goal:
    """The `targets` that texts are to fit, at least one, and the `negatives` that they are not."""

    targets: Sequence[Target]
    negatives: Sequence[Target] = ()
    aggregation: Aggregation = Aggregation.MEAN

    @property
    def named(self) -> Iterator[tuple[str, Target]]:
        """Targets, then negatives, each with the path of its field."""
        for position, target in enumerate(self.targets):
            yield f"targets[{position}]", target
        for position, target in enumerate(self.negatives):
            yield f"negatives[{position}]", target


def total(fits: Fits, misfits: Fits, aggregation: Aggregation) -> npt.NDArray[np.floating[Any]]:
    """The score `[N]` of each text: its fits `[N, T]` of targets made one, less the largest of its
    fits `[N, M]` of negatives if that is above 0."""
    together = fits.min(axis=1) if aggregation is Aggregation.MIN else fits.mean(axis=1)
    scores: npt.NDArray[np.floating[Any]] = together - misfits.max(axis=1, initial=0.0)
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """A goal in the space of a model: `targets` `[T, D]` and `negatives` `[M, D]`, float32 rows of
    unit length. `cost` is what making them took."""

    targets: Vectors
    negatives: Vectors
    aggregation: Aggregation
    cost: ScoringCost

    def work(self, vectors: Vectors) -> int:
        """Multiplications that `score` takes."""
        return int(vectors.size) * (len(self.targets) + len(self.negatives))

    def score(self, vectors: Vectors) -> npt.NDArray[np.floating[Any]]:
        """The scores `[N]` of texts by their vectors `[N, D]`, which are not copied."""
        fits, misfits = vectors @ self.targets.T, vectors @ self.negatives.T
        return total(fits, misfits, self.aggregation)


async def directions(
    embedder: Embedder, model: Model, goal: Goal, patience: Patience
) -> Directions:
    """Embed a goal with a model, all terms side by side.

    Raises `InvalidArgument`, about `targets[0].terms[1].content.image` and the like, for a picture
    that cannot be read, a vector of another dimension and a sum of nothing; else as the engine.
    """
    embedding = _TargetEmbedding(embedder, model, patience)
    rows = await run_all(embedding.embed(target, field) for field, target in goal.named)
    count = len(goal.targets)
    vectors = np.stack([row.vector for row in rows])
    texts = sum(isinstance(t.source, Text) for _, target in goal.named for t in target.terms)
    times = StageTimes.longest(row.times for row in rows)
    cost = ScoringCost(encoded_texts=texts, times=times)
    return Directions(vectors[:count], vectors[count:], goal.aggregation, cost)


class _TargetEmbedding:
    """Embeds the targets of one goal."""

    def __init__(self, embedder: Embedder, model: Model, patience: Patience) -> None:
        self._embedder = embedder
        self._model = model
        self._patience = patience

    async def embed(self, target: Target, field: str) -> Embedded:
        """The unit vector of a target."""
        parts = await run_all(
            self._term(term, f"{field}.terms[{position}]")
            for position, term in enumerate(target.terms)
        )
        weights = [term.weight for term in target.terms]
        vector = unit_sum([part.vector for part in parts], weights, f"{field}.terms")
        return Embedded(vector, False, StageTimes.longest(part.times for part in parts))

    async def _term(self, term: Term, field: str) -> Embedded:
        """The unit vector of one term."""
        source = term.source
        if isinstance(source, np.ndarray):
            return Embedded(self._unit(source, f"{field}.vector"), False, StageTimes())
        try:
            return await self._patience.admitted(lambda: self._embedder.embed(self._model, source))
        except InvalidArgument as error:
            raise error.within(f"{field}.content") from None

    def _unit(self, vector: Vector, field: str) -> Vector:
        owner = f"the model {self._model.name!r}"
        return unit(vector, field, dimension=self._model.dimension, owner=owner)
