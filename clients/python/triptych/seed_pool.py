"""Seed pools: captions with their vectors, in a folder that a gateway reads.

pool.json      what the pool is: see `SeedPool`
captions.txt   UTF-8, a caption a line
vectors.npy    float32 [count, D], the unit vector of each caption
"""

import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triptych.folders import take_place_of
from triptych.vectors import FloatVector

MAX_CHARACTERS = 1_000  # of a caption
DESCRIPTION, CAPTIONS, VECTORS = "pool.json", "captions.txt", "vectors.npy"
_CHUNK_ROWS = 8_192
_CONTROL = ("Cc", "Cs")  # categories of characters that are no text


@dataclass(frozen=True, slots=True)
class SeedPool:
    """What a pool says of itself.

    Its vectors are those of `model` at that time, and searches that score in the same `space` may
    begin with it. `source` is where the captions are from, in words.
    """

    space: str
    model: str
    dimension: int
    count: int
    captions_sha256: str
    source: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Captions fit for a pool, and how many others there were.

    `duplicates` differ from an earlier one at most in case and white space, `excluded` so from one
    that was not wanted, and `refused` have control characters or more than 1,000 characters.
    """

    captions: tuple[str, ...]
    duplicates: int
    excluded: int
    refused: int


def select(
    texts: Iterable[str], exclude: Iterable[str] = (), limit: int | None = None
) -> Selection:
    """Put each text on one line and leave out what does not belong into a pool; blank ones do not
    count. With a `limit` the first so many captions."""
    unwanted = {_key(caption) for caption in map(one_line, exclude)}
    seen: set[str] = set()
    captions: list[str] = []
    duplicates = excluded = refused = 0
    for caption in filter(None, map(one_line, texts)):
        key = _key(caption)
        if len(captions) == limit:
            break
        if not _is_text(caption):
            refused += 1
        elif key in unwanted:
            excluded += 1
        elif key in seen:
            duplicates += 1
        else:
            seen.add(key)
            captions.append(caption)
    return Selection(tuple(captions), duplicates, excluded, refused)


def one_line(text: str) -> str:
    """The text in NFC, any white space as one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _key(caption: str) -> str:
    """What captions that a search takes for equal have in common."""
    return unicodedata.normalize("NFC", caption.casefold())


def check_place(folder: Path) -> None:
    """Refuse a place where something other than a pool is; raises `FileExistsError`."""
    if os.path.lexists(folder) and not _is_pool(folder):
        raise FileExistsError(f"{folder} is no seed pool, and is not overwritten")


def write(
    folder: Path,
    captions: Sequence[str],
    vectors: Iterable[tuple[int, FloatVector]],
    *,
    space: str,
    model: str,
    source: str = "",
) -> SeedPool:
    """Write a pool of the captions whose vectors, with the position of the caption, come in any
    order; captions without a vector are left out.

    The pool appears at once when it is complete, also in place of an older one; until then, and
    when `vectors` raises, nothing changes. One pool has one writer at a time. Raises `ValueError`
    for captions that `select` would not give, for vectors of no or unequal length, and when none
    came; `FileExistsError` when the folder is no pool.
    """
    if select(captions).captions != tuple(captions):
        raise ValueError("captions: each on one line, all different, in NFC; see select()")
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    part.mkdir()
    try:
        kept, dimension = _write_vectors(part / VECTORS, len(captions), vectors)
        lines = "".join(f"{captions[position]}\n" for position in kept).encode()
        _write_file(part / CAPTIONS, lines)
        digest = hashlib.sha256(lines).hexdigest()
        pool = SeedPool(space, model, dimension, len(kept), digest, source)
        description = json.dumps(asdict(pool), indent=2, ensure_ascii=False)
        _write_file(part / DESCRIPTION, f"{description}\n".encode())
        take_place_of(folder, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return pool


def _is_text(caption: str) -> bool:
    return len(caption) <= MAX_CHARACTERS and not any(
        unicodedata.category(character) in _CONTROL for character in caption
    )


def _is_pool(folder: Path) -> bool:
    if not folder.is_dir() or folder.is_symlink():
        return False
    return DESCRIPTION in (names := set(os.listdir(folder))) and names <= {
        DESCRIPTION,
        CAPTIONS,
        VECTORS,
    }


def _write_vectors(
    path: Path, count: int, vectors: Iterable[tuple[int, FloatVector]]
) -> tuple[npt.NDArray[np.intp], int]:
    """Write unit rows in the order of their captions; returns which have one, and D."""
    sparse = path.with_suffix(".part")
    rows: npt.NDArray[np.float32] | None = None
    written = np.zeros(count, bool)
    for position, vector in vectors:
        if rows is None:
            rows = _create(sparse, count, vector.size)
        rows[position] = _unit(vector, rows.shape[1], position)
        written[position] = True
    if rows is None:
        raise ValueError("no caption has a vector")
    kept = np.flatnonzero(written)
    dense = _create(path, len(kept), rows.shape[1])
    for first in range(0, len(kept), _CHUNK_ROWS):
        dense[first : first + _CHUNK_ROWS] = rows[kept[first : first + _CHUNK_ROWS]]
    dense.flush()
    dimension = rows.shape[1]
    del rows
    sparse.unlink()
    return kept, dimension


def _create(
    path: Path, count: int, dimension: int
) -> "np.memmap[tuple[int, int], np.dtype[np.float32]]":
    return np.lib.format.open_memmap(path, "w+", np.dtype("<f4"), (count, dimension))


def _unit(vector: FloatVector, dimension: int, position: int) -> FloatVector:
    if vector.shape != (dimension,):
        raise ValueError(f"vector {position}: {list(vector.shape)} numbers, not [{dimension}]")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not 0 < length < np.inf:
        raise ValueError(f"vector {position}: it has no direction")
    return vector / np.float32(length)


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
