"""The keys and values of a batch's rows, in buffers that the network reads and writes in place."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.spec import GeneratorSpec

Buffer = npt.NDArray[np.float32]


class Cache:
    """A key and a value buffer a layer: `[rows, key-value heads, tokens, head size]` float32.

    Both first axes have room for more than is held; what lies beyond is undefined. Room that was
    never written takes no memory on systems that map pages when they are touched.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        self._count = 2 * spec.layers
        self._heads, self._size = spec.key_value_heads, spec.head_size
        self._most_tokens = spec.context_length
        self.clear()

    def clear(self) -> None:
        """Free the buffers."""
        self._rows = self._tokens = 0
        self._buffers: list[Buffer] = []

    def fit(self, rows: int, tokens: int, held: int, longest: int) -> None:
        """Make room for `rows` of `tokens`, keeping the first `held` rows and `longest` tokens.

        Room grows to the next power of two, and shrinks when three quarters of it are too much.
        """
        wanted_rows, wanted_tokens = _power(rows), min(_power(tokens), self._most_tokens)
        small = wanted_rows > self._rows or wanted_tokens > self._tokens
        large = 4 * wanted_rows * wanted_tokens <= self._rows * self._tokens
        if not small and not large:
            return
        if small:
            wanted_rows = max(wanted_rows, self._rows)
            wanted_tokens = max(wanted_tokens, self._tokens)
        shape = (wanted_rows, self._heads, wanted_tokens, self._size)
        old, self._buffers = self._buffers, []
        for index in range(self._count):
            buffer = np.empty(shape, np.float32)
            if old:
                buffer[:held, :, :longest] = old[index][:held, :, :longest]
                old[index] = buffer  # frees the old one before the next is made
            self._buffers.append(buffer)
        self._rows, self._tokens = wanted_rows, wanted_tokens

    def rows(self, first: int, end: int) -> list[Buffer]:
        """Contiguous views of these rows: key and value of the first layer, of the second, ..."""
        return [buffer[first:end] for buffer in self._buffers]

    def move(self, sources: Sequence[int], targets: Sequence[int], longest: int) -> None:
        """Copy rows onto others at once, `longest` tokens of each."""
        for buffer in self._buffers:
            buffer[targets, :, :longest] = buffer[sources, :, :longest]


def _power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()
