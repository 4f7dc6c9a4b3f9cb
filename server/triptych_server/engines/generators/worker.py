"""The thread that computes the requests of one generator."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from triptych_server.engines.generators.beam_batch import BeamBatch, BeamRequest
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.requests import Outbox, Request, RowsRequest
from triptych_server.engines.generators.running_batch import RunningBatch, failed
from triptych_server.errors import (
    FailedPrecondition,
    ResourceExhausted,
    TriptychError,
    Unavailable,
)

_log = logging.getLogger(__name__)

# Tokens of prompts that may be computed between two steps, unless one prompt alone is longer: so
# long do running texts wait at most for those that join.
PREFILL_TOKENS = 512


class Worker:
    """Computes requests, in the order in which they come, as many at a time as the cache can hold.

    A request is admitted when all tokens that it may ever hold fit beside those of the running
    ones; until then it waits, and all later ones behind it, so that nobody is passed over and each
    waits only for what came before it. Beam searches and the running batch of all others take
    turns: after each step of the batch so many searches take one that they have as many rows. So
    texts go at half their speed beside searches, however many these are.
    """

    def __init__(self, name: str, decoder: Decoder, *, queue: int, cache_tokens: int) -> None:
        """Starts the thread. `queue` requests may wait; all together hold `cache_tokens`.

        To be made on the event loop that the requests come from.
        """
        self._decoder = decoder
        self._queue = queue
        self._cache_tokens = cache_tokens
        self._outbox = Outbox(asyncio.get_running_loop())
        self._changed = threading.Condition()  # guards `_waiting` and `_closed`
        self._waiting: deque[Request] = deque()
        self._closed = False
        self._running: list[Request] = []
        self._rows = RunningBatch(decoder, self._outbox)
        self._searches: deque[BeamBatch] = deque()  # the next to take a step first
        self._thread = threading.Thread(target=self._run, name=f"generator-{name}", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """It computes nothing any more."""
        return self._closed

    def submit(self, request: Request) -> None:
        """Queue a request; its events come from now on.

        Raises `FailedPrecondition` when it can never fit, `ResourceExhausted` when the queue is
        full, and `Unavailable` after `close`.
        """
        if request.tokens > self._cache_tokens:
            raise FailedPrecondition(
                f"prompt and texts may take {request.tokens} tokens, and the generator's memory "
                f"holds {self._cache_tokens}",
                reason="EXCEEDS_GENERATOR_MEMORY",
            )
        with self._changed:
            if self._closed:
                raise stopped()
            self.check_room()
            self._waiting.append(request)
            self._changed.notify()

    def check_room(self) -> None:
        """Raise `ResourceExhausted` if the queue is full."""
        waiting = len(self._waiting)
        if waiting >= self._queue:
            raise ResourceExhausted(f"{waiting} requests wait for the generator")

    def cancel(self, request: Request) -> None:
        """End a request before the next step, wherever it is. It need not run any more."""
        request.cancelled = True
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)

    async def close(self) -> None:
        """End all requests after the present step."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while self._await_work():
                self._turn()
        finally:  # also of a thread that dies, so that nobody waits for it
            with self._changed:
                self._closed = True
            for request in [*self._running, *self._waiting]:
                self._outbox.fail(request, stopped())
            self._outbox.send()

    def _turn(self) -> None:
        """Let requests leave and join, and take a step with each batch."""
        self._prune()
        self._join(self._admitted())
        self._outbox.send()
        self._attempt(self._rows, self._rows.step)
        self._outbox.send()
        self._search(len(self._rows))

    def _search(self, least_rows: int) -> None:
        """Let searches take a step in turn, until they have at least so many rows together."""
        rows = 0
        for search in list(self._searches):
            self._attempt(search, search.step)
            self._outbox.send()
            self._searches.rotate(-1)
            rows += len(search)
            if rows >= least_rows:
                break

    def _await_work(self) -> bool:
        """Wait until there is something to compute; False after `close`."""
        with self._changed:
            while not (self._closed or self._waiting or self._rows or self._searches):
                self._changed.wait()
            return not self._closed

    def _prune(self) -> None:
        """Free the places of requests that are over."""
        self._attempt(self._rows, self._rows.prune)
        self._searches = deque(search for search in self._searches if len(search))
        self._running = [request for request in self._running if not request.over]

    def _admitted(self) -> list[Request]:
        """Take from the queue what fits the cache, and not too many prompts at once."""
        admitted: list[Request] = []
        room = self._cache_tokens - sum(request.tokens for request in self._running)
        prefill = 0
        with self._changed:
            while self._waiting and self._waiting[0].tokens <= room:
                prefill += len(self._waiting[0].prompt)
                if admitted and prefill > PREFILL_TOKENS:
                    break
                request = self._waiting.popleft()
                room -= request.tokens
                request.admit()
                admitted.append(request)
        return admitted

    def _join(self, requests: list[Request]) -> None:
        self._running += requests
        rows = [request for request in requests if isinstance(request, RowsRequest)]
        if rows:
            self._attempt(self._rows, lambda: self._rows.join(rows), rows)
        for request in requests:
            if isinstance(request, BeamRequest):
                search = BeamBatch(self._decoder, request, self._outbox)
                self._searches.append(search)
                self._attempt(search, search.start)

    def _attempt(
        self,
        batch: RunningBatch | BeamBatch,
        work: Callable[[], None],
        joining: Sequence[Request] = (),
    ) -> None:
        """Work on a batch; if that fails, its requests do, and the thread goes on."""
        try:
            work()
        except Exception as error:  # whatever it is, the callers must hear of it
            if not isinstance(error, TriptychError):
                _log.exception("a generator failed")
                error = failed(error)
            batch.fail(error)
            for request in joining:
                self._outbox.fail(request, error)


def stopped() -> Unavailable:
    """The error of requests after the worker's end."""
    return Unavailable("the generator has stopped", reason="GENERATOR_STOPPED")
