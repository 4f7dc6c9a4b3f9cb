"""The embedded collection store: SQLite for items and as the truth, faiss for vectors.

DATA/collections/.lock            held by the one process that uses DATA
DATA/collections/NAME/items.sqlite3
DATA/collections/NAME/segment-N/  see `segment`
"""

import asyncio
import fcntl
import logging
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections import database, files
from triptych_server.engines.collections.collection import DATABASE, LocalCollection, not_found
from triptych_server.engines.collections.filters import Filter
from triptych_server.engines.collections.protocol import (
    Collection,
    Hit,
    Include,
    IndexPolicy,
    Item,
    ItemPage,
    StoredItem,
)
from triptych_server.errors import (
    AlreadyExists,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    TriptychError,
    Unavailable,
)

MAX_QUEUED_READS = 4_096
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DRAFT = ".new-"
_TRASH = ".trash-"
_MERGE_NICENESS = 10
_NOTHING = Include()

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class LocalCollectionStore:
    """A `CollectionStore` in one directory of one machine.

    Searches run on `threads` threads, one thread each. A collection whose files are damaged answers
    INTERNAL and can be deleted; the others are not affected.
    """

    def __init__(self, root: Path, threads: int) -> None:
        """Open all collections below `root`, side by side; blocks until all can be searched.

        Raises `FailedPrecondition` when another process uses `root`, and `OSError`.
        """
        self._directory = root / "collections"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._directory)
        self._reads = ThreadPoolExecutor(threads, "collection-reader", _one_faiss_thread)
        self._queued_reads = 0
        self._changes = ThreadPoolExecutor(1, "collection-changes")  # create and delete
        self._maintenance = ThreadPoolExecutor(
            1, "collection-merge", _low_priority, (max(1, threads // 2),)
        )
        self._collections: dict[str, LocalCollection | TriptychError] = {}
        self._closed = False
        for path in self._directory.iterdir():
            if path.name.startswith((_DRAFT, _TRASH)):
                shutil.rmtree(path)
        names = sorted(path.name for path in self._directory.iterdir() if path.is_dir())
        self._collections.update(zip(names, self._reads.map(self._open, names), strict=True))

    async def create(
        self, name: str, *, model: str, space: str, dimension: int, index: IndexPolicy
    ) -> Collection:
        if not _NAME.fullmatch(name):
            raise InvalidArgument("name", f"a collection cannot be named {name!r}")
        now = datetime.now(UTC)
        collection = Collection(name, model, space, dimension, index, 0, now)
        return await self._change(self._create, collection)

    async def get(self, name: str) -> Collection:
        return self._get(name).description

    async def list(self, *, limit: int, after: str = "") -> list[Collection]:
        names = sorted(
            name
            for name, collection in self._collections.items()
            if name > after and isinstance(collection, LocalCollection)
        )
        return [self._get(name).description for name in names[:limit]]

    async def delete(self, name: str) -> None:
        await self._change(self._delete, name)

    async def upsert(self, name: str, items: Sequence[Item]) -> Sequence[bool]:
        return await self._get(name).upsert(items)

    async def get_item(self, name: str, item_id: str, include: Include) -> StoredItem:
        collection = self._get(name)
        return await self._read(lambda: collection.item(item_id, include))

    async def get_items(
        self, name: str, ids: Sequence[str], include: Include
    ) -> Mapping[str, StoredItem]:
        collection = self._get(name)
        return await self._read(lambda: collection.items_of(ids, include))

    async def list_items(
        self, name: str, *, limit: int, cursor: int | None, filter: Filter | None, include: Include
    ) -> ItemPage:
        collection = self._get(name)
        return await self._read(lambda: collection.items(limit, cursor, filter, include))

    async def delete_items(self, name: str, ids: Sequence[str]) -> Sequence[bool]:
        return await self._get(name).delete_items(ids)

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
        include: Include = _NOTHING,
    ) -> Sequence[Hit]:
        collection = self._get(name)
        return await self._read(
            lambda: collection.search(
                vector,
                limit=limit,
                offset=offset,
                threshold=threshold,
                filter=filter,
                exclude=exclude,
                include=include,
            )
        )

    async def settle(self, name: str) -> None:
        """Wait until the background work that is due on a collection is done."""
        await self._get(name).settle()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._changes.shutdown()
        opened = [c for c in self._collections.values() if isinstance(c, LocalCollection)]
        with ThreadPoolExecutor(max(1, len(opened))) as closing:
            list(closing.map(LocalCollection.close, opened))
        self._maintenance.shutdown()
        self._reads.shutdown()
        os.close(self._lock)

    def _get(self, name: str) -> LocalCollection:
        if self._closed:
            raise Unavailable("the store is closed")
        collection = self._collections.get(name)
        if collection is None:
            raise not_found(name)
        if isinstance(collection, TriptychError):
            raise Internal(f"the collection {name!r} could not be opened: {collection.message}")
        return collection

    async def _read(self, work: Callable[[], _T]) -> _T:
        if self._queued_reads >= MAX_QUEUED_READS:
            raise ResourceExhausted(f"{self._queued_reads} reads wait for a thread")
        self._queued_reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reads, work)
        finally:
            self._queued_reads -= 1

    async def _change(self, change: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._changes, change, *arguments)

    def _create(self, collection: Collection) -> Collection:
        final = self._directory / collection.name
        if collection.name in self._collections:
            raise AlreadyExists(
                f"there is a collection {collection.name!r} already",
                reason="COLLECTION_EXISTS",
                field="name",
            )
        draft = self._directory / f"{_DRAFT}{collection.name}"
        shutil.rmtree(draft, ignore_errors=True)  # of an attempt that failed
        with database.translated_errors():
            draft.mkdir()
            database.create(draft / DATABASE, collection)
            files.publish(draft, final)
        self._collections[collection.name] = LocalCollection(final, self._maintenance)
        return self._get(collection.name).description

    def _delete(self, name: str) -> None:
        collection = self._collections.get(name)
        if collection is None:
            raise not_found(name)
        if isinstance(collection, LocalCollection):
            collection.close()
        # Only now: SQLite's files go by their names, which a new collection may take.
        with database.translated_errors():
            files.remove(self._directory / name, self._directory / f"{_TRASH}{name}")
        del self._collections[name]

    def _open(self, name: str) -> LocalCollection | TriptychError:
        try:
            return LocalCollection(self._directory / name, self._maintenance)
        except TriptychError as error:
            _log.error("the collection %s could not be opened: %s", name, error)
            return error


def _locked(directory: Path) -> int:
    """An open lock file; the lock ends with the process."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FailedPrecondition(
            f"another process uses the data directory {directory.parent}",
            reason="DATA_DIRECTORY_IN_USE",
        ) from None
    return descriptor


def _one_faiss_thread() -> None:
    faiss.omp_set_num_threads(1)


def _low_priority(threads: int) -> None:
    """Building a graph yields to searches."""
    faiss.omp_set_num_threads(threads)
    if sys.platform == "linux":  # elsewhere this would be the priority of the process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _MERGE_NICENESS)
