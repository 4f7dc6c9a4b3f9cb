"""The writes of one collection: one thread, one transaction for all that wait (group commit)."""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from triptych_server.engines.collections.database import (
    Transaction,
    transaction,
    translated_errors,
)
from triptych_server.errors import Internal, ResourceExhausted, TriptychError

MAX_QUEUED_ITEMS = 8_192
_MAX_TRANSACTION_ITEMS = 2_048

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
    its writes are acknowledged; `recover` when one failed and it is uncertain what is on disk.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        publish: Callable[[Transaction], None],
        recover: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._publish = publish
        self._recover = recover
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

    def run(self, task: Callable[[], None]) -> Future[None]:
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
                except TriptychError as error:
                    write.outcome.set_exception(error)
        if not changes:
            return
        try:
            with translated_errors(), transaction(self._connection) as writing:
                outcomes = [change(writing) for _, change in changes]
            self._publish(writing)
        except BaseException as error:  # whatever it is, those who wait must hear of it
            self._fail([write for write, _ in changes], error)
            return
        for (write, _), outcome in zip(changes, outcomes, strict=True):
            write.outcome.set_result(outcome)

    def _take(self) -> list[_Write]:
        taken: list[_Write] = []
        items = 0
        with self._lock:
            while self._waiting and items < _MAX_TRANSACTION_ITEMS:
                taken.append(self._waiting.popleft())
                items += taken[-1].items
            self._waiting_items -= items
        return taken

    def _fail(self, writes: list[_Write], error: BaseException) -> None:
        _log.error("a transaction failed", exc_info=error)
        try:
            self._recover()
        except Exception:  # the error that is reported is the first
            _log.exception("the index could not be read again")
        for write in writes:
            write.outcome.set_exception(
                error if isinstance(error, TriptychError) else Internal(f"writing failed: {error}")
            )
