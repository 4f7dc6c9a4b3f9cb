"""Dynamic batching: requests that wait together are computed together.

A request starts at once when a worker is idle; batches form only from what queued up while all
workers were busy (or for `max_delay_ns`, where the config asks for it). Requests join a batch only
when their tensors have equal shapes beyond the first axis, as in Triton. Everything but the
computation itself happens on the event loop, so there are no locks.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from triptych_server.engines.encoders.protocol import Inference, Tensors
from triptych_server.errors import Internal, ResourceExhausted, TriptychError, Unavailable

Outputs = Mapping[str, npt.NDArray[np.float32]]
Outcome = Outputs | TriptychError
Compute = Callable[[Tensors], Outputs]
T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How one encoder is batched.

    A batch grows to `preferred_rows`, or is one larger request. At most `instances` batches run at
    a time, and a smaller batch waits up to `max_delay_ns` to grow.
    """

    preferred_rows: int
    instances: int
    max_delay_ns: int = 0


@dataclass(slots=True, eq=False)
class Batchable:
    """One encoder as the scheduler sees it: its policy, its computation and its version."""

    policy: BatchPolicy
    compute: Compute
    version: str
    running: int = 0


@dataclass(slots=True, eq=False)
class _Request:
    inputs: Tensors
    rows: int
    future: asyncio.Future[Inference]
    enqueued_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    target: Batchable
    requests: Sequence[_Request]
    started_ns: int
    compute_ns: int

    def inference(self, request: _Request, outputs: Outputs) -> Inference:
        return Inference(
            outputs=outputs,
            version=self.target.version,
            queue_ns=self.started_ns - request.enqueued_ns,
            compute_ns=self.compute_ns,
            batch_size=sum(request.rows for request in self.requests),
        )


Shape = tuple[tuple[int, ...], ...]


