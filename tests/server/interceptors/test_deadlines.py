"""When work stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from calls import Refusal
from grpc import aio

from triptych.v1.embedding_pb2 import (
    EmbedRequest,
    EmbedResponse,
    StreamEmbedRequest,
    StreamEmbedResponse,
)
from triptych.v1.vision_language_pb2 import ChatDelta, ChatRequest, ChatResponse
from triptych_server import deadline
from triptych_server.interceptors.deadlines import deadlines
from triptych_server.interceptors.errors import errors

DEADLINE_S = 2  # in which a call comes in, however busy the machine is
WAIT_S = 30  # of a test that would fail
ROUNDED_S = 1.0  # what gRPC adds to a timeout at most, so that it can be told in few digits


async def endless(request: EmbedRequest, context: Any) -> EmbedResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def refused(call: Any) -> Refusal:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return Refusal(caught.value)


async def test_callers_deadline_cancels_the_work(serve: Any) -> None:
    cancelled = asyncio.Event()

    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        try:
            return await endless(request, context)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stub = await serve(errors, deadlines(longest_s=60), Embed=embed)
    refusal = await refused(stub.Embed(EmbedRequest(), timeout=DEADLINE_S))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), WAIT_S)


@pytest.mark.parametrize("timeout_s", [None, 60])
async def test_longest_deadline_holds_for_every_caller(serve: Any, timeout_s: float | None) -> None:
    stub = await serve(errors, deadlines(longest_s=0.05), Embed=endless)
    refusal = await refused(stub.Embed(EmbedRequest(), timeout=timeout_s))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refusal.reason == "DEADLINE_EXCEEDED"


async def test_work_within_the_deadline_is_answered(serve: Any) -> None:
    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        return EmbedResponse(model="a")

    stub = await serve(errors, deadlines(longest_s=60), Embed=embed)
    assert (await stub.Embed(EmbedRequest(), timeout=60)).model == "a"


@pytest.mark.parametrize(("timeout_s", "expected_s"), [(None, 60), (20, 20), (90, 60)])
async def test_work_and_its_tasks_know_the_deadline(
    serve: Any, timeout_s: float | None, expected_s: float
) -> None:
    async def tell() -> str:
        return str(deadline.remaining())

    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        return EmbedResponse(model=await asyncio.create_task(tell()))

    stub = await serve(errors, deadlines(longest_s=60), Embed=embed)
    remaining = float((await stub.Embed(EmbedRequest(), timeout=timeout_s)).model)
    assert expected_s - 10 < remaining < expected_s + ROUNDED_S


@pytest.mark.parametrize("timeout_s", [None, 20])
async def test_streams_know_their_callers_deadline_if_there_is_one(
    serve: Any, timeout_s: float | None
) -> None:
    told: list[float | None] = []

    async def stream(requests: Any, context: Any) -> AsyncIterator[StreamEmbedResponse]:
        async for _ in requests:
            told.append(deadline.remaining())
            yield StreamEmbedResponse()

    stub = await serve(errors, deadlines(longest_s=60), StreamEmbed=stream)
    call = stub.StreamEmbed(timeout=timeout_s)
    await call.write(StreamEmbedRequest())
    await call.read()
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK
    [remaining] = told
    if timeout_s is None:
        assert remaining is None
    else:
        assert remaining is not None
        assert timeout_s - 10 < remaining < timeout_s + ROUNDED_S


async def test_timeout_of_something_else_is_no_deadline(serve: Any) -> None:
    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        raise TimeoutError("disk")

    stub = await serve(errors, deadlines(longest_s=60), Embed=embed)
    refusal = await refused(stub.Embed(EmbedRequest(), timeout=60))
    assert refusal.code is grpc.StatusCode.INTERNAL
    assert "disk" not in refusal.message


async def test_streams_outlive_the_longest_deadline(serve: Any) -> None:
    async def stream(requests: Any, context: Any) -> AsyncIterator[StreamEmbedResponse]:
        async for _ in requests:
            yield StreamEmbedResponse()

    stub = await serve(errors, deadlines(longest_s=0.05), Embed=endless, StreamEmbed=stream)
    call = stub.StreamEmbed()
    for _ in range(2):
        await call.write(StreamEmbedRequest())
        assert await call.read() == StreamEmbedResponse()
        await refused(stub.Embed(EmbedRequest()))  # the longest deadline has passed
    await call.done_writing()
    assert await call.read() is aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def read_all(call: Any) -> None:
    while await call.read() is not aio.EOF:
        pass


@pytest.mark.parametrize("timeout_s", [None, DEADLINE_S, 60])
async def test_deadline_ends_a_streamed_answer_and_its_work(
    serve: Any, timeout_s: float | None
) -> None:
    cancelled = asyncio.Event()

    async def chat(request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        try:
            yield ChatResponse()
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    longest_s = 60 if timeout_s == DEADLINE_S else 0.2
    stub = await serve(errors, deadlines(longest_s), Chat=chat)
    call = stub.Chat(ChatRequest(), timeout=timeout_s)
    assert await call.read() == ChatResponse()
    refusal = await refused(read_all(call))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), WAIT_S)


async def test_deadline_holds_for_a_caller_who_does_not_read(serve: Any) -> None:
    closed = asyncio.Event()

    async def chat(request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        try:
            while True:
                yield ChatResponse(delta=ChatDelta(text="x" * 1_000_000))
        finally:
            closed.set()

    stub = await serve(errors, deadlines(longest_s=0.2), Chat=chat)
    call = stub.Chat(ChatRequest())
    assert await call.read() != ChatResponse()
    await asyncio.wait_for(closed.wait(), WAIT_S)
    refusal = await refused(read_all(call))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
