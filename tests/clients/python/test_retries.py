"""gRPC's own retry policy, as the client's channel states it, is the only thing that retries."""

import time
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import triptych
from triptych import Client, errors
from triptych.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    media_pb2,
    mils_pb2,
    mils_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    vision_language_pb2,
    vision_language_pb2_grpc,
)

RED = np.zeros((8, 8, 3), np.uint8)


def abort(context: Any, code: grpc.StatusCode, pushback_ms: int | None = None) -> None:
    if pushback_ms is not None:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", str(pushback_ms)),))
    context.abort(code, "not now")


class Flaky(
    embedding_pb2_grpc.EmbeddingServiceServicer,
    mils_pb2_grpc.MilsServiceServicer,
    search_pb2_grpc.SearchServiceServicer,
    vision_language_pb2_grpc.VisionLanguageServiceServicer,
):
    """Fails the first `failures` attempts of each kind of call."""

    def __init__(self, failures: int, code: grpc.StatusCode, pushback_ms: int | None = 1) -> None:
        self.failures = failures
        self.code = code
        self.pushback_ms = pushback_ms
        self.arrivals: list[float] = []
        self.bytes_seen = 0

    @property
    def attempts(self) -> int:
        return len(self.arrivals)

    def _attempt(self, context: Any) -> None:
        self.arrivals.append(time.monotonic())
        if self.attempts <= self.failures:
            abort(context, self.code, self.pushback_ms)

    def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> Any:
        self._attempt(context)
        self.bytes_seen = request.ByteSize()
        vector = media_pb2.Vector(data=b"\0\0\x80?", dimension=1)
        result = embedding_pb2.EmbedResult(embedding=embedding_pb2.Embedding(vector=vector))
        return embedding_pb2.EmbedResponse(results=[result] * len(request.contents))

    def Caption(self, request: Any, context: Any) -> Any:
        self._attempt(context)
        return vision_language_pb2.CaptionResponse()

    def Answer(self, request: Any, context: Any) -> Any:
        self._attempt(context)
        return vision_language_pb2.AnswerResponse(answer="a")

    def Propose(self, request: Any, context: Any) -> Any:
        self._attempt(context)
        return mils_pb2.ProposeResponse()

    def Solve(self, request: Any, context: Any) -> Any:
        self._attempt(context)
        yield mils_pb2.SolveResponse(result=mils_pb2.SolveResult())

    def CreateCollection(self, request: Any, context: Any) -> Any:
        self._attempt(context)
        return search_pb2.CreateCollectionResponse(collection=request.collection)

    def UpsertItems(self, requests: Any, context: Any) -> Any:
        self._attempt(context)
        for request in requests:
            yield search_pb2.UpsertItemsResponse(
                id=request.item.id, upserted=search_pb2.UpsertedItem(created=True)
            )


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_call_succeeds_when_the_fifth_attempt_does(serve: Any, code: grpc.StatusCode) -> None:
    flaky = Flaky(4, code)
    with Client(serve(flaky)) as client:
        assert client.embed("a").vectors.shape == (1, 1)
    assert flaky.attempts == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.caption(RED),
        lambda c: c.answer(RED, "what?"),
        lambda c: c.propose("dog"),
        lambda c: c.solve(RED).run(),  # until its first step
    ],
)
def test_captions_answers_and_searches_are_retried(serve: Any, call: Any) -> None:
    flaky = Flaky(4, grpc.StatusCode.UNAVAILABLE)
    with Client(serve(flaky)) as client:
        call(client)
    assert flaky.attempts == 5


async def test_the_asyncio_client_retries_alike(serve: Any) -> None:
    flaky = Flaky(4, grpc.StatusCode.UNAVAILABLE)
    async with triptych.aio.Client(serve(flaky)) as client:
        assert (await client.embed("a")).vectors.shape == (1, 1)
    assert flaky.attempts == 5


def test_a_call_fails_after_five_attempts(serve: Any) -> None:
    flaky = Flaky(100, grpc.StatusCode.RESOURCE_EXHAUSTED)
    with Client(serve(flaky)) as client, pytest.raises(errors.ResourceExhaustedError):
        client.embed("a")
    assert flaky.attempts == 5


