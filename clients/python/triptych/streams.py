"""Streams of the blocking client: bounded on the way out, watched on the way back."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from triptych.errors import DeadlineExceededError, from_rpc_error

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Answer = TypeVar("Answer")


def stream(
    method: "grpc.StreamStreamMultiCallable[Request, Response]",
    requests: Iterable[Request],
    parse: Callable[[Response], Answer],
    *,
    max_bytes_in_flight: int,
    timeout: float,
) -> Iterator[Answer]:
    """Send `requests` and yield their answers, one each, parsed, as they come.

    The requests are taken in a thread of gRPC, and only while those unanswered are below
    `max_bytes_in_flight`. When taking one raises, those before it are still answered, and then the
    same exception is raised here. `timeout` is the longest wait for the next answer while one is
    due. Closing the iterator cancels the call.
    """
    patience = Patience(timeout)
    flight = _Flight(max_bytes_in_flight, patience)
    call = method(flight.outgoing(requests))
    patience.watch(call.cancel)
    try:
        for response in call:
            flight.answered()
            yield parse(response)
    except grpc.RpcError as error:
        if patience.expired:
            raise patience.error() from None
        if flight.failure is None:
            raise from_rpc_error(error) from error
    finally:
        patience.end()
        flight.land()
        call.cancel()
    if flight.failure is not None:
        raise flight.failure


def receive(
    method: "grpc.UnaryStreamMultiCallable[Request, Response]",
    build: Callable[[], Request],
    *,
    timeout: float,
) -> Generator[Response, None, None]:
    """Send one request, built when the first response is asked for, and yield the responses.

    `timeout` is the longest wait for the next response. Closing the generator cancels the call.
    """
    patience = Patience(timeout)
    call = method(build())
    patience.watch(call.cancel)
    try:
        patience.await_answer()
        for response in call:
            patience.rest()
            yield response
            patience.await_answer()
    except grpc.RpcError as error:
        if patience.expired:
            raise patience.error() from None
        raise from_rpc_error(error) from error
    finally:
        patience.end()
        call.cancel()


def receive_within(
    method: "grpc.UnaryStreamMultiCallable[Request, Response]",
    build: Callable[[], Request],
    *,
    deadline: float,
) -> Generator[Response, None, None]:
    """As `receive`, with a deadline of the whole call, in seconds, that the gateway is told."""
    call = method(build(), timeout=deadline)
    try:
        yield from call
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
    finally:
        call.cancel()


class Patience:
    """Ends a call once its next answer has been due for `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.expired = False
        self._timeout = timeout
        self._due_since: float | None = None
        self._over = threading.Event()

    def watch(self, cancel: Callable[[], object]) -> None:
        """Begin to watch, in a thread; `cancel` ends the call."""
        threading.Thread(target=self._watch, args=(cancel,), daemon=True).start()

    def await_answer(self) -> None:
        """An answer is due from now on."""
        self._due_since = time.monotonic()

    def rest(self) -> None:
        """No answer is due."""
        self._due_since = None

    def end(self) -> None:
        """Watch no more."""
        self._over.set()

    def error(self) -> DeadlineExceededError:
        """What to raise when it has expired."""
        return DeadlineExceededError(
            grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer came for {self._timeout:g} s"
        )

    def _watch(self, cancel: Callable[[], object]) -> None:
        remaining = self._timeout
        while not self._over.wait(remaining):
            now = time.monotonic()
            due = self._due_since
            remaining = (now if due is None else due) + self._timeout - now
            if remaining <= 0:
                self.expired = True
                cancel()
                return


class _Flight:
    """The requests of one stream that have not been answered yet."""

    def __init__(self, max_bytes: int, patience: Patience) -> None:
        self.failure: Exception | None = None
        self._patience = patience
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sizes: deque[int] = deque()
        self._changed = threading.Condition()
        self._landed = threading.Event()

    def outgoing(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Pass the requests on as room is made for them; keep what taking one raises."""
        try:
            for request in requests:
                if not self._enter(request.ByteSize()):
                    return
                yield request
        except Exception as failure:
            # This runs in a thread of gRPC's, which would log it and forget it.
            self.failure = failure

    def _enter(self, size: int) -> bool:
        with self._changed:
            while self._sizes and self._bytes + size > self._max_bytes:
                if self._landed.is_set():
                    return False
                self._changed.wait()
            if not self._sizes:
                self._patience.await_answer()
            self._sizes.append(size)
            self._bytes += size
            return not self._landed.is_set()

    def answered(self) -> None:
        """Take the oldest request out; an unordered stream answers others, of a size alike."""
        with self._changed:
            self._bytes -= self._sizes.popleft()
            if self._sizes:
                self._patience.await_answer()
            else:
                self._patience.rest()
            self._changed.notify()

    def land(self) -> None:
        """Let everything that waits go."""
        with self._changed:
            self._landed.set()
            self._changed.notify()
