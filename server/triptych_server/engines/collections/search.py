"""Search in a view: by the graph where that pays, else exactly."""

import numpy as np

from triptych_server.engines.collections import exact
from triptych_server.engines.collections.exact import Mask, Rows, Vectors
from triptych_server.engines.collections.segment import Segment
from triptych_server.engines.collections.view import View

MAX_GRAPH_K = 1_000  # above, walking the graph costs more than comparing with all
FEW_ROWS = 10_000  # a filter that leaves fewer, or a smaller share, is answered exactly
FEW_SHARE = 0.05
MIN_DEPTH = 128  # candidates that a walk of the graph keeps at least
MAX_DEPTH = 4_096


def nearest(
    view: View, query: Vectors, k: int, allowed: Mask, filtered: bool
) -> tuple[Rows, Vectors]:
    """The `k` of the `allowed` `[B + T]` rows nearest to `query` `[D]`, and their inner products.

    Best first, and of equals the one written earlier; fewer than `k` only when fewer are allowed.
    `filtered` says that `allowed` leaves out more than deleted rows.
    """
    query = np.ascontiguousarray(query, dtype=np.float32)
    tail = exact.nearest(view.tail_vectors, query, k, allowed[view.boundary :])
    if view.segment is None:
        rows, products = tail
    else:
        among = allowed[: view.boundary]
        first = _in_segment(view.segment, query, k, among, filtered)
        rows = np.concatenate([first[0], tail[0] + view.boundary])
        products = np.concatenate([first[1], tail[1]])
    best = np.lexsort((rows, -products))[:k]
    return rows[best], products[best]


def _in_segment(
    segment: Segment, query: Vectors, k: int, allowed: Mask, filtered: bool
) -> tuple[Rows, Vectors]:
    count = int(np.count_nonzero(allowed))
    few = filtered and count < max(FEW_ROWS, FEW_SHARE * len(allowed))
    if segment.graph and k <= MAX_GRAPH_K and not few:
        # Searching for a power of two makes the pages of one query parts of one ranking.
        wanted = 1 << (k - 1).bit_length()
        depth = max(MIN_DEPTH, 2 * wanted) * len(allowed) / max(count, 1)
        rows, products = segment.graph.search(query, wanted, min(int(depth), MAX_DEPTH), allowed)
        if len(rows) >= min(k, count):
            return rows, products
    return exact.nearest(segment.vectors, query, k, allowed)
