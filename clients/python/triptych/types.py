"""What callers pass in and get back: frozen values, with vectors as numpy arrays.

Vectors are `[D]` float32 and read-only. Times are seconds. Where one input of several may fail, its
result has an `error`, a `TriptychError` that is None for those that succeeded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from triptych.contents import Content
from triptych.errors import TriptychError
from triptych.vectors import FloatVector


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a call spent its time in the gateway, in seconds.

    `total` is the whole; `preprocess` decoding and tokenising, `queue` waiting for a place in a
    batch and `inference` computing, each of the slowest input. `batch_size` is the rows of the
    largest batch that one of the inputs was computed in. `generation` is writing text, and
    `first_token` the time from the start to its first token, None where none was written.
    """

    total: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    inference: float = 0.0
    batch_size: int = 0
    generation: float = 0.0
    first_token: float | None = None

    def __add__(self, later: "Timing") -> "Timing":
        """The timing of two calls made one after the other."""
        first_token = self.first_token
        if first_token is None and later.first_token is not None:
            first_token = self.total + later.first_token
        return Timing(
            total=self.total + later.total,
            preprocess=self.preprocess + later.preprocess,
            queue=self.queue + later.queue,
            inference=self.inference + later.inference,
            batch_size=max(self.batch_size, later.batch_size),
            generation=self.generation + later.generation,
            first_token=first_token,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """The vector of one content, `[D]` of unit length; None when `error` says why there is none."""

    vector: FloatVector | None
    truncated: bool = False
    error: TriptychError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings(Sequence[Embedding]):
    """One `Embedding` for each content, in the order given, all of one model and space."""

    results: tuple[Embedding, ...]
    model: str
    space: str
    timing: Timing

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """All vectors, `[N, D]`. Raises the error of the first content that failed."""
        for position, result in enumerate(self.results):
            if result.error is not None:
                raise result.error.within(f"contents[{position}]")
        return np.stack([result.vector for result in self.results if result.vector is not None])

    @overload
    def __getitem__(self, index: int) -> Embedding: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Embedding, ...]: ...
    def __getitem__(self, index: int | slice) -> Embedding | tuple[Embedding, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True, slots=True, eq=False)
class StreamedEmbedding:
    """The answer to one content of a stream; `id` is the key that the caller gave it."""

    id: str
    vector: FloatVector | None
    truncated: bool
    space: str
    timing: Timing
    error: TriptychError | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A scored candidate.

    `index` is its position in the request, `similarity` the cosine, and `probability` what the
    checkpoint makes of it: a share of 1 among the candidates (CLIP) or the probability that this
    pair matches (SigLIP).
    """

    index: int
    similarity: float
    probability: float
    error: TriptychError | None = None


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[Ranked]):
    """Candidates, best first; those that failed come last."""

    results: tuple[Ranked, ...]
    model: str
    space: str
    timing: Timing

    @overload
    def __getitem__(self, index: int) -> Ranked: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Ranked, ...]: ...
    def __getitem__(self, index: int | slice) -> Ranked | tuple[Ranked, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)


class IndexKind(StrEnum):
    """How a collection is searched: every item, a graph, or whichever fits its size."""

    AUTO = "auto"
    FLAT = "flat"
    HNSW = "hnsw"


@dataclass(frozen=True, slots=True)
class Index:
    """`threshold`: with AUTO, the item count from which the index is HNSW; 0 is the default."""

    kind: IndexKind = IndexKind.AUTO
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of items whose vectors, of `dimension` components, share one embedding space."""

    name: str
    model: str
    space: str
    dimension: int
    index: Index
    item_count: int
    create_time: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """An item to write, found by its `content` or, instead, by a `vector` `[D]` of the space.

    `metadata` is a JSON object; `uri` says where the original lies and is never fetched. With
    `store` the gateway keeps the content beside its vector.
    """

    id: str
    content: Content | None = None
    vector: npt.ArrayLike | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    uri: str = ""
    store: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class StoredItem:
    """An item as read. `content` (text, or a picture's file) and `vector` only when asked for."""

    id: str
    metadata: Mapping[str, Any]
    uri: str
    update_time: datetime
    has_content: bool
    content: str | bytes | None
    vector: FloatVector | None


@dataclass(frozen=True, slots=True)
class Upserted:
    """The answer to one item: without an error it is on disk, and searches find it.

    `created` tells a new item from one that replaced another.
    """

    id: str
    created: bool = False
    truncated: bool = False
    error: TriptychError | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """The answer to one id; the error is a `NotFoundError` when there was no such item."""

    id: str
    error: TriptychError | None = None


@dataclass(frozen=True, slots=True)
class ItemRef:
    """An item of the collection, to search by what it looks like. It is not among its own hits."""

    id: str


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One part of a mixed query; a negative weight turns away from it."""

    query: "Content | npt.NDArray[np.floating[Any]] | ItemRef"
    weight: float = 1.0


Query: TypeAlias = (
    Content | npt.NDArray[np.floating[Any]] | ItemRef | Term | list[Term] | tuple[Term, ...]
)
"""Text, a picture, a vector `[D]`, an item, or a weighted mix of these."""


class RerankKind(StrEnum):
    """What compares query and candidates: image-text matching (BLIP-2)."""

    ITM = "itm"


@dataclass(frozen=True, slots=True)
class Rerank:
    """A second, sharper comparison of the nearest items, `candidates` (1 to 256) of them.

    Hits, on all pages, are only these. The query must be one text, and the items' pictures must be
    stored. An empty `model` is the gateway's default for it.
    """

    candidates: int = 20
    model: str = ""
    kind: RerankKind = RerankKind.ITM


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One search. `filter` is the expression that `SearchRequest.filter` describes."""

    collection: str
    query: Query
    limit: int = 10
    page_token: str = ""
    score_threshold: float | None = None
    filter: str = ""
    include_content: bool = False
    include_vector: bool = False
    rerank: Rerank | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """An item and its cosine with the query; reranked, the probability that they match too."""

    item: StoredItem
    score: float
    itm_score: float | None = None


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """Hits, best first; `next_page_token` is empty when there are no more."""

    hits: tuple[Hit, ...]
    next_page_token: str
    timing: Timing

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)
