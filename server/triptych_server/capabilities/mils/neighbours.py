"""Texts that say the same as others, by their vectors."""

import numpy as np

from triptych_server.capabilities.mils.scorer import Vectors

BLOCK = 256  # new rows that are compared among each other at once
SLICE = 8_192  # held rows that a block is compared with at once: 8 MiB of cosines


class Neighbours:
    """Vectors that are held, to tell which others are near one of them: have a cosine above
    `cosine`. With a `cosine` of 1 none are, and none are held."""

    def __init__(self, cosine: float) -> None:
        self._cosine = cosine
        self._rows: Vectors = np.empty((0, 0), np.float32)  # the first `_count` are held
        self._count = 0

    def work(self, vectors: Vectors) -> int:
        """Multiplications that `admit` takes."""
        if self._cosine >= 1:
            return 0
        return int(vectors.size) * (self._count + min(len(vectors), BLOCK))

    def hold(self, vectors: Vectors) -> None:
        """Hold rows `[N, D]`, whatever they are near to."""
        if self._cosine >= 1 or not len(vectors):
            return
        count = self._count + len(vectors)
        if count > len(self._rows):
            grown = np.empty((max(count, 2 * len(self._rows)), vectors.shape[1]), np.float32)
            if self._count:
                grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : count] = vectors
        self._count = count

    def admit(self, vectors: Vectors) -> list[int]:
        """Hold those of the rows `[N, D]` that are near none, earlier rows included; their
        numbers."""
        if self._cosine >= 1:
            return list(range(len(vectors)))
        admitted: list[int] = []
        for first in range(0, len(vectors), BLOCK):
            block = vectors[first : first + BLOCK]
            chosen = self._far_apart(block)
            self.hold(block[chosen])
            admitted += [first + row for row in chosen]
        return admitted

    def _far_apart(self, block: Vectors) -> list[int]:
        """Rows that are near none held, nor each other; of two the earlier one."""
        near = self._near_held(block)
        alike = block @ block.T > self._cosine
        chosen: list[int] = []
        for row in range(len(block)):
            if not near[row]:
                chosen.append(row)
                near |= alike[row]
        return chosen

    def _near_held(self, block: Vectors) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        near = np.zeros(len(block), np.bool_)
        for first in range(0, self._count, SLICE):
            held = self._rows[first : min(first + SLICE, self._count)]
            near |= (held @ block.T).max(axis=0) > self._cosine
        return near
