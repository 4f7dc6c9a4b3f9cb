"""What every scorer of texts does, whatever it measures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.timing import StageTimes

# `[N, D]` float32, each row of unit length.
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoringCost:
    """What scoring took: texts that went through a text encoder, texts whose vectors were known,
    and pairs of a picture and a text that were compared."""

    encoded_texts: int = 0
    known_texts: int = 0
    matched_pairs: int = 0
    times: StageTimes = field(default_factory=StageTimes)

    def then(self, later: "ScoringCost") -> "ScoringCost":
        """Of one piece of work after another."""
        return ScoringCost(
            self.encoded_texts + later.encoded_texts,
            self.known_texts + later.known_texts,
            self.matched_pairs + later.matched_pairs,
            self.times.then(later.times),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """`vectors` has one row a text; None where the scorer embeds nothing."""

    vectors: Vectors | None
    cost: ScoringCost


@dataclass(frozen=True, slots=True)
class Scores:
    """`values` has one finite number a text, higher for a better fit."""

    values: Sequence[float]
    cost: ScoringCost


class Scorer(Protocol):
    """Measures how well texts fit one target: pictures today; video, sound or the quality of
    pictures made from the text have the same shape.

    Its target was prepared before. All methods raise as the engines that they use, and wait where
    these have no room.
    """

    @property
    def embeds(self) -> bool:
        """Whether it has vectors that tell how alike texts are."""
        ...

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """These vectors, where it has them."""
        ...

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        """Score texts; `vectors` are what `embed` gave for them, or stored ones of its space."""
        ...
