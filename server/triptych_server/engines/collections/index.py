"""The vectors of one collection in memory, kept in step with its database."""

import logging
import threading
from pathlib import Path

import numpy as np

from triptych_server.engines.collections import segment
from triptych_server.engines.collections.database import Transaction
from triptych_server.engines.collections.merge import Plan
from triptych_server.engines.collections.reader import Reader
from triptych_server.engines.collections.segment import Segment
from triptych_server.engines.collections.view import Tail, View, make_view
from triptych_server.errors import Unavailable

_LOAD_ROWS = 10_000  # vectors read from the database at once
_MAX_LAG = 5.0  # seconds between a commit and its view, at the very most

_log = logging.getLogger(__name__)


class VectorIndex:
    """Hands out views. One thread at a time calls `load`, `apply` and `adopt`; any thread the rest.

    A million vectors of 512 components take 2 GB of page cache for the segment, which the system
    may take back, 0.3 GB of memory for the links of a graph, and up to 0.4 GB for the tail. While a
    graph grows it needs another 2.3 GB. On disk the segment comes on top of the database.
    """

    def __init__(self, directory: Path, dimension: int) -> None:
        self._directory = directory
        self._dimension = dimension
        self._tail = Tail(dimension)
        self._view = make_view(0, None, self._tail, np.empty(0, np.bool_))
        self._published = threading.Condition()

    @property
    def view(self) -> View:
        """The present state."""
        return self._view

    def reached(self, tick: int) -> View:
        """The present state once it is at least that of `tick`, which was committed."""
        if self._view.tick < tick:
            with self._published:
                if not self._published.wait_for(lambda: self._view.tick >= tick, _MAX_LAG):
                    raise Unavailable("the index is behind its database", reason="INDEX_BEHIND")
        return self._view

    def load(self, reader: Reader) -> None:
        """Build the view from the newest segment and from what the database has beyond it."""
        with reader.snapshot() as tick:
            seqs = reader.seqs()
            first = segment.newest(self._directory, self._dimension)
            live = np.empty(0, np.bool_)
            after = 0
            if first is not None:
                live = np.isin(first.seqs, seqs)
                after = int(first.seqs[-1])
                if np.count_nonzero(live) != np.count_nonzero(seqs <= after):
                    _log.warning("%s lacks items and will be made again", first.directory)
                    first, live, after = None, np.empty(0, np.bool_), 0
            tail = Tail(self._dimension)
            while True:
                loaded, vectors = reader.vectors(after, _LOAD_ROWS, self._dimension)
                if len(loaded) == 0:
                    break
                tail.append(loaded, vectors)
                after = int(loaded[-1])
        live = np.concatenate([live, np.ones(len(tail.seqs), np.bool_)])
        self._publish(make_view(tick, first, tail, live), tail)

    def apply(self, transaction: Transaction) -> None:
        """Follow a transaction that was committed."""
        view, tail = self._view, self._tail
        live = np.concatenate([view.live, np.ones(len(transaction.added), np.bool_)])
        live[view.rows(np.array(transaction.removed, np.int64))] = False
        if transaction.added:
            seqs = np.array(list(transaction.added), np.int64)
            tail.append(seqs, np.stack(list(transaction.added.values())))
        self._publish(make_view(transaction.tick, view.segment, tail, live), tail)

    def adopt(self, plan: Plan, made: Segment | None) -> None:
        """Put the segment made by a plan in the place of the rows that it was made of."""
        view = self._view
        count = len(plan.view.live)  # rows since then stay in the tail
        tail = Tail(self._dimension)
        tail.append(
            view.tail_seqs[count - view.boundary :], view.tail_vectors[count - view.boundary :]
        )
        live = np.concatenate([view.live[plan.kept], view.live[count:]])
        self._publish(make_view(view.tick, made, tail, live), tail)

    def _publish(self, view: View, tail: Tail) -> None:
        self._tail = tail
        with self._published:
            self._view = view
            self._published.notify_all()
