"""The part of a collection's vectors that lies ready on disk.

A segment is a directory `segment-N`, written whole and never changed: vectors and seqs as raw
little-endian arrays that are mapped into memory, the links of a graph where there is one, and a
manifest with the size and checksum of each. It is made in the background under another name and
renamed once it is on disk. The database is the truth: a segment that is missing, old or damaged
costs time, never items.
"""

import json
import logging
import re
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections import files
from triptych_server.engines.collections.exact import Vectors
from triptych_server.engines.collections.graph import Graph
from triptych_server.engines.collections.reader import Seqs

_FORMAT = 1
_VECTORS = "vectors.f32"
_SEQS = "seqs.i64"
_LINKS = "links.hnsw"
_MANIFEST = "manifest.json"
_NAME = re.compile(r"\.?segment-(\d+)")
_BLOCK = 16 * 1024 * 1024  # bytes read at once for a checksum

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Segment:
    """Immutable rows. `vectors` `[B, D]` and `seqs` `[B]` (ascending) are mapped files."""

    directory: Path
    number: int
    vectors: Vectors
    seqs: Seqs
    graph: Graph | None

    @property
    def links(self) -> Path | None:
        """File of the graph's links."""
        return self.directory / _LINKS if self.graph else None


def write(
    parent: Path,
    number: int,
    blocks: Iterable[Vectors],
    seqs: Seqs,
    link: Callable[[Vectors, Path], None] | None,
) -> Segment:
    """Write and open a segment of the rows in `blocks`; `link` writes the links of their graph."""
    draft = parent / f".segment-{number}"
    draft.mkdir()
    try:
        with open(draft / _VECTORS, "wb") as file:
            dimension = 0
            for block in blocks:
                dimension = block.shape[1]
                file.write(block.astype("<f4", copy=False).data)
        seqs.astype("<i8", copy=False).tofile(draft / _SEQS)
        if link:
            link(_mapped(draft / _VECTORS, "<f4", (len(seqs), dimension)), draft / _LINKS)
        checked = {path.name: _checksum(path) for path in draft.iterdir()}
        manifest = {"format": _FORMAT, "rows": len(seqs), "dimension": dimension, "files": checked}
        (draft / _MANIFEST).write_text(json.dumps(manifest))
        final = parent / f"segment-{number}"
        files.publish(draft, final)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return _open(final, len(seqs), dimension, bool(link))


def newest(parent: Path, dimension: int) -> Segment | None:
    """The newest sound segment of a collection; all others are removed."""
    found = {path: _NAME.fullmatch(path.name) for path in parent.iterdir()}
    numbered = sorted(((int(name[1]), path) for path, name in found.items() if name), reverse=True)
    segment = None
    for _, path in numbered:
        if segment is None and not path.name.startswith("."):
            try:
                segment = load(path, dimension)
                continue
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                _log.warning("%s is not usable and will be made again: %s", path, error)
        shutil.rmtree(path, ignore_errors=True)
    return segment


def load(directory: Path, dimension: int) -> Segment:
    """Check and open a segment; raises `ValueError` and what reading damaged files raises."""
    manifest = json.loads((directory / _MANIFEST).read_text())
    if manifest["format"] != _FORMAT or manifest["dimension"] != dimension:
        raise ValueError("its format or dimension is another")
    for name, expected in manifest["files"].items():
        if _checksum(directory / name) != expected:
            raise ValueError(f"the checksum of {name} does not match")
    return _open(directory, manifest["rows"], dimension, _LINKS in manifest["files"])


def _open(directory: Path, rows: int, dimension: int, linked: bool) -> Segment:
    vectors = _mapped(directory / _VECTORS, "<f4", (rows, dimension))
    return Segment(
        directory=directory,
        number=int(directory.name.removeprefix("segment-")),
        vectors=vectors,
        seqs=_mapped(directory / _SEQS, "<i8", (rows,)),
        graph=Graph.load(directory / _LINKS, vectors) if linked else None,
    )


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    mapped = np.memmap(path, dtype, "r", shape=shape)
    return mapped.view(np.ndarray)  # without memmap's cost in every slice; the base keeps the map


def _checksum(path: Path) -> int:
    checksum = path.stat().st_size
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum
