"""Lets requests through to Triton in runs of equal shape.

Triton's batcher closes a batch at the first request of another shape, so texts of mixed lengths,
sent as they arrive, would be computed almost one by one. A request passes at once while few runs
are out; what waits meanwhile is sorted by shape and passes together.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from triptych_server.errors import ResourceExhausted


@dataclass(slots=True, eq=False)
class _Run:
    """Requests that passed together, as many as have not come back."""

    requests: int = 0


@dataclass(slots=True, eq=False)
class _Ticket:
    rows: int
    passed: asyncio.Event = field(default_factory=asyncio.Event)
    run: _Run | None = None


class Turnstile:
    """The way to one encoder.

    At most `runs` runs are out at a time, each of at most `run_rows` rows (or one larger request),
    and at most `waiting_rows` rows wait. Shapes take turns, so that none starves.
    """

    def __init__(self, *, runs: int, run_rows: int, waiting_rows: int) -> None:
        self._runs = runs
        self._free = runs  # negative while more are out than may be now
        self._run_rows = run_rows
        self._capacity = waiting_rows
        self._waiting_rows = 0
        self._lanes: dict[Hashable, deque[_Ticket]] = {}

    def resize(self, *, runs: int, run_rows: int) -> None:
        """Change the bounds of what may be out."""
        self._free += runs - self._runs
        self._runs = runs
        self._run_rows = run_rows
        self._admit()

    @asynccontextmanager
    async def passage(self, shape: Hashable, rows: int) -> AsyncIterator[None]:
        """Wait for the turn of `shape`; the block is the time that the request is out.

        Raises `ResourceExhausted` at once when too many rows wait.
        """
        if self._waiting_rows and self._waiting_rows + rows > self._capacity:
            raise ResourceExhausted(f"{self._waiting_rows} rows already wait for the encoder")
        ticket = _Ticket(rows)
        self._lanes.setdefault(shape, deque()).append(ticket)
        self._waiting_rows += rows
        self._admit()
        try:
            await ticket.passed.wait()
            yield
        finally:
            if ticket.run is None:
                self._give_up(shape, ticket)
            else:
                self._come_back(ticket.run)

    def _admit(self) -> None:
        while self._free > 0 and self._lanes:
            shape = next(iter(self._lanes))
            lane = self._lanes.pop(shape)
            self._start_run(lane)
            if lane:
                self._lanes[shape] = lane  # behind the other shapes

    def _start_run(self, lane: deque[_Ticket]) -> None:
        self._free -= 1
        run = _Run()
        room = max(self._run_rows, lane[0].rows)
        while lane and lane[0].rows <= room:
            ticket = lane.popleft()
            room -= ticket.rows
            self._waiting_rows -= ticket.rows
            run.requests += 1
            ticket.run = run
            ticket.passed.set()

    def _come_back(self, run: _Run) -> None:
        run.requests -= 1
        if not run.requests:
            self._free += 1
            self._admit()

    def _give_up(self, shape: Hashable, ticket: _Ticket) -> None:
        lane = self._lanes[shape]
        lane.remove(ticket)
        self._waiting_rows -= ticket.rows
        if not lane:
            del self._lanes[shape]
