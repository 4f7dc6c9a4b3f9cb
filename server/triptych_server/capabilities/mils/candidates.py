"""Texts under search."""

from dataclasses import dataclass

from triptych_server.capabilities.vectors import Vector


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """A text that the search begins with; `vector`, `[D]` float32 of unit length, where it is known
    already."""

    text: str
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A text that was scored, in which step (0 for seeds); `matching_score` is of finalists
    alone."""

    text: str
    score: float
    step: int
    matching_score: float | None = None
