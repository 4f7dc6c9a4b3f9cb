"""The keys and values of a batch's rows, in buffers that the network reads and writes in place."""

import mmap
from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.spec import FolderSpec

Buffer = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int32]

# Prompts of up to so many tokens together are computed in buffers that are kept for the next.
SCRATCH_TOKENS = 512
# Tokens of memory that rows which have gone may keep, beyond as many as all rows hold.
_IDLE_TOKENS = 512


class Cache:
    """A key and a value buffer a layer: `[rows, key-value heads, tokens, head size]` float32.

    There is room for more rows and tokens than are held; what lies beyond is undefined, and takes
    memory only once it was written, so that short rows beside a long one stay small. In all, that
    is no more than twice what the rows hold, and a thousand tokens.
    """

    def __init__(self, spec: FolderSpec) -> None:
        self._count = 2 * spec.layers
        self._heads, self._size = spec.key_value_heads, spec.head_size
        self._most_tokens = spec.context_length
        self.clear()

    def clear(self) -> None:
        """Free all memory."""
        self._rows = self._tokens = 0
        self._buffers: list[Buffer] = []
        self._scratch: list[Buffer] = []
        self._written = np.zeros(0, np.int32)  # tokens of each row that have memory

    def fit(self, rows: int, tokens: int, lengths: Lengths) -> None:
        """Make room for `rows` of `tokens`, keeping the first rows, which hold `lengths`.

        Room grows to the next power of two, and shrinks when three quarters of it are too much.
        """
        held = len(lengths)
        self._written[:held] = np.maximum(self._written[:held], lengths)
        wanted_rows, wanted_tokens = _power(rows), min(_power(tokens), self._most_tokens)
        if wanted_rows > self._rows or wanted_tokens > self._tokens:
            self._move_to(max(wanted_rows, self._rows), max(wanted_tokens, self._tokens), lengths)
        elif (
            4 * wanted_rows * wanted_tokens <= self._rows * self._tokens
            or self._written.sum() > 2 * lengths.sum() + _IDLE_TOKENS
        ):
            self._move_to(wanted_rows, wanted_tokens, lengths)

    def rows(self, count: int) -> list[Buffer]:
        """Contiguous views of the first rows: key and value of each layer in turn."""
        return [buffer[:count] for buffer in self._buffers]

    def prompts(self, count: int, length: int) -> list[Buffer]:
        """Undefined buffers like `rows`, no longer than prompts are; the next call reuses them."""
        token = self._heads * self._size
        shape, numbers = (count, self._heads, length, self._size), count * length * token
        if count * length > SCRATCH_TOKENS:
            return [np.empty(shape, np.float32) for _ in range(self._count)]
        if not self._scratch:
            kept = SCRATCH_TOKENS * token
            self._scratch = [np.empty(kept, np.float32) for _ in range(self._count)]
        return [buffer[:numbers].reshape(shape) for buffer in self._scratch]

    def put(self, rows: Sequence[int], prompts: Sequence[Buffer]) -> None:
        """Store `prompts` as the beginnings of these rows."""
        length = prompts[0].shape[2]
        for buffer, prompt in zip(self._buffers, prompts, strict=True):
            buffer[rows, :, :length] = prompt
        self._written[rows] = np.maximum(self._written[rows], length)

    def move(self, sources: Sequence[int], targets: Sequence[int], longest: int) -> None:
        """Copy rows onto others at once, `longest` tokens of each."""
        for buffer in self._buffers:
            buffer[targets, :, :longest] = buffer[sources, :, :longest]
        self._written[targets] = np.maximum(self._written[targets], longest)

    def _move_to(self, rows: int, tokens: int, lengths: Lengths) -> None:
        """Take new buffers, and along what the first rows hold."""
        old, self._buffers = self._buffers, []
        for index in range(self._count):
            buffer = _reserve((rows, self._heads, tokens, self._size))
            for row, length in enumerate(lengths):
                buffer[row, :, :length] = old[index][row, :, :length]
            if old:
                old[index] = buffer  # frees the old one before the next is made
            self._buffers.append(buffer)
        self._rows, self._tokens = rows, tokens
        self._written = np.zeros(rows, np.int32)
        self._written[: len(lengths)] = lengths


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
