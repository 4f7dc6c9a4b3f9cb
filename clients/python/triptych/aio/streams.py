"""Streams of the asyncio client: bounded on the way out, watched on the way back."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from triptych.errors import DeadlineExceededError, from_rpc_error

HEAD_START_S = 0.5

Value = TypeVar("Value")
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Answer = TypeVar("Answer")


async def stream(
    method: "grpc.aio.StreamStreamMultiCallable[Request, Response]",
    values: Iterable[Value] | AsyncIterable[Value],
    build: Callable[[Value], Request],
    parse: Callable[[Response], Answer],
    *,
    max_bytes_in_flight: int,
    timeout: float,
) -> AsyncIterator[Answer]:
    """Send a request built of each value, and yield their answers, one each, parsed, as they come.

    Values are taken in a task of their own, and only while the requests unanswered are below
    `max_bytes_in_flight`; `build` runs in a thread, since it may read a file. When either raises,
    the requests before are still answered, and then the same exception is raised here. `timeout` is
    the longest wait for the next answer while one is due. Closing the iterator cancels the call.
    """
    flight = _Flight(max_bytes_in_flight, timeout)
    call = method(flight.outgoing(_requests(values, build)))
    flight.on_expiry(call.cancel)
    try:
        async for response in call:
            flight.answered()
            yield parse(response)
    except grpc.aio.AioRpcError as error:
        if flight.failure is None:
            raise from_rpc_error(error) from error
    except asyncio.CancelledError:
        # A call that was cancelled raises this in the task that reads it.
        if not flight.expired:
            raise
        raise _no_answer(timeout) from None
    finally:
        flight.land()
        call.cancel()
    if flight.failure is not None:
        raise flight.failure


async def _requests(
    values: Iterable[Value] | AsyncIterable[Value], build: Callable[[Value], Request]
) -> AsyncIterator[Request]:
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield await asyncio.to_thread(build, value)
    else:
        for value in values:
            yield await asyncio.to_thread(build, value)


async def receive(
    method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]",
    build: Callable[[], Request],
    *,
    timeout: float,
) -> AsyncGenerator[Response, None]:
    """Send one request, built when the first response is asked for, and yield the responses.

    `build` runs in a thread, since it may read files. `timeout` is the longest wait for the next
    response. Closing the generator cancels the call.
    """
    call = method(await asyncio.to_thread(build))
    try:
        while True:
            async with asyncio.timeout(timeout):
                response = await call.read()
            if response is grpc.aio.EOF:
                return
            yield cast(Response, response)
    except TimeoutError:
        raise _no_answer(timeout) from None
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    finally:
        call.cancel()


async def receive_within(
    method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]",
    build: Callable[[], Request],
    *,
    deadline: float,
) -> AsyncGenerator[Response, None]:
    """As `receive`, with a deadline of the whole call, in seconds, that the gateway is told."""
    call = method(await asyncio.to_thread(build), timeout=deadline)
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    finally:
        call.cancel()


def _no_answer(timeout: float) -> DeadlineExceededError:
    return DeadlineExceededError(
        grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer came for {timeout:g} s"
    )


class _Flight:
    """The requests of one stream that have not been answered yet."""

    def __init__(self, max_bytes: int, timeout: float) -> None:
        self.failure: Exception | None = None
        self.expired = False
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._bytes = 0
        self._sizes: deque[int] = deque()
        self._landed = False
        self._room = asyncio.Event()
        self._begun = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._cancel: Callable[[], Any] = lambda: None

    def on_expiry(self, cancel: Callable[[], Any]) -> None:
        """What to do once an answer has been due for too long."""
        self._cancel = cancel

    async def outgoing(self, requests: AsyncIterable[Request]) -> AsyncIterator[Request]:
        """Pass the requests on as room is made for them; keep what taking one raises."""
        try:
            async for request in requests:
                if not await self._enter(request.ByteSize()):
                    return
                yield request
                await self._head_start()
        except Exception as failure:
            # This runs in a task of gRPC's, which would log it and forget it.
            self.failure = failure

    async def _head_start(self) -> None:
        """Let the first request go ahead of the others until it is answered, though not for long.

        The gateway may refuse a stream by its first request. A write that meets the refusal makes
        grpc.aio tell INTERNAL in its place.
        """
        if not self._begun.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._begun.wait(), HEAD_START_S)
            self._begun.set()

    async def _enter(self, size: int) -> bool:
        while self._sizes and self._bytes + size > self._max_bytes and not self._landed:
            self._room.clear()
            await self._room.wait()
        if not self._sizes:
            self._await_answer()
        self._sizes.append(size)
        self._bytes += size
        return not self._landed

    def answered(self) -> None:
        """Take the oldest request out; an unordered stream answers others, of a size alike."""
        self._bytes -= self._sizes.popleft()
        self._await_answer()
        self._room.set()
        self._begun.set()

    def _await_answer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._landed:
            self._timer = asyncio.get_running_loop().call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        if self._sizes:
            self.expired = True
            self._cancel()

    def land(self) -> None:
        """Let everything that waits go."""
        self._landed = True
        self._room.set()
        self._begun.set()
        if self._timer is not None:
            self._timer.cancel()
