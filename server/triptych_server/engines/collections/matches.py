"""Remembering which items match a filter.

An item never changes under its seq, so what was found for a filter stays true, and only items
written since need be compared: only the first search with a filter reads all metadata.
"""

import threading
from collections import OrderedDict

import numpy as np

from triptych_server.engines.collections.exact import Rows
from triptych_server.engines.collections.filters import Filter, unparse
from triptych_server.engines.collections.reader import Reader, Seqs
from triptych_server.engines.collections.view import View

MAX_FILTERS = 32  # of each collection; one takes 8 bytes an item that matches


class MatchCache:
    """The last filters of one collection, and the seqs that matched up to a tick."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[int, Seqs]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, filter: Filter, reader: Reader, view: View) -> Rows:
        """Rows of `view` that match; `reader` is in the same state. Dead rows may be among them."""
        key = unparse(filter)
        with self._lock:
            tick, known = self._found.get(key, (0, np.empty(0, np.int64)))
        if tick > view.tick:  # another search was in a later state
            return view.rows(reader.matching(filter, after=0))
        rows = view.rows(np.concatenate([known, reader.matching(filter, after=tick)]))
        living = view.seqs(rows[view.live[rows]])
        with self._lock:
            self._found[key] = (view.tick, living)
            self._found.move_to_end(key)
            if len(self._found) > MAX_FILTERS:
                self._found.popitem(last=False)
        return rows
