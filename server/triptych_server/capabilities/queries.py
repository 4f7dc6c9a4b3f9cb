"""What a search asks for, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.timing import StageTimes
from triptych_server.engines.collections import Include, StoredItem
from triptych_server.engines.collections.filters import Filter
from triptych_server.media.content import Content

MAX_DEPTH = 10_000  # hits that a search reaches, all its pages together

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ItemReference:
    """An item of the collection that is searched."""

    id: str


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a query; a vector is `[D]` float32 of any length but zero."""

    source: Content | Vector | ItemReference
    weight: float


@dataclass(frozen=True, slots=True)
class Rerank:
    """To compare the `candidates` nearest items by `model`, empty for the default."""

    model: str
    candidates: int


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to find in which collection, and which part of the hits.

    With `rerank` there is one term, and it is a text of positive weight.
    """

    collection: str
    terms: Sequence[Term]
    limit: int
    offset: int
    threshold: float | None
    filter: Filter | None
    include: Include
    rerank: Rerank | None = None


@dataclass(frozen=True, slots=True)
class RankedHit:
    """An item of a search: its cosine, and where it was reranked its probability of a match."""

    item: StoredItem
    score: float
    itm_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`more` says whether there are hits behind these."""

    hits: Sequence[RankedHit]
    more: bool
    times: StageTimes
