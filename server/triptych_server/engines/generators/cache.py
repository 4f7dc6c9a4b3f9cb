"""The keys and values of a batch's rows, in buffers that the network reads and writes in place."""

import mmap
from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.spec import GeneratorSpec

Buffer = npt.NDArray[np.float32]


class Cache:
    """A key and a value buffer a layer: `[rows, key-value heads, tokens, head size]` float32.

    There is room for more rows and tokens than are held; what lies beyond is undefined, and takes
    memory only once it was written, so that short rows beside a long one stay small.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        self._count = 2 * spec.layers
        self._heads, self._size = spec.key_value_heads, spec.head_size
        self._most_tokens = spec.context_length
        self.clear()

    def clear(self) -> None:
        """Free all memory."""
        self._rows = self._tokens = 0
        self._buffers: list[Buffer] = []
        self._scratch: list[Buffer] = []

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
            buffer = _reserve(shape)
            if old:
                buffer[:held, :, :longest] = old[index][:held, :, :longest]
                old[index] = buffer  # frees the old one before the next is made
            self._buffers.append(buffer)
        self._rows, self._tokens = wanted_rows, wanted_tokens

    def rows(self, count: int) -> list[Buffer]:
        """Contiguous views of the first rows: key and value of each layer in turn."""
        return [buffer[:count] for buffer in self._buffers]

    def prompts(self, count: int, length: int) -> list[Buffer]:
        """Undefined buffers like `rows`, no longer than prompts are; the next call reuses them."""
        shape = (count, self._heads, length, self._size)
        if not self._scratch or len(self._scratch[0]) < prod(shape):
            self._scratch = [np.empty(prod(shape), np.float32) for _ in range(self._count)]
        return [buffer[: prod(shape)].reshape(shape) for buffer in self._scratch]

    def put(self, rows: Sequence[int], prompts: Sequence[Buffer]) -> None:
        """Store `prompts` as the beginnings of these rows."""
        for buffer, prompt in zip(self._buffers, prompts, strict=True):
            buffer[rows, :, : prompt.shape[2]] = prompt

    def move(self, sources: Sequence[int], targets: Sequence[int], longest: int) -> None:
        """Copy rows onto others at once, `longest` tokens of each."""
        for buffer in self._buffers:
            buffer[targets, :, :longest] = buffer[sources, :, :longest]


def _power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()


def _reserve(shape: tuple[int, ...]) -> Buffer:
    """An array in pages of its own, which the system provides one by one as they are written."""
    if not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.empty(shape, np.float32)
    pages = mmap.mmap(-1, prod(shape) * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # A huge page would fill the room of many short rows at its first write.
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.float32).reshape(shape)
