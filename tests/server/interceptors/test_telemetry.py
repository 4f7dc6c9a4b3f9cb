"""What is counted of RPCs, however they end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from calls import text
from google.protobuf.duration_pb2 import Duration
from grpc import aio
from prometheus_client import CollectorRegistry

from triptych.v1.embedding_pb2 import (
    EmbedRequest,
    EmbedResponse,
    StreamEmbedRequest,
    StreamEmbedResponse,
)
from triptych.v1.media_pb2 import Timing
from triptych.v1.vision_language_pb2 import ChatDelta, ChatEnd, ChatRequest, ChatResponse
from triptych_server.errors import NotFound, Unavailable
from triptych_server.interceptors.deadlines import deadlines
from triptych_server.interceptors.errors import errors
from triptych_server.interceptors.telemetry import Telemetry

EMBEDDING = "triptych.v1.EmbeddingService"
VISION_LANGUAGE = "triptych.v1.VisionLanguageService"
TIMING = Timing(
    preprocess=Duration(nanos=2_000_000),
    queue=Duration(),
    inference=Duration(seconds=3),
    batch_size=4,
)
DEADLINE_S = 2  # in which a call comes in, however busy the machine is
WAIT_S = 30  # of a test that would fail


class Counts:
    """The samples of one registry; those that are not there are None."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry(self.registry, [EMBEDDING, VISION_LANGUAGE])
        self._counted = asyncio.Semaphore(0)

    @asynccontextmanager
    async def around(self, request: Any, context: Any, method: str) -> AsyncIterator[None]:
        """The telemetry, and a note of what it has counted."""
        try:
            async with self.telemetry.around(request, context, method):
                yield
        finally:
            self._counted.release()

    async def after(self, rpcs: int) -> None:
        """Return once so many RPCs more have been counted: their callers may hear of it before."""
        async with asyncio.timeout(WAIT_S):
            for _ in range(rpcs):
                await self._counted.acquire()

    def __call__(self, name: str, method: str, **labels: str) -> float | None:
        service = VISION_LANGUAGE if method == "Chat" else EMBEDDING
        labels = {"grpc_service": service, "grpc_method": method} | labels
        return self.registry.get_sample_value(name, labels)

    def handled(self, method: str) -> dict[str, float]:
        """How many RPCs ended, by each code that any ended with."""
        counts = {
            sample.labels["grpc_code"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "grpc_server_handled_total" and sample.labels["grpc_method"] == method
        }
        return {code: count for code, count in counts.items() if count}


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def start(serve: Any, counts: Counts) -> Callable[..., Any]:
    """Serve methods within the telemetry, and errors and deadlines in it, as the gateway does."""

    def call(**methods: Any) -> Any:
        within = (counts.around, errors, deadlines(60))
        return serve(*within, answered=counts.telemetry.answered, **methods)

    return call


async def test_methods_are_there_from_the_start(counts: Counts) -> None:
    assert counts("grpc_server_started_total", "Rank") == 0
    assert counts("grpc_server_handled_total", "Chat", grpc_code="UNAVAILABLE") == 0
    assert counts("grpc_server_handling_seconds_count", "StreamEmbed") == 0


async def test_calls_are_counted_by_code(start: Any, counts: Counts) -> None:
    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        if request.model == "none":
            raise NotFound("no such model", reason="MODEL_NOT_FOUND")
        if request.model == "defect":
            raise KeyError("a defect")
        return EmbedResponse()

    stub = await start(Embed=embed)
    await stub.Embed(EmbedRequest())
    for model in ("none", "defect", "none"):
        with pytest.raises(aio.AioRpcError):
            await stub.Embed(EmbedRequest(model=model))
    await counts.after(4)
    assert counts.handled("Embed") == {"OK": 1, "NOT_FOUND": 2, "INTERNAL": 1}
    assert counts("grpc_server_started_total", "Embed") == 4
    assert counts("grpc_server_handling_seconds_count", "Embed") == 4
    assert counts("grpc_server_in_flight", "Embed") == 0


async def test_running_call_is_in_flight(start: Any, counts: Counts) -> None:
    seen: list[float | None] = []

    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        seen.append(counts("grpc_server_in_flight", "Embed"))
        return EmbedResponse()

    stub = await start(Embed=embed)
    await stub.Embed(EmbedRequest())
    assert seen == [1]


async def test_malformed_request_is_counted(start: Any, counts: Counts) -> None:
    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        return EmbedResponse()

    stub = await start(Embed=embed)
    with pytest.raises(aio.AioRpcError):
        await stub.channel.unary_unary(f"/{EMBEDDING}/Embed")(b"\xff\xff\xff")
    await counts.after(1)
    assert counts.handled("Embed") == {"INVALID_ARGUMENT": 1}


async def test_call_whose_caller_leaves_is_cancelled(start: Any, counts: Counts) -> None:
    inside = asyncio.Event()

    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        inside.set()
        await asyncio.Event().wait()
        return EmbedResponse()

    stub = await start(Embed=embed)
    call = stub.Embed(EmbedRequest())
    await asyncio.wait_for(inside.wait(), WAIT_S)
    call.cancel()
    await counts.after(1)
    assert counts.handled("Embed") == {"CANCELLED": 1}
    assert counts("grpc_server_in_flight", "Embed") == 0


@pytest.mark.parametrize("method", ["Embed", "StreamEmbed", "Chat"])
async def test_passed_deadline_is_told(start: Any, counts: Counts, method: str) -> None:
    forever = asyncio.Event()

    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        await forever.wait()
        return EmbedResponse()

    async def stream(requests: Any, context: Any) -> AsyncIterator[StreamEmbedResponse]:
        await forever.wait()
        yield StreamEmbedResponse()

    async def chat(request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        yield ChatResponse()
        await forever.wait()

    stub = await start(Embed=embed, StreamEmbed=stream, Chat=chat)
    with pytest.raises(aio.AioRpcError) as caught:
        if method == "Embed":
            await stub.Embed(EmbedRequest(), timeout=DEADLINE_S)
        elif method == "StreamEmbed":
            await stub.StreamEmbed(iter([StreamEmbedRequest()]), timeout=DEADLINE_S).read()
        else:
            [_ async for _ in stub.Chat(ChatRequest(), timeout=DEADLINE_S)]
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await counts.after(1)
    assert counts.handled(method) == {"DEADLINE_EXCEEDED": 1}


async def test_streams_are_counted_once_with_their_code(start: Any, counts: Counts) -> None:
    async def embed(requests: Any, context: Any) -> AsyncIterator[StreamEmbedResponse]:
        async for request in requests:
            if request.id == "bad":
                raise Unavailable("gone")
            yield StreamEmbedResponse(timing=TIMING)

    stub = await start(StreamEmbed=embed)
    requests = [StreamEmbedRequest(id=str(i), content=text("a")) for i in range(3)]
    assert len([each async for each in stub.StreamEmbed(iter(requests))]) == 3
    with pytest.raises(aio.AioRpcError):
        await stub.StreamEmbed(iter([StreamEmbedRequest(id="bad")])).read()
    await counts.after(2)
    assert counts.handled("StreamEmbed") == {"OK": 1, "UNAVAILABLE": 1}
    assert counts("triptych_batch_rows_count", "StreamEmbed") == 3
    assert counts("triptych_batch_rows_sum", "StreamEmbed") == 12


async def test_stages_that_took_time_are_observed(start: Any, counts: Counts) -> None:
    async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
        return EmbedResponse(timing=TIMING)

    stub = await start(Embed=embed)
    await stub.Embed(EmbedRequest())
    await counts.after(1)
    sums = {
        stage: counts("triptych_stage_seconds_sum", "Embed", stage=stage)
        for stage in ("preprocess", "queue", "inference", "generation", "first_token")
    }
    assert sums == {
        "preprocess": 0.002,
        "queue": 0,  # it need not wait, and that counts
        "inference": 3,
        "generation": None,
        "first_token": None,
    }


async def test_timing_of_a_chat_is_that_of_its_end(start: Any, counts: Counts) -> None:
    async def chat(request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        yield ChatResponse(delta=ChatDelta(text="so"))
        yield ChatResponse(end=ChatEnd(timing=Timing(generation=Duration(seconds=2))))

    stub = await start(Chat=chat)
    assert len([each async for each in stub.Chat(ChatRequest())]) == 2
    await counts.after(1)
    assert counts("triptych_stage_seconds_sum", "Chat", stage="generation") == 2
    assert counts("triptych_stage_seconds_count", "Chat", stage="generation") == 1
    assert counts.handled("Chat") == {"OK": 1}
