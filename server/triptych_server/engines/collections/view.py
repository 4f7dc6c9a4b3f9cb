"""What a search sees of a collection's vectors: a segment and the tail that is not in it yet."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections.exact import Mask, Rows, Vectors
from triptych_server.engines.collections.reader import Seqs
from triptych_server.engines.collections.segment import Segment

Array: TypeAlias = npt.NDArray[Any]

_MIN_CAPACITY = 256


class Tail:
    """Rows that grow at the end. One thread appends; slices handed out before never change."""

    def __init__(self, dimension: int) -> None:
        self._vectors = np.empty((0, dimension), np.float32)
        self._seqs = np.empty(0, np.int64)
        self._count = 0

    @property
    def vectors(self) -> Vectors:
        """`[T, D]`"""
        return self._vectors[: self._count]

    @property
    def seqs(self) -> Seqs:
        """`[T]`, ascending"""
        return self._seqs[: self._count]

    def append(self, seqs: Seqs, vectors: Vectors) -> None:
        """Add rows with seqs above all that are there."""
        count = self._count + len(seqs)
        if count > len(self._seqs):
            capacity = max(count, 2 * len(self._seqs), _MIN_CAPACITY)
            self._vectors = _grown(self.vectors, capacity)
            self._seqs = _grown(self.seqs, capacity)
        self._vectors[self._count : count] = vectors
        self._seqs[self._count : count] = seqs
        self._count = count


@dataclass(frozen=True, slots=True)
class View:
    """One state of the vectors, never changed, so that readers need no lock.

    Rows are numbered from 0, the segment's B before the tail's T, in the order of their seqs.
    `live` `[B + T]` is False for rows that were deleted or replaced; `tick` is the database's.
    """

    tick: int
    segment: Segment | None
    tail_vectors: Vectors
    tail_seqs: Seqs
    live: Mask
    live_count: int

    @property
    def boundary(self) -> int:
        """B, the first row of the tail."""
        return len(self.segment.seqs) if self.segment else 0

    @property
    def dead_count(self) -> int:
        return len(self.live) - self.live_count

    def rows(self, seqs: Seqs) -> Rows:
        """The rows of those `seqs` that this view has."""
        tail = _positions(self.tail_seqs, seqs) + self.boundary
        if self.segment is None:
            return tail
        return np.concatenate([_positions(self.segment.seqs, seqs), tail])

    def seqs(self, rows: Rows) -> Seqs:
        """The seqs of rows, in their order."""
        return self._taken(self.segment.seqs if self.segment else None, self.tail_seqs, rows)

    def vectors(self, rows: Rows) -> Vectors:
        """The vectors of rows, in their order."""
        return self._taken(self.segment.vectors if self.segment else None, self.tail_vectors, rows)

    def _taken(self, first: Array | None, second: Array, rows: Rows) -> Array:
        if first is None:
            return second[rows]
        taken = np.empty((len(rows), *second.shape[1:]), second.dtype)
        in_tail = rows >= self.boundary
        taken[in_tail] = second[rows[in_tail] - self.boundary]
        taken[~in_tail] = first[rows[~in_tail]]
        return taken


def make_view(tick: int, segment: Segment | None, tail: Tail, live: Mask) -> View:
    """The view of a segment and of what the tail holds now."""
    return View(tick, segment, tail.vectors, tail.seqs, live, int(np.count_nonzero(live)))


def _positions(among: Seqs, seqs: Seqs) -> Rows:
    """Positions in the ascending `among` of those `seqs` that are there."""
    if len(among) == 0:
        return np.empty(0, np.int64)
    positions = np.searchsorted(among, seqs)
    positions[positions == len(among)] = 0
    found: Rows = positions[among[positions] == seqs]
    return found


def _grown(array: Array, capacity: int) -> Array:
    grown = np.empty((capacity, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
