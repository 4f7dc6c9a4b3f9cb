"""Texts under search."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """A text that the search begins with; `vector`, `[D]` float32 of unit length, where it is known
    already."""

    text: str
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A text that was scored, in which step (0 for seeds). `vector` as the scorer gave it, and
    `matching_score` of finalists alone."""

    text: str
    score: float
    step: int
    vector: Vector | None = None
    matching_score: float | None = None
