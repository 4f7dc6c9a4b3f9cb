"""What a caller learns of an error."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from calls import Refusal
from grpc import aio

from triptych.v1.embedding_pb2 import EmbedRequest, EmbedResponse, StreamEmbedRequest
from triptych.v1.vision_language_pb2 import ChatRequest, ChatResponse
from triptych_server.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TriptychError,
    Unavailable,
    Violation,
)
from triptych_server.interceptors.errors import errors

LONG = "x" * 100_000
WIDE = Violation("図" * 1000, "図" * 1000)
Raised = Callable[[Exception], Awaitable[aio.AioRpcError]]


@pytest.fixture
def raised(serve: Any) -> Raised:
    """Call with what the server shall raise; returns what the caller gets."""

    async def call(error: Exception) -> aio.AioRpcError:
        async def embed(request: EmbedRequest, context: Any) -> EmbedResponse:
            raise error

        stub = await serve(errors, Embed=embed)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Embed(EmbedRequest())
        return caught.value

    return call


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("contents", "is empty"),
        NotFound("no such item", reason="ITEM_NOT_FOUND"),
        AlreadyExists("taken", reason="COLLECTION_EXISTS"),
        FailedPrecondition("another space", reason="SPACE_MISMATCH"),
        ResourceExhausted("full"),
        Unavailable("gone"),
        DeadlineExceeded(),
        Internal("broken"),
    ],
    ids=lambda error: error.code.name,
)
async def test_error_keeps_its_code_and_reason(raised: Raised, error: TriptychError) -> None:
    refused = Refusal(await raised(error))
    assert refused.code is grpc.StatusCode[error.code.name]
    assert refused.reason == error.reason
    assert error.message in refused.message


async def test_every_violation_is_told(raised: Raised) -> None:
    violations = [Violation("contents[0]", "is empty"), Violation("model", "is too long")]
    refused = Refusal(await raised(InvalidArgument.of(violations)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == ["contents[0]", "model"]


async def test_field_of_another_error_is_told(raised: Raised) -> None:
    error = NotFound("no such model", reason="MODEL_NOT_FOUND").at("model")
    refused = Refusal(await raised(error))
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert refused.fields == ["model"]
    assert refused.message.startswith("model")


async def test_delay_is_told_in_details_and_trailer(raised: Raised) -> None:
    error = await raised(ResourceExhausted("full", retry_after=0.75))
    assert Refusal(error).retry_after == 0.75
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "750"


async def test_error_without_a_delay_asks_for_no_retry(raised: Raised) -> None:
    error = await raised(NotFound("no such item", reason="ITEM_NOT_FOUND"))
    assert Refusal(error).retry_after is None
    assert "grpc-retry-pushback-ms" not in dict(error.trailing_metadata())


async def test_defect_is_logged_and_its_text_kept_from_the_caller(
    raised: Raised, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        refused = Refusal(await raised(KeyError("the secret")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refused.message
    [log_id] = re.findall(r"\b[0-9a-f]{12}\b", refused.message)
    [record] = [each for each in caplog.records if log_id in each.getMessage()]
    assert "the secret" in caplog.text
    assert "/triptych.v1.EmbeddingService/Embed" in record.getMessage()


@pytest.mark.parametrize(
    "error",
    [
        NotFound(LONG, reason="ITEM_NOT_FOUND"),
        NotFound("図" * 100_000, reason="ITEM_NOT_FOUND").at("図" * 100_000),
        InvalidArgument(LONG, LONG),
        InvalidArgument.of([Violation(f"contents[{i}]", "is empty") for i in range(1000)]),
        InvalidArgument.of([WIDE] * 1000),
        InvalidArgument.of([WIDE, WIDE, *[Violation("a", "is empty")] * 40, WIDE]),
    ],
    ids=["message", "wide-characters", "field", "violations", "long-violations", "mixed"],
)
async def test_error_of_any_size_reaches_the_caller(raised: Raised, error: TriptychError) -> None:
    refused = Refusal(await raised(error))
    assert refused.code is grpc.StatusCode[error.code.name]
    assert refused.reason == error.reason
    assert len(refused.fields) < 1000
    assert len(refused.message) <= 1000


async def test_error_inside_a_stream_ends_it_with_its_code(serve: Any) -> None:
    async def embed(requests: Any, context: Any) -> AsyncIterator[Any]:
        async for _ in requests:
            raise Unavailable("gone")
        yield

    stub = await serve(errors, StreamEmbed=embed)
    call = stub.StreamEmbed(iter([StreamEmbedRequest()]))
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    refused = Refusal(caught.value)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.reason == "ENGINE_UNAVAILABLE"


async def test_error_after_the_first_answer_ends_the_stream_with_its_code(serve: Any) -> None:
    async def chat(request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        yield ChatResponse()
        raise Unavailable("gone")

    stub = await serve(errors, Chat=chat)
    call = stub.Chat(ChatRequest())
    assert await call.read() == ChatResponse()
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    refused = Refusal(caught.value)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.reason == "ENGINE_UNAVAILABLE"
    assert refused.retry_after


async def test_malformed_request_for_a_streamed_answer_is_the_callers_fault(serve: Any) -> None:
    async def chat(request: ChatRequest, context: Any) -> AsyncIterator[ChatResponse]:
        yield ChatResponse()

    stub = await serve(errors, Chat=chat)
    call = stub.channel.unary_stream("/triptych.v1.VisionLanguageService/Chat")
    with pytest.raises(aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff").read()
    refused = Refusal(caught.value)
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST",
    )
