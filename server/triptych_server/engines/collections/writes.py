"""The writes of one collection: one thread, one transaction for all that wait (group commit)."""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from triptych_server.engines.collections import database
from triptych_server.engines.collections.database import Transaction
from triptych_server.errors import Internal, ResourceExhausted, TriptychError

MAX_QUEUED_ITEMS = 65_536  # of each collection; 128 MiB of vectors of 512 components
_MAX_TRANSACTION_ITEMS = 2_048

_T = TypeVar("_T")
Change: TypeAlias = Callable[[Transaction], list[bool]]

_log = logging.getLogger(__name__)


class QueueClosedError(Exception):
    """The collection was closed or deleted."""


@dataclass(frozen=True, slots=True)
class _Write:
    """`prepare` checks a change before the transaction, so that a bad one fails alone."""

    items: int
    prepare: Callable[[], Change]
    outcome: Future[list[bool]] = field(default_factory=Future)


class WriteQueue:
    """Writes in the order of `put`; a write that is cancelled before its turn is not done.

    `publish` is called on the writing thread with each transaction once it is on disk and before
    its writes are acknowledged.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        publish: Callable[[Transaction], None],
    ) -> None:
        self._path = path
        self._connection = connection
        self._publish = publish
        self._unpublished: Transaction | None = None
        self._waiting: deque[_Write] = deque()
        self._waiting_items = 0
        self._closed = False
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="collection-writer")

    def put(self, items: int, prepare: Callable[[], Change]) -> Future[list[bool]]:
        """Queue a write of so many items; raises `ResourceExhausted` when too many wait, and
        `QueueClosedError` after `close`."""
        write = _Write(items, prepare)
        with self._lock:
            if self._closed:
                raise QueueClosedError
            if self._waiting and self._waiting_items + items > MAX_QUEUED_ITEMS:
                raise ResourceExhausted(f"{self._waiting_items} items wait to be written")
            self._waiting.append(write)
            self._waiting_items += items
            self._thread.submit(self._drain)
        return write.outcome

    def run(self, task: Callable[[], _T]) -> Future[_T]:
        """Run a task between transactions; raises `QueueClosedError` after `close`."""
        with self._lock:
            if self._closed:
                raise QueueClosedError
            return self._thread.submit(task)

    def close(self) -> None:
        """Finish what was queued."""
        with self._lock:
            self._closed = True
        self._thread.shutdown()
        self._connection.close()

    def _drain(self) -> None:
        """Write what waits; does nothing when an earlier call took it all."""
        changes = []
        for write in self._take():
            if write.outcome.set_running_or_notify_cancel():
                try:
                    changes.append((write, write.prepare()))
                except Exception as error:  # whatever it is, the one who waits must hear of it
                    write.outcome.set_exception(_failure(error))
        if not changes:
            return
        try:
            outcomes = self._write([change for _, change in changes])
        except Exception as error:
            _log.error("%s: a transaction failed", self._path, exc_info=error)
            for write, _ in changes:
                write.outcome.set_exception(_failure(error))
            with suppress(Exception):  # the next write tries again
                self._catch_up()
            return
        for (write, _), outcome in zip(changes, outcomes, strict=True):
            write.outcome.set_result(outcome)
        with suppress(OSError, sqlite3.Error):  # the next write tries again
            database.shorten_log(self._connection, self._path)

    def _write(self, changes: list[Change]) -> list[list[bool]]:
        with database.translated_errors():
            self._catch_up()
            with database.transaction(self._connection) as self._unpublished:
                outcomes = [change(self._unpublished) for change in changes]
            self._catch_up()
        return outcomes

    def _catch_up(self) -> None:
        """Publish the last transaction if it is on disk. It may be there though it failed: when
        the disk did not confirm it, or when there was no memory to publish it."""
        if self._unpublished is not None:
            (tick,) = self._connection.execute("SELECT tick FROM clock").fetchone()
            if tick == self._unpublished.tick:
                self._publish(self._unpublished)
            self._unpublished = None

    def _take(self) -> list[_Write]:
        taken: list[_Write] = []
        items = 0
        with self._lock:
            while self._waiting and items < _MAX_TRANSACTION_ITEMS:
                taken.append(self._waiting.popleft())
                items += taken[-1].items
            self._waiting_items -= items
        return taken


def _failure(error: Exception) -> TriptychError:
    return error if isinstance(error, TriptychError) else Internal(f"a write failed: {error}")
