"""What every collection store does, embedded or remote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections.filters import Filter

HNSW_THRESHOLD = 50_000  # items from which AUTO uses a graph
MAX_CONTENT_BYTES = 32 * 1024 * 1024  # of one answer


class IndexKind(StrEnum):
    """How a collection is searched."""

    AUTO = "auto"
    FLAT = "flat"
    HNSW = "hnsw"


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """The kind of index, and for AUTO the item count from which it is HNSW."""

    kind: IndexKind = IndexKind.AUTO
    threshold: int = HNSW_THRESHOLD


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of items in one embedding space."""

    name: str
    model: str
    space: str
    dimension: int
    index: IndexPolicy
    item_count: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class StoredContent:
    """What an item was made of: a picture's file or UTF-8 text."""

    kind: str  # "image" or "text"
    data: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """An item to write. `vector` is `[D]` float32 of unit length; `metadata` is a JSON object."""

    id: str
    vector: npt.NDArray[np.float32]
    metadata: Mapping[str, Any]
    uri: str = ""
    content: StoredContent | None = None


@dataclass(frozen=True, slots=True)
class Include:
    """Which heavy parts of an item to read.

    Contents of more than `MAX_CONTENT_BYTES` together are refused with `InvalidArgument`.
    """

    content: bool = False
    vector: bool = False


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as read. `content` and `vector` (`[D]` float32) only when included and present."""

    id: str
    metadata: Mapping[str, Any]
    uri: str
    update_time: datetime
    has_content: bool
    content: StoredContent | None
    vector: npt.NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items in the order in which they were last written; `cursor` continues, None at the end."""

    items: list[StoredItem]
    cursor: int | None


@dataclass(frozen=True, slots=True)
class Hit:
    """An item and the inner product of its vector with the query."""

    item: StoredItem
    score: float


class CollectionStore(Protocol):
    """Keeps collections. What `upsert`, `delete_items`, `create` and `delete` have returned from is
    durable and visible to every later call.

    Methods that name a collection raise `NotFound` when there is none of that name.
    """

    async def create(
        self, name: str, *, model: str, space: str, dimension: int, index: IndexPolicy
    ) -> Collection:
        """Make an empty collection; raises `AlreadyExists`."""
        ...

    async def get(self, name: str) -> Collection: ...

    async def list(self, *, limit: int, after: str = "") -> list[Collection]:
        """Collections by name, those after `after` only."""
        ...

    async def delete(self, name: str) -> None:
        """Delete the collection with all its items."""
        ...

    async def upsert(self, name: str, items: Sequence[Item]) -> Sequence[bool]:
        """Write items in order, all or none; returns for each whether its id was new.

        Concurrent calls are written in the order in which they were made. Raises
        `InvalidArgument`, with the field of the item at fault, for a vector of another dimension
        and for metadata that is not JSON (finite numbers, strings without U+0000), and
        `ResourceExhausted` at once when too many items wait.
        """
        ...

    async def get_item(self, name: str, item_id: str, include: Include) -> StoredItem:
        """Raises `NotFound` (reason ITEM_NOT_FOUND) when there is no such item."""
        ...

    async def get_items(
        self, name: str, ids: Sequence[str], include: Include
    ) -> Mapping[str, StoredItem]:
        """Items by id; those that there are not are absent."""
        ...

    async def list_items(
        self, name: str, *, limit: int, cursor: int | None, filter: Filter | None, include: Include
    ) -> ItemPage:
        """At most `limit` items that match, from the start or where `cursor` continues."""
        ...

    async def delete_items(self, name: str, ids: Sequence[str]) -> Sequence[bool]:
        """Delete items; returns for each id whether there was such an item."""
        ...

    async def search(
        self,
        name: str,
        vector: npt.NDArray[np.float32],
        *,
        limit: int,
        offset: int = 0,
        threshold: float | None = None,
        filter: Filter | None = None,
        exclude: Sequence[str] = (),
        include: Include = Include(),
    ) -> Sequence[Hit]:
        """Hits number `offset` to `offset + limit` for `vector`, `[D]` float32, best first, leaving
        out items below `threshold`, those that `filter` does not match and the ids in `exclude`.
        Of equal scores the item written earlier comes first.
        """
        ...

    async def close(self) -> None:
        """Finish writes and release files."""
        ...