def test_many_failures_do_not_use_up_the_retries_of_later_calls(serve: Any) -> None:
    flaky = Flaky(150, grpc.StatusCode.UNAVAILABLE)
    with Client(serve(flaky)) as client:
        for _ in range(30):
            with pytest.raises(errors.UnavailableError):
                client.embed("a")
        flaky.failures += 4
        client.embed("a")
    assert flaky.attempts == 155


def test_the_server_says_how_long_to_wait(serve: Any) -> None:
    flaky = Flaky(1, grpc.StatusCode.RESOURCE_EXHAUSTED, pushback_ms=700)
    with Client(serve(flaky)) as client:
        client.embed("a")
    first, second = flaky.arrivals
    assert second - first >= 0.69  # the policy's own first wait would be 0.24 at most


def test_a_negative_pushback_ends_the_retries(serve: Any) -> None:
    flaky = Flaky(1, grpc.StatusCode.UNAVAILABLE, pushback_ms=-1)
    with Client(serve(flaky)) as client, pytest.raises(errors.UnavailableError):
        client.embed("a")
    assert flaky.attempts == 1


def test_other_errors_are_not_retried(serve: Any) -> None:
    flaky = Flaky(1, grpc.StatusCode.INTERNAL)
    with Client(serve(flaky)) as client, pytest.raises(triptych.TriptychError) as caught:
        client.embed("a")
    assert caught.value.code is grpc.StatusCode.INTERNAL
    assert flaky.attempts == 1


def test_a_request_of_many_megabytes_is_retried_whole(serve: Any) -> None:
    flaky = Flaky(2, grpc.StatusCode.UNAVAILABLE)
    pictures = [np.zeros((1024, 1024, 3), np.uint8)] * 9
    with Client(serve(flaky)) as client:
        client.embed(pictures)
    assert flaky.attempts == 3
    assert flaky.bytes_seen > 9 * RED[0, 0].size * 1024 * 1024


def test_creation_is_retried_when_turned_away_but_not_when_its_fate_is_unknown(serve: Any) -> None:
    turned_away = Flaky(1, grpc.StatusCode.RESOURCE_EXHAUSTED)
    with Client(serve(turned_away)) as client:
        client.collections.create("a")
    assert turned_away.attempts == 2
    unknown = Flaky(1, grpc.StatusCode.UNAVAILABLE)
    with Client(serve(unknown)) as client, pytest.raises(errors.UnavailableError):
        client.collections.create("a")
    assert unknown.attempts == 1


def test_streams_are_not_retried(serve: Any) -> None:
    flaky = Flaky(1, grpc.StatusCode.UNAVAILABLE)
    items = [triptych.Item("a", vector=[1.0])]
    with Client(serve(flaky)) as client, pytest.raises(errors.UnavailableError):
        list(client.upsert("c", items))
    assert flaky.attempts == 1


def test_retries_stay_within_the_deadline(serve: Any) -> None:
    flaky = Flaky(100, grpc.StatusCode.UNAVAILABLE, pushback_ms=60_000)
    with Client(serve(flaky), timeout=2) as client, pytest.raises(triptych.TriptychError):
        client.embed("a")
    assert flaky.attempts == 1


def test_an_error_carries_its_details(serve: Any) -> None:
    class Refusing(embedding_pb2_grpc.EmbeddingServiceServicer):
        def Embed(self, request: Any, context: Any) -> Any:
            details = [
                error_details_pb2.ErrorInfo(domain="triptych", reason="TEXT_BLANK"),
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(
                            field="contents[0].text", description="the text is empty"
                        )
                    ]
                ),
                error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=250_000_000)),
            ]
            status = status_pb2.Status(code=3, message="the text is empty")
            for detail in details:
                packed = any_pb2.Any()
                packed.Pack(detail)
                status.details.append(packed)
            context.abort_with_status(rpc_status.to_status(status))

    with Client(serve(Refusing())) as client, pytest.raises(errors.InvalidArgumentError) as caught:
        client.embed(" ")
    error = caught.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "TEXT_BLANK"
    assert error.fields == (errors.FieldViolation("contents[0].text", "the text is empty"),)
    assert error.retry_after == 0.25
    assert str(error) == "INVALID_ARGUMENT: contents[0].text: the text is empty"


def test_nobody_listening_is_unavailable() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(errors.UnavailableError) as caught:
        client.collections.create("a")
    assert caught.value.reason == ""
