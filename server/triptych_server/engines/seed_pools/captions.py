"""The captions of a pool, read from its file as they are wanted."""

import hashlib
import mmap
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, overload

CAPTION_CHARACTERS = 1_000
_LINE_BYTES = 4 * CAPTION_CHARACTERS + 1


class Captions(Sequence[str]):
    """The lines of a file, which is mapped into memory: a search takes few of them, and as strings
    those of a pool of millions would fill it.

    `sha256` is the file's. Raises `ValueError`, saying of which line, for anything but UTF-8 with
    lines of 1 to 1,000 characters that end by LF, and `OSError`.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._ends, self.sha256 = _scan(file)
            if not self._ends:
                raise ValueError("it is empty")
            self._lines = mmap.mmap(file.fileno(), self._ends[-1], access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[str]: ...
    def __getitem__(self, position: int | slice) -> str | Sequence[str]:
        places = range(len(self))[position]
        if isinstance(places, range):
            return [self._line(place) for place in places]
        return self._line(places)

    def _line(self, place: int) -> str:
        first = self._ends[place - 1] if place else 0
        return self._lines[first : self._ends[place] - 1].decode()


def _scan(file: BinaryIO) -> tuple["array[int]", str]:
    """Where each line ends, its LF included, and the digest of the file."""
    ends, end, sha256 = array("q"), 0, hashlib.sha256()
    while line := file.readline(_LINE_BYTES + 1):
        try:
            _check(line)
        except ValueError as error:
            raise ValueError(f"its line {len(ends) + 1} {error}") from None
        sha256.update(line)
        end += len(line)
        ends.append(end)
    return ends, sha256.hexdigest()


def _check(line: bytes) -> None:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        if len(line) <= _LINE_BYTES:  # else it may be cut within a character
            raise ValueError("is not UTF-8") from None
    if len(line) > _LINE_BYTES or len(text) > CAPTION_CHARACTERS + 1:
        raise ValueError(f"has more than {CAPTION_CHARACTERS:,} characters")
    if not text.endswith("\n"):
        raise ValueError("does not end by LF")
    if "\r" in text:
        raise ValueError("has a CR; lines end by LF alone")
    if not text.strip():
        raise ValueError("is blank")