class BatchScheduler:
    """Forms batches and runs them on `workers` threads, shared by all encoders.

    At most `queue_rows` rows wait; beyond that `submit` raises `ResourceExhausted` at once.
    """

    def __init__(self, workers: int, queue_rows: int) -> None:
        # One thread each, the one that was busy last on top: its caches are warm.
        self._workers = [ThreadPoolExecutor(1, f"encoder-{i}") for i in range(workers)]
        self._idle = list(self._workers)
        self._capacity = queue_rows
        self._waiting_rows = 0
        self._lanes: dict[tuple[Batchable, Shape], deque[_Request]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def submit(self, target: Batchable, inputs: Tensors, rows: int) -> Inference:
        """Compute `inputs`, possibly together with others. Cancelling leaves the queue."""
        if self._closed:
            raise _shutting_down()
        if self._waiting_rows + rows > self._capacity and self._waiting_rows:
            raise ResourceExhausted(f"{self._waiting_rows} rows already wait for the encoders")
        loop = asyncio.get_running_loop()
        request = _Request(inputs, rows, loop.create_future(), time.monotonic_ns())
        key = (target, tuple(array.shape[1:] for array in inputs.values()))
        lane = self._lanes.setdefault(key, deque())
        lane.append(request)
        self._waiting_rows += rows
        self._dispatch()
        try:
            return await request.future
        except asyncio.CancelledError:
            if request in lane:
                lane.remove(request)
                self._waiting_rows -= rows
                if not lane and self._lanes.get(key) is lane:
                    del self._lanes[key]
            raise

    async def close(self) -> None:
        """Refuse what waits, finish what runs."""
        self._closed = True
        for lane in self._lanes.values():
            for request in lane:
                if not request.future.done():  # the caller may be gone
                    request.future.set_exception(_shutting_down())
        self._lanes.clear()
        for worker in self._workers:
            await asyncio.to_thread(worker.shutdown)

    def _dispatch(self) -> None:
        """Start batches while there are idle workers and lanes that may run, oldest first."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            now = time.monotonic_ns()
            ready, wait_ns = self._oldest_ready(now)
            if ready is None:
                if wait_ns is not None:
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(wait_ns / 1e9, self._dispatch)
                return
            self._start(ready[0], self._take(ready))

    def _oldest_ready(self, now: int) -> tuple[tuple[Batchable, Shape] | None, int | None]:
        """The lane whose first request is oldest among those that may run, and otherwise the time
        until one may."""
        oldest: tuple[Batchable, Shape] | None = None
        oldest_ns = now + 1
        wait_ns: int | None = None
        for key, lane in self._lanes.items():
            policy = key[0].policy
            if key[0].running >= policy.instances:
                continue
            enqueued = lane[0].enqueued_ns
            remaining = enqueued + policy.max_delay_ns - now
            if remaining > 0 and sum(r.rows for r in lane) < policy.preferred_rows:
                wait_ns = remaining if wait_ns is None else min(wait_ns, remaining)
            elif enqueued < oldest_ns:
                oldest, oldest_ns = key, enqueued
        return oldest, wait_ns

    def _take(self, key: tuple[Batchable, Shape]) -> list[_Request]:
        """Cut the next batch from a lane: what waits is shared among the idle workers."""
        target, lane = key[0], self._lanes[key]
        waiting = sum(r.rows for r in lane)
        workers = min(len(self._idle), target.policy.instances - target.running)
        limit = min(target.policy.preferred_rows, -(-waiting // workers))
        batch = [lane.popleft()]
        rows = batch[0].rows
        while lane and rows + lane[0].rows <= limit:
            rows += lane[0].rows
            batch.append(lane.popleft())
        if not lane:
            del self._lanes[key]
        self._waiting_rows -= rows
        return batch

    def _start(self, target: Batchable, requests: list[_Request]) -> None:
        worker = self._idle.pop()
        target.running += 1
        started_ns = time.monotonic_ns()
        loop = asyncio.get_running_loop()

        def work() -> None:
            outcomes = _compute(target.compute, [request.inputs for request in requests])
            batch = _Batch(target, requests, started_ns, time.monotonic_ns() - started_ns)
            loop.call_soon_threadsafe(self._finish, worker, batch, outcomes)

        worker.submit(work)

    def _finish(
        self, worker: ThreadPoolExecutor, batch: _Batch, outcomes: Sequence[Outcome]
    ) -> None:
        self._idle.append(worker)
        batch.target.running -= 1
        for request, outcome in zip(batch.requests, outcomes, strict=True):
            if request.future.done():  # the caller is gone
                continue
            if isinstance(outcome, TriptychError):
                request.future.set_exception(outcome)
            else:
                request.future.set_result(batch.inference(request, outcome))
        if not self._closed:
            self._dispatch()


def _shutting_down() -> Unavailable:
    return Unavailable("the server is shutting down", reason="SHUTTING_DOWN")


def _compute(compute: Compute, requests: Sequence[Tensors]) -> list[Outcome]:
    """Compute requests as one batch; if that fails, each alone, so that a bad one fails alone."""
    if len(requests) > 1:
        together = _attempt(lambda: _split(compute(_joined(requests)), requests))
        if not isinstance(together, TriptychError):
            return list(together)
    return [_attempt(partial(compute, request)) for request in requests]


def _attempt(work: Callable[[], T]) -> T | TriptychError:
    try:
        return work()
    except TriptychError as error:
        return error
    except Exception as error:  # whatever it is, the callers must hear of it
        _log.exception("an encoder failed")
        return Internal(f"the encoder failed: {error}", reason="ENCODER_FAILED")


def _joined(requests: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([each[name] for each in requests]) for name in requests[0]}


def _split(outputs: Outputs, requests: Sequence[Tensors]) -> list[Outputs]:
    """The rows of each request."""
    ends = np.cumsum([len(next(iter(request.values()))) for request in requests])[:-1]
    parts = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: arrays[i] for name, arrays in parts.items()} for i in range(len(requests))]
