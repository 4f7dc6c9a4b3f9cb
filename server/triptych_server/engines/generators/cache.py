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
# Memory that rows which have gone may keep, beyond as much as all rows hold.
IDLE_BYTES = 32 * 2**20
# Room may be so many times what is wanted: it is addresses alone.
_SPARE_ROOM = 16


class Cache:
    """A key and a value buffer a layer: `[rows, key-value heads, tokens, head size]` float32.

    There is room for more rows and tokens than are held; what lies beyond is undefined, and takes
    memory only once it was written, so that short rows beside a long one stay small. In all, that
    is no more than twice what the rows hold, `IDLE_BYTES` and the longest prompt.
    """

    def __init__(self, spec: FolderSpec) -> None:
        self._count = 2 * spec.layers
        self._heads, self._size = spec.key_value_heads, spec.head_size
        self._most_tokens = spec.context_length
        self._idle_tokens = IDLE_BYTES // (self._count * self._heads * self._size * 4)
        self.clear()

    def clear(self) -> None:
        """Free all memory."""
        self._rows = self._tokens = 0
        self._buffers: list[Buffer] = []
        self._pages: list[mmap.mmap] = []  # of the buffers, where the system takes them back
        self._scratch: list[Buffer] = []
        self._written = np.zeros(0, np.int32)  # tokens of each row that have memory

    def fit(self, rows: int, tokens: int, lengths: Lengths) -> None:
        """Make room for `rows` of `tokens`, keeping the first rows, which hold `lengths`.

        Room is a power of two, and grows or shrinks seldom. What lies beyond is undefined again.
        """
        held = len(lengths)
        self._written[:held] = np.maximum(self._written[:held], lengths)
        wanted = _power(rows), min(_power(tokens), self._most_tokens)
        room = max(wanted[0], self._rows), max(wanted[1], self._tokens)
        if prod(room) >= _SPARE_ROOM * prod(wanted):
            room = wanted
        if room != (self._rows, self._tokens):
            self._move_to(*room, lengths)
        if self._wastes(lengths):
            self._free_beyond(held)
        if self._wastes(lengths):
            self._move_to(*wanted, lengths)

    def rest(self) -> None:
        """Hold no rows, and no more memory than rows that have gone may keep."""
        if self._written.sum() > self._idle_tokens:
            self.clear()

    def rows(self, count: int) -> list[Buffer]:
        """Contiguous views of the first rows: key and value of each layer in turn."""
        return [buffer[:count] for buffer in self._buffers]

    def prompts(self, shapes: Sequence[tuple[int, int]]) -> list[list[Buffer]]:
        """Undefined buffers like `rows` for so many prompts of such a length, no longer than these
        are; the next call reuses them."""
        token = self._heads * self._size
        if not self._scratch:
            self._scratch = [
                np.empty(SCRATCH_TOKENS * token, np.float32) for _ in range(self._count)
            ]
        found, used = [], 0
        for count, length in shapes:
            shape, end = (count, self._heads, length, self._size), used + count * length
            if end <= SCRATCH_TOKENS:
                numbers = slice(used * token, end * token)
                found.append([buffer[numbers].reshape(shape) for buffer in self._scratch])
                used = end
            else:
                found.append([np.empty(shape, np.float32) for _ in range(self._count)])
        return found

    def put(self, rows: Sequence[int], prompt: Sequence[Buffer]) -> None:
        """Begin all these rows with `prompt`: `[heads, L, head size]`, key and value of each layer
        in turn."""
        length = prompt[0].shape[1]
        for buffer, beginning in zip(self._buffers, prompt, strict=True):
            buffer[rows, :, :length] = beginning
        self._written[rows] = np.maximum(self._written[rows], length)

    def move(self, sources: Sequence[int], targets: Sequence[int], lengths: Lengths) -> None:
        """Copy rows onto others at once, `lengths` tokens of each."""
        if set(sources).isdisjoint(targets):
            moves = list(zip(sources, targets, lengths.tolist(), strict=True))
            for buffer in self._buffers:
                for source, target, length in moves:
                    buffer[target, :, :length] = buffer[source, :, :length]
        else:  # whatever is read must be read before it is overwritten
            longest = int(lengths.max())
            for buffer in self._buffers:
                buffer[targets, :, :longest] = buffer[sources, :, :longest]
            lengths = np.full_like(lengths, longest)
        self._written[targets] = np.maximum(self._written[targets], lengths)

    def _wastes(self, lengths: Lengths) -> bool:
        """Whether rows `lengths` long hold too little of what memory there is."""
        return bool(self._written.sum() > 2 * lengths.sum() + self._idle_tokens)

    def _free_beyond(self, row: int) -> None:
        """Give the memory from a row on back to the system, if it takes such."""
        for buffer, pages in zip(self._buffers, self._pages, strict=False):
            start = -(-row * buffer.strides[0] // mmap.PAGESIZE) * mmap.PAGESIZE
            if start < len(pages):
                pages.madvise(mmap.MADV_DONTNEED, start)
        if self._pages:
            self._written[row:] = 0

    def _move_to(self, rows: int, tokens: int, lengths: Lengths) -> None:
        """Take new buffers, and along what the first rows hold."""
        old, self._buffers, self._pages = self._buffers, [], []
        for index in range(self._count):
            buffer = self._reserve((rows, self._heads, tokens, self._size))
            for row, length in enumerate(lengths):
                buffer[row, :, :length] = old[index][row, :, :length]
            if old:
                old[index] = buffer  # frees the old one before the next is made
            self._buffers.append(buffer)
        self._rows, self._tokens = rows, tokens
        self._written = np.zeros(rows, np.int32)
        self._written[: len(lengths)] = lengths

    def _reserve(self, shape: tuple[int, ...]) -> Buffer:
        """An array in pages of its own, which the system provides one by one as they are
        written."""
        if not hasattr(mmap, "MADV_NOHUGEPAGE"):
            return np.empty(shape, np.float32)
        pages = mmap.mmap(-1, prod(shape) * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # A huge page would fill the room of many short rows at its first write.
        pages.madvise(mmap.MADV_NOHUGEPAGE)
        self._pages.append(pages)
        return np.frombuffer(pages, np.float32).reshape(shape)


def _power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()
