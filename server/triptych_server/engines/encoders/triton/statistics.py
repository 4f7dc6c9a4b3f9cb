"""What Triton counts of its models, as means of the last seconds.

Triton tells nothing of a single request, but adds up rows, batches and waiting times.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from operator import add, sub
from typing import Any

from triptych_server.engines.encoders.triton.addresses import Address

PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over all versions of a model: rows computed, in how many batches, and the nanoseconds
    that `requests` waited for theirs."""

    rows: int = 0
    batches: int = 0
    requests: int = 0
    queue_ns: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(add, astuple(self), astuple(other)))

    def since(self, earlier: "Counts") -> "Counts":
        """What came after `earlier`: all of it when counting has begun anew meanwhile."""
        more = Counts(*map(sub, astuple(self), astuple(earlier)))
        return self if min(astuple(more)) < 0 else more


@dataclass(frozen=True, slots=True)
class Means:
    """Rows of a batch, and nanoseconds that a request waited in Triton."""

    batch_rows: float
    queue_ns: float


CountsByTriton = Mapping[Address, Mapping[str, Counts]]


class RecentMeans:
    """Means of each model over all Tritons, between the last two times that it was at work."""

    def __init__(self) -> None:
        self._counts: dict[Address, Mapping[str, Counts]] = {}
        self._means: dict[str, Means] = {}

    def of(self, model: str) -> Means | None:
        """None before there are any."""
        return self._means.get(model)

    def update(self, polled: CountsByTriton) -> None:
        """Learn what all Tritons have counted by now. One of which nothing is told has not answered
        this time; one that is left out is no more."""
        recent: dict[str, Counts] = {}
        for address, models in polled.items():
            earlier = self._counts.get(address)
            if not earlier:  # what a Triton counted before it was known is no news
                continue
            for model, counts in models.items():
                more = counts.since(earlier.get(model, Counts()))
                recent[model] = recent.get(model, Counts()) + more
        self._counts = {each: polled[each] or self._counts.get(each, {}) for each in polled}
        for model, counts in recent.items():
            if counts.batches and counts.requests:
                rows, queue_ns = counts.rows / counts.batches, counts.queue_ns / counts.requests
                self._means[model] = Means(rows, queue_ns)


class Statistics:
    """Keeps recent means. `poll` asks the Tritons; it is called about once a second while there is
    traffic, and nobody waits for it."""

    def __init__(self, poll: Callable[[], Awaitable[CountsByTriton]]) -> None:
        self._poll = poll
        self._polled_at = float("-inf")
        self._polling: asyncio.Task[None] | None = None
        self._recent = RecentMeans()

    def means(self, model: str) -> Means | None:
        """None before there are any. Call it at every request: it is what tells of traffic."""
        now = time.monotonic()
        due = now - self._polled_at >= PERIOD_S
        if due and (self._polling is None or self._polling.done()):
            self._polled_at = now
            self._polling = asyncio.create_task(self._update())
        return self._recent.of(model)

    async def close(self) -> None:
        """Stop polling."""
        if self._polling is not None:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling

    async def _update(self) -> None:
        self._recent.update(await self._poll())


def counts_by_model(answer: Any) -> Mapping[str, Counts]:
    """Read Triton's ModelStatisticsResponse."""
    counts: dict[str, Counts] = {}
    for each in answer.model_stats:
        waited = each.inference_stats.queue
        version = Counts(each.inference_count, each.execution_count, waited.count, waited.ns)
        counts[each.name] = counts.get(each.name, Counts()) + version
    return counts
