"""Making the next segment of a collection, in the background."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from triptych_server.engines.collections import graph, segment
from triptych_server.engines.collections.exact import Rows, Vectors
from triptych_server.engines.collections.protocol import IndexKind, IndexPolicy
from triptych_server.engines.collections.segment import Segment
from triptych_server.engines.collections.view import View

MIN_GRAPH_ROWS = 1_000  # below, HNSW collections are compared exactly as well
MAX_TAIL_ROWS = 10_000  # beyond, and beyond the share, the tail goes into a new segment
MAX_TAIL_SHARE = 0.2
MAX_DEAD_ROWS = 1_000  # beyond, and beyond the share, dead rows are left behind
MAX_DEAD_SHARE = 0.25
_BLOCK_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class Plan:
    """What the next segment is made of: the rows `kept` of a view, the first `linked` of them with
    the links that they have. `graph` says whether it gets a graph at all."""

    view: View
    kept: Rows
    linked: int
    graph: bool


def plan(view: View, policy: IndexPolicy) -> Plan | None:
    """The merge that is due, if one is."""
    has_graph = view.segment is not None and view.segment.graph is not None
    wants_graph = has_graph or view.live_count >= (
        MIN_GRAPH_ROWS if policy.kind is IndexKind.HNSW else max(policy.threshold, MIN_GRAPH_ROWS)
    )
    wants_graph = wants_graph and policy.kind is not IndexKind.FLAT
    tail = len(view.tail_seqs)
    compact = view.dead_count > max(MAX_DEAD_ROWS, MAX_DEAD_SHARE * len(view.live))
    due = (
        compact
        or (wants_graph and not has_graph)
        or tail > max(MAX_TAIL_ROWS, MAX_TAIL_SHARE * view.boundary)
    )
    if not due:
        return None
    if has_graph and not compact:
        kept = np.concatenate(
            [np.arange(view.boundary), np.flatnonzero(view.live[view.boundary :]) + view.boundary]
        )
        return Plan(view, kept, linked=view.boundary, graph=True)
    return Plan(view, np.flatnonzero(view.live), linked=0, graph=wants_graph)


def carry_out(plan: Plan, directory: Path, stop: threading.Event) -> Segment | None:
    """Write the planned segment; None when no row is kept. Raises `OSError` when the disk is full,
    and `BuildStoppedError` soon after `stop` is set."""
    if len(plan.kept) == 0:
        return None
    present = plan.view.segment
    link = None
    if plan.graph:
        links = present.links if present and plan.linked else None
        link = partial(_link, linked=plan.linked, links=links, stop=stop)
    number = present.number + 1 if present else 1
    return segment.write(directory, number, _blocks(plan, stop), plan.view.seqs(plan.kept), link)


def _link(
    vectors: Vectors, target: Path, *, linked: int, links: Path | None, stop: threading.Event
) -> None:
    graph.build(vectors, linked, links, target, stop)


def _blocks(plan: Plan, stop: threading.Event) -> Iterator[Vectors]:
    """The kept vectors, some thousands at a time."""
    for start in range(0, len(plan.kept), _BLOCK_ROWS):
        if stop.is_set():
            raise graph.BuildStoppedError
        yield plan.view.vectors(plan.kept[start : start + _BLOCK_ROWS])
