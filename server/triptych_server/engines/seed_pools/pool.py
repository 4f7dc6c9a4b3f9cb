"""One pool of captions with their vectors."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from triptych_server.engines.seed_pools.captions import Captions
from triptych_server.errors import FailedPrecondition

DESCRIPTION, CAPTIONS, VECTORS = "pool.json", "captions.txt", "vectors.npy"

UNIT_TOLERANCE = 1e-3  # of the length of a vector
_CHUNK_NUMBERS = 2**22  # of vectors, 16 MiB, that are looked at together
_DESCRIPTION_BYTES = 2**20

Vectors = npt.NDArray[np.float32]
# Vectors `[n, D]` to one number each, `[n]`, all finite.
Score = Callable[[Vectors], npt.NDArray[np.floating[Any]]]


class PoolError(ValueError):
    """A folder is no sound pool."""


class Description(BaseModel):
    """What pool.json says: the embedding space of the vectors and the model that made them, their
    length and number, the digest of captions.txt, and where the captions are from."""

    model_config = ConfigDict(strict=True, frozen=True)

    space: str = Field(min_length=1)
    model: str = Field(min_length=1)
    dimension: int = Field(ge=1)
    count: int = Field(ge=1)
    captions_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class PooledCaption:
    """A caption of a pool, its unit vector `[D]`, and how it scored."""

    text: str
    vector: Vectors
    score: float


class SeedPool:
    """Captions that were embedded beforehand."""

    def __init__(
        self, name: str, description: Description, captions: Sequence[str], vectors: Vectors
    ) -> None:
        self.name = name
        self.description = description
        self.captions = captions
        self._vectors = vectors

    def __len__(self) -> int:
        return self.description.count

    def check_space(self, model: str, space: str, dimension: int) -> None:
        """Raise `FailedPrecondition` unless the vectors are of the space of this model, and have
        its `dimension`."""
        if self.description.space != space:
            raise FailedPrecondition(
                f"the seed pool {self.name!r} is of the space {self.description.space}, and the "
                f"model {model!r} of {space}; `triptych mils build-pool` makes one for the model",
                reason="SEED_POOL_SPACE",
                field="seeds.pool",
            )
        if self.description.dimension != dimension:
            raise FailedPrecondition(
                f"the seed pool {self.name!r} is damaged: its vectors have "
                f"{self.description.dimension} numbers, and those of its space {dimension}",
                reason="SEED_POOL_UNREADABLE",
                field="seeds.pool",
            )

    async def rank(self, score: Score, limit: int) -> list[PooledCaption]:
        """The captions that score highest, best first; of equal ones in their own order.

        `score` is called in a thread, with parts of the vectors as they lie in the file.
        """
        return await asyncio.to_thread(self._rank, score, limit)

    def _rank(self, score: Score, limit: int) -> list[PooledCaption]:
        scores = np.concatenate([score(chunk) for chunk in _chunks(self._vectors)])
        return [
            PooledCaption(self.captions[place], self._vectors[place].copy(), float(scores[place]))
            for place in map(int, _best(scores, limit))
        ]


def read_pool(folder: Path) -> SeedPool:
    """Read and check the pool in a folder, whole; raises `PoolError` with what is wrong."""
    for file in (DESCRIPTION, CAPTIONS, VECTORS):
        if not (folder / file).is_file():
            raise PoolError(f"it has no file {file}")
    description = _description(folder)
    try:
        captions = Captions(folder / CAPTIONS)
    except (OSError, ValueError) as error:
        raise PoolError(f"{CAPTIONS} cannot be used: {error}") from None
    if len(captions) != description.count:
        raise PoolError(
            f"{CAPTIONS} has {len(captions):,} lines, and {DESCRIPTION} says {description.count:,}"
        )
    if captions.sha256 != description.captions_sha256:
        raise PoolError(f"{CAPTIONS} is not the file that {DESCRIPTION} names (sha256 differs)")
    return SeedPool(folder.name, description, captions, _vectors(folder, description))


def _description(folder: Path) -> Description:
    try:
        with (folder / DESCRIPTION).open("rb") as file:
            content = file.read(_DESCRIPTION_BYTES)
        return Description.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PoolError(f"{DESCRIPTION}: {place + ': ' if place else ''}{first['msg']}") from None
    except OSError as error:
        raise PoolError(f"{DESCRIPTION} cannot be read: {error.strerror}") from None


def _vectors(folder: Path, description: Description) -> Vectors:
    try:
        # Maps the file or fails; unlike numpy.load it never takes a pickle or an archive for it.
        mapped = np.lib.format.open_memmap(folder / VECTORS, mode="r")
    except Exception as error:  # numpy evaluates the header, and may fail of it in any way
        raise PoolError(f"{VECTORS} cannot be read: {error}") from None
    vectors: Vectors = np.asarray(mapped)
    shape = (description.count, description.dimension)
    if vectors.shape != shape or vectors.dtype != np.dtype("<f4") or not vectors.flags.c_contiguous:
        raise PoolError(
            f"{VECTORS} must be float32 of the shape {list(shape)} in C order, and is "
            f"{vectors.dtype} of {list(vectors.shape)}"
            f"{' in Fortran order' if not vectors.flags.c_contiguous else ''}"
        )
    first = 0
    for chunk in _chunks(vectors):
        with np.errstate(all="ignore"):  # what overflows is no unit vector
            lengths = np.sqrt(np.einsum("nd,nd->n", chunk, chunk))
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))
        if len(wrong):
            raise PoolError(
                f"{VECTORS}: row {first + int(wrong[0])} has the length {lengths[wrong[0]]}, not 1"
            )
        first += len(chunk)
    return vectors


def _chunks(vectors: Vectors) -> list[Vectors]:
    rows = max(_CHUNK_NUMBERS // vectors.shape[1], 1)
    return [vectors[first : first + rows] for first in range(0, len(vectors), rows)]


def _best(scores: npt.NDArray[np.floating[Any]], limit: int) -> npt.NDArray[np.intp]:
    """Places of the highest scores, in the order of a stable sort."""
    if limit < len(scores):
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        above = np.flatnonzero(scores > least)
        equal = np.flatnonzero(scores == least)[: limit - len(above)]
        places = np.sort(np.concatenate([above, equal]))
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")]
