"""Bidirectional streams of the blocking client: bounded on the way out, watched on the way back."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

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
    flight = _Flight(max_bytes_in_flight)
    call = method(flight.outgoing(requests))
    watch = threading.Thread(target=flight.watch, args=(timeout, call.cancel), daemon=True)
    watch.start()
    try:
        for response in call:
            flight.answered()
            yield parse(response)
    except grpc.RpcError as error:
        if flight.expired:
            raise DeadlineExceededError(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer came for {timeout:g} s"
            ) from None
        if flight.failure is None:
            raise from_rpc_error(error) from error
    finally:
        flight.land()
        call.cancel()
    if flight.failure is not None:
        raise flight.failure


class _Flight:
    """The requests of one stream that have not been answered yet."""

    def __init__(self, max_bytes: int) -> None:
        self.failure: Exception | None = None
        self.expired = False
        self._max_bytes = max_bytes
        self._bytes = 0
        self._sizes: deque[int] = deque()
        self._due_since = 0.0  # when the wait for the next answer began
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
                self._due_since = time.monotonic()
            self._sizes.append(size)
            self._bytes += size
            return not self._landed.is_set()

    def answered(self) -> None:
        """Take the oldest request out; an unordered stream answers others, of a size alike."""
        with self._changed:
            self._bytes -= self._sizes.popleft()
            self._due_since = time.monotonic()
            self._changed.notify()

    def watch(self, timeout: float, cancel: Callable[[], Any]) -> None:
        """Cancel the call once an answer has been due for `timeout` seconds."""
        remaining = timeout
        while not self._landed.wait(remaining):
            with self._changed:
                due = self._due_since if self._sizes else time.monotonic()
            remaining = due + timeout - time.monotonic()
            if remaining <= 0:
                self.expired = True
                cancel()
                return

    def land(self) -> None:
        """Let everything that waits go."""
        with self._changed:
            self._landed.set()
            self._changed.notify()
