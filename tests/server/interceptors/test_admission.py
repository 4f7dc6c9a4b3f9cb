"""What is let in, and what is refused at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from calls import Refusal, text
from grpc import aio

from triptych.v1.embedding_pb2 import (
    EmbedRequest,
    EmbedResponse,
    StreamEmbedRequest,
    StreamEmbedResponse,
)
from triptych.v1.vision_language_pb2 import ChatRequest, ChatResponse
from triptych_server.interceptors.admission import Admission
from triptych_server.interceptors.errors import errors

SMALL = EmbedRequest()
LARGE = EmbedRequest(contents=[text("x" * 1000)])
MANY = 1_000_000
WAIT_S = 30  # of a test that would fail


class Held:
    """RPCs that are held until they are released, one by one or all."""

    def __init__(self) -> None:
        self._inside = asyncio.Semaphore(0)
        self._left = asyncio.Semaphore(0)
        self._released = asyncio.Semaphore(0)

    async def embed(self, request: EmbedRequest, context: Any) -> EmbedResponse:
        self._inside.release()
        try:
            await self._released.acquire()
        finally:
            self._left.release()
        return EmbedResponse(model="admitted")

    async def stream(self, requests: Any, context: Any) -> AsyncIterator[StreamEmbedResponse]:
        self._inside.release()
        try:
            async for _ in requests:
                yield StreamEmbedResponse()
        finally:
            self._left.release()

    async def chat(self, request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        self._inside.release()
        try:
            yield ChatResponse()
            await self._released.acquire()
        finally:
            self._left.release()

    async def inside(self) -> None:
        """Return when one more has been let in."""
        await asyncio.wait_for(self._inside.acquire(), WAIT_S)

    async def left(self) -> None:
        """Return when one more has ended."""
        await asyncio.wait_for(self._left.acquire(), WAIT_S)

    def release(self) -> None:
        self._released.release()


@pytest.fixture
def held() -> Held:
    return Held()


async def start(serve: Any, held: Held, *, calls: int, streams: int, size: int) -> Any:
    admission = Admission(calls=calls, streams=streams, size=size)
    methods = {"Embed": held.embed, "StreamEmbed": held.stream, "Chat": held.chat}
    return await serve(errors, admission.around, **methods)


async def assert_refused(call: Any) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await asyncio.wait_for(call, WAIT_S)
    refused = Refusal(caught.value)
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.retry_after


async def test_call_beyond_the_bound_is_refused_until_one_ends(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=2, streams=0, size=MANY)
    admitted = [stub.Embed(SMALL) for _ in range(2)]
    for _ in admitted:
        await held.inside()
    await assert_refused(stub.Embed(SMALL))
    held.release()
    await held.left()
    admitted.append(stub.Embed(SMALL))
    await held.inside()
    await assert_refused(stub.Embed(SMALL))
    held.release()
    held.release()
    assert [(await call).model for call in admitted] == ["admitted"] * 3


async def test_bytes_beyond_the_bound_are_refused_until_some_are_freed(
    serve: Any, held: Held
) -> None:
    size = 2 * LARGE.ByteSize()
    stub = await start(serve, held, calls=MANY, streams=0, size=size)
    admitted = [stub.Embed(LARGE) for _ in range(2)]
    for _ in admitted:
        await held.inside()
    await assert_refused(stub.Embed(LARGE))
    held.release()
    await held.left()
    admitted.append(stub.Embed(LARGE))
    await held.inside()
    held.release()
    held.release()
    assert [(await call).model for call in admitted] == ["admitted"] * 3


async def test_request_larger_than_the_bound_is_admitted_alone(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=MANY, streams=0, size=10)
    alone = stub.Embed(LARGE)
    await held.inside()
    await assert_refused(stub.Embed(LARGE))
    held.release()
    assert (await alone).model == "admitted"


async def test_cancelled_calls_give_their_room_back(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=2, streams=0, size=2 * LARGE.ByteSize())
    for _ in range(3):
        admitted = [stub.Embed(LARGE) for _ in range(2)]
        for _ in admitted:
            await held.inside()
        for call in admitted:
            call.cancel()
        for _ in admitted:
            await held.left()
    last = stub.Embed(LARGE)
    held.release()
    assert (await last).model == "admitted"


async def test_stream_beyond_the_bound_is_refused_until_one_ends(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=0, streams=1, size=MANY)
    first = stub.StreamEmbed()
    await held.inside()
    await assert_refused(stub.StreamEmbed().read())
    await first.done_writing()
    assert await first.read() is aio.EOF
    await held.left()
    second = stub.StreamEmbed(iter([StreamEmbedRequest()]))
    assert await second.read() == StreamEmbedResponse()


async def test_cancelled_stream_gives_its_room_back(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=0, streams=1, size=MANY)
    for _ in range(3):
        call = stub.StreamEmbed()
        await held.inside()
        call.cancel()
        await held.left()
    call = stub.StreamEmbed(iter([StreamEmbedRequest()]))
    assert await call.read() == StreamEmbedResponse()


async def test_streams_and_calls_leave_each_other_room(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=1, streams=1, size=MANY)
    stream = stub.StreamEmbed()
    await held.inside()
    call = stub.Embed(SMALL)
    await held.inside()
    await assert_refused(stub.StreamEmbed().read())
    await assert_refused(stub.Embed(SMALL))
    await stream.write(StreamEmbedRequest())
    assert await stream.read() == StreamEmbedResponse()
    held.release()
    assert (await call).model == "admitted"


async def test_streamed_answer_is_a_call_until_its_end(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=1, streams=0, size=MANY)
    chat = stub.Chat(ChatRequest())
    assert await chat.read() == ChatResponse()
    await assert_refused(stub.Chat(ChatRequest()).read())
    await assert_refused(stub.Embed(SMALL))
    held.release()
    assert await chat.read() is aio.EOF
    await held.left()
    held.release()
    assert (await stub.Embed(SMALL)).model == "admitted"


async def test_bytes_of_a_streamed_answers_request_are_held(serve: Any, held: Held) -> None:
    large = ChatRequest(model="x" * 1000)
    stub = await start(serve, held, calls=MANY, streams=0, size=large.ByteSize())
    chat = stub.Chat(large)
    assert await chat.read() == ChatResponse()
    await assert_refused(stub.Chat(large).read())


async def test_cancelled_streamed_answer_gives_its_room_back(serve: Any, held: Held) -> None:
    stub = await start(serve, held, calls=1, streams=0, size=MANY)
    for _ in range(3):
        chat = stub.Chat(ChatRequest())
        assert await chat.read() == ChatResponse()
        chat.cancel()
        await held.left()
    assert await stub.Chat(ChatRequest()).read() == ChatResponse()
