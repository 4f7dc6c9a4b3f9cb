"""Vectors of texts that are kept, the least recently used dropped first."""

import sys
from collections import OrderedDict

from triptych_server.capabilities.vectors import Vector

# Bytes of an entry beside its text and numbers: the array and the key, and their places in the
# table, which is up to twice as large as what it holds.
_ENTRY_BYTES = 512

# The space, the encoder and its version, and the text.
Key = tuple[str, str, str, str]


class VectorCache:
    """Holds at most `capacity_bytes`, with all that belongs to its entries."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._vectors: OrderedDict[Key, Vector] = OrderedDict()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        return self._held

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: Key) -> Vector | None:
        """The vector `[D]` of a key, which is now the most recently used."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: Key, vector: Vector) -> None:
        """Keep a vector, which must own its memory; one that alone is too large is not kept."""
        size = _size(key, vector)
        if size > self._capacity:
            return
        self._drop(key)
        self._vectors[key] = vector
        self._held += size
        while self._held > self._capacity:
            self._drop(next(iter(self._vectors)))

    def _drop(self, key: Key) -> None:
        vector = self._vectors.pop(key, None)
        if vector is not None:
            self._held -= _size(key, vector)


def _size(key: Key, vector: Vector) -> int:
    return _ENTRY_BYTES + sys.getsizeof(key[-1]) + vector.nbytes
