"""One collection of the embedded store.

Readers work side by side, each on one state of the database and on the view of the vectors that
belongs to it. A transaction is shown to readers before it is acknowledged.
"""

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from triptych_server.engines.collections import database, merge, search
from triptych_server.engines.collections.database import Transaction
from triptych_server.engines.collections.exact import Vectors
from triptych_server.engines.collections.filters import Filter
from triptych_server.engines.collections.graph import BuildStoppedError
from triptych_server.engines.collections.index import VectorIndex
from triptych_server.engines.collections.matches import MatchCache
from triptych_server.engines.collections.protocol import (
    Collection,
    Hit,
    Include,
    Item,
    ItemPage,
    StoredItem,
)
from triptych_server.engines.collections.reader import PoolClosedError, Reader, ReaderPool
from triptych_server.engines.collections.rows import checked_text, rows
from triptych_server.engines.collections.view import View
from triptych_server.engines.collections.writes import Change, QueueClosedError, WriteQueue
from triptych_server.errors import InvalidArgument, NotFound

DATABASE = "items.sqlite3"
_MERGE_RETRY = 30.0  # seconds to leave alone a merge that failed

_log = logging.getLogger(__name__)


class LocalCollection:
    """An open collection. `maintenance` runs its merges; reading methods block their thread."""

    def __init__(self, directory: Path, maintenance: Executor) -> None:
        """Open what lies in `directory`; the collection's name is the directory's."""
        self._directory = directory
        self._maintenance = maintenance
        self._merge: Future[None] | None = None
        self._merge_after = 0.0
        self._stopping = threading.Event()
        self._matches = MatchCache()
        with database.translated_errors():
            connection = database.connect(directory / DATABASE)
            self._description = database.describe(connection, directory.name)
            self._readers = ReaderPool(directory / DATABASE)
            self._index = VectorIndex(directory, self._description.dimension)
            with self._readers.borrow() as reader:
                self._index.load(reader)
        self._writes = WriteQueue(directory / DATABASE, connection, self._publish)
        self._writes.run(self._start_merge)

    @property
    def description(self) -> Collection:
        return replace(self._description, item_count=self._index.view.live_count)

    async def upsert(self, items: Sequence[Item]) -> list[bool]:
        """Write items in order, all or none; returns for each whether its id was new."""

        def prepare() -> Change:
            encoded = rows(items, self._description.dimension)
            now = datetime.now(UTC)
            return lambda writing: [writing.upsert(row, now) for row in encoded]

        return await self._write(len(items), prepare)

    async def delete_items(self, ids: Sequence[str]) -> list[bool]:
        """Delete items; returns for each id whether there was such an item."""

        def prepare() -> Change:
            checked = [checked_text(item_id, "ids") for item_id in ids]
            return lambda writing: [writing.delete(item_id) for item_id in checked]

        return await self._write(len(ids), prepare)

    def item(self, item_id: str, include: Include) -> StoredItem:
        """Raises `NotFound`."""
        with self._reader() as reader, reader.snapshot():
            item = reader.item(item_id, include)
        if item is None:
            raise NotFound(
                f"the collection {self._description.name!r} has no item {item_id!r}",
                reason="ITEM_NOT_FOUND",
                field="id",
            )
        return item

    def items_of(self, ids: Sequence[str], include: Include) -> Mapping[str, StoredItem]:
        """By id; absent those that there are not."""
        with self._reader() as reader, reader.snapshot():
            seqs = reader.seqs_of(ids).tolist()
            return {item.id: item for item in reader.items(seqs, include).values()}

    def items(
        self, limit: int, cursor: int | None, filter: Filter | None, include: Include
    ) -> ItemPage:
        """`limit` items that match, after those that `cursor` ends."""
        with self._reader() as reader, reader.snapshot():
            found = reader.page(cursor or 0, limit + 1, filter, include)
        seqs = list(found)[:limit]
        more = len(found) > limit
        return ItemPage([found[seq] for seq in seqs], seqs[-1] if more else None)

    def search(
        self,
        vector: Vectors,
        *,
        limit: int,
        offset: int,
        threshold: float | None,
        filter: Filter | None,
        exclude: Sequence[str],
        include: Include,
    ) -> list[Hit]:
        """As `CollectionStore.search` says."""
        if vector.shape != (self._description.dimension,):
            raise InvalidArgument(
                "vector",
                f"the collection has vectors of {self._description.dimension} numbers, "
                f"not of shape {vector.shape}",
                reason="DIMENSION_MISMATCH",
            )
        with self._state() as (reader, view):
            allowed = view.live
            if filter is not None:
                matching = np.zeros(len(allowed), np.bool_)
                matching[self._matches.rows(filter, reader, view)] = True
                allowed = allowed & matching
            if exclude:
                allowed = allowed.copy()
                allowed[view.rows(reader.seqs_of(exclude))] = False
            found, scores = search.nearest(
                view, vector, offset + limit, allowed, filtered=filter is not None
            )
            if threshold is not None:
                found = found[scores >= threshold]
            seqs = view.seqs(found[offset:]).tolist()
            items = reader.items(seqs, include)
        return [
            Hit(items[seq], float(score)) for seq, score in zip(seqs, scores[offset:], strict=False)
        ]

    async def settle(self) -> None:
        """Wait until no merge is due."""
        while merging := await asyncio.wrap_future(self._writes.run(lambda: self._merge)):
            await asyncio.shield(asyncio.wrap_future(merging))

    def close(self) -> None:
        """Finish writes, stop a merge, wait for readers; later calls raise `NotFound`."""
        self._stopping.set()
        with suppress(QueueClosedError):
            self._writes.run(lambda: None).result()  # no merge starts after this
        if self._merge is not None and not self._merge.cancel():
            wait([self._merge])
        self._writes.close()
        self._readers.close()

    async def _write(self, items: int, prepare: Callable[[], Change]) -> list[bool]:
        try:
            outcome = self._writes.put(items, prepare)
        except QueueClosedError:
            raise self._gone() from None
        return await asyncio.wrap_future(outcome)

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        try:
            with database.translated_errors(), self._readers.borrow() as reader:
                yield reader
        except PoolClosedError:
            raise self._gone() from None

    @contextmanager
    def _state(self) -> Iterator[tuple[Reader, View]]:
        """A reader in one state of the database and the view of the same state."""
        with self._reader() as reader:
            while True:
                with reader.snapshot() as tick:
                    view = self._index.reached(tick)
                    if view.tick == tick:
                        yield reader, view
                        return
                    # A transaction was committed in between: read the later state.

    def _gone(self) -> NotFound:
        return not_found(self._description.name)

    def _publish(self, transaction: Transaction) -> None:
        """On the writing thread."""
        self._index.apply(transaction)
        self._start_merge()

    def _start_merge(self) -> None:
        """Begin the merge that is due, if one is; on the writing thread."""
        if self._merge or self._stopping.is_set() or time.monotonic() < self._merge_after:
            return
        plan = merge.plan(self._index.view, self._description.index)
        if plan is not None:
            self._merge = self._maintenance.submit(self._carry_out, plan)

    def _carry_out(self, plan: merge.Plan) -> None:
        """On the maintenance thread."""
        try:
            made = merge.carry_out(plan, self._directory, self._stopping)
            self._writes.run(lambda: self._index.adopt(plan, made)).result()
            if plan.view.segment is not None:
                shutil.rmtree(plan.view.segment.directory)
        except BuildStoppedError:
            return
        except Exception:  # the collection works without; this thread serves all collections
            _log.exception("%s: merging failed", self._directory)
            self._merge_after = time.monotonic() + _MERGE_RETRY
        self._writes.run(self._end_merge).result()

    def _end_merge(self) -> None:
        """On the writing thread."""
        self._merge = None
        self._start_merge()


def not_found(name: str) -> NotFound:
    return NotFound(
        f"there is no collection {name!r}", reason="COLLECTION_NOT_FOUND", field="collection"
    )
