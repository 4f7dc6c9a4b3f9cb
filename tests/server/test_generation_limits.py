"""Generation in a gateway with little room: who is refused, who waits, and what makes room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import Refusal, text
from grpc import aio
from language import LONG, LONG_CONTEXT, picture, pictures

from triptych.v1 import media_pb2
from triptych.v1.vision_language_pb2 import (
    CHAT_ROLE_USER,
    AnswerRequest,
    CaptionRequest,
    ChatMessage,
    ChatRequest,
    Generation,
)
from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceStub
from triptych_server.app import Gateway
from triptych_server.settings import MIB, Settings

WAIT_S = 20  # of a test that would fail: much less than an endless text takes
# More than half of what the gateway below has room for, so that two never run at once.
ENDLESS = Generation(max_tokens=LONG_CONTEXT - 100)
CHAT = ChatRequest(
    model=LONG,
    messages=[ChatMessage(role=CHAT_ROLE_USER, contents=[text("tell me")])],
    generation=ENDLESS,
)
ENDLESS_CALLS = {
    "Chat": CHAT,
    "Caption": CaptionRequest(model=LONG, images=pictures(1), generation=ENDLESS),
    "Answer": AnswerRequest(
        model=LONG, image=picture(1, 2, 3), question="why?", generation=ENDLESS
    ),
}


@asynccontextmanager
async def gateway(
    repository: Path, data: Path, **settings: Any
) -> AsyncIterator[VisionLanguageServiceStub]:
    """A gateway with room for one endless text and one that waits."""
    room = {"generator_queue": 1, "generator_cache_bytes": 24 * MIB, "drain_s": 0, "threads": 1}
    started = await Gateway.start(
        Settings(port=0, repository=repository, data=data, **(room | settings))
    )
    async with aio.insecure_channel(f"127.0.0.1:{started.port}") as channel:
        yield VisionLanguageServiceStub(channel)
        await started.stop()


@pytest.fixture
async def stub(
    language_repository: Path, tmp_path: Path
) -> AsyncIterator[VisionLanguageServiceStub]:
    async with gateway(language_repository, tmp_path) as stub:
        yield stub


async def begun(stub: VisionLanguageServiceStub) -> Any:
    """An endless chat that has said something."""
    call = stub.Chat(CHAT)
    assert (await asyncio.wait_for(call.read(), WAIT_S)).HasField("delta")
    return call


async def refused(call: Any) -> Refusal:
    with pytest.raises(aio.AioRpcError) as caught:
        await asyncio.wait_for(call, WAIT_S)
    return Refusal(caught.value)


async def full(stub: VisionLanguageServiceStub) -> tuple[Any, Any]:
    """A chat that runs and one that waits: the generator has no room for more."""
    running = await begun(stub)
    reads = {
        asyncio.ensure_future(call.read()): call for call in (stub.Chat(CHAT), stub.Chat(CHAT))
    }
    done, waiting = await asyncio.wait(reads, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    [refusal] = [await refused(read) for read in done]
    assert refusal.reason == "QUEUE_FULL"
    [read] = waiting
    return running, (reads[read], read)


@pytest.mark.parametrize("method", ENDLESS_CALLS)
async def test_full_queue_refuses_at_once_and_says_when_to_retry(
    stub: VisionLanguageServiceStub, method: str
) -> None:
    await full(stub)
    call = getattr(stub, method)(ENDLESS_CALLS[method])
    refusal = await refused(call.read() if method == "Chat" else call)
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "QUEUE_FULL"
    assert refusal.retry_after


async def test_full_queue_refuses_before_it_looks_at_pictures(
    stub: VisionLanguageServiceStub,
) -> None:
    await full(stub)
    broken = media_pb2.Image(encoded=b"no picture")
    chat = ChatRequest()
    chat.CopyFrom(CHAT)
    chat.messages[0].contents.add(image=broken)
    calls = [
        stub.Answer(AnswerRequest(model=LONG, image=broken, question="why?")),
        stub.Answer(AnswerRequest(model=LONG, image=broken, question="why?", choices=["so"])),
        stub.Caption(CaptionRequest(model=LONG, images=[broken])),
        stub.Chat(chat).read(),
    ]
    assert [(await refused(call)).reason for call in calls] == ["QUEUE_FULL"] * 4


async def test_cancelled_chat_makes_room(stub: VisionLanguageServiceStub) -> None:
    running, (_, read) = await full(stub)
    running.cancel()
    assert (await asyncio.wait_for(read, WAIT_S)).HasField("delta")


async def test_deadline_makes_room(stub: VisionLanguageServiceStub) -> None:
    for method in ("Caption", "Answer"):
        refusal = await refused(getattr(stub, method)(ENDLESS_CALLS[method], timeout=0.3))
        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await begun(stub)


async def test_call_never_overflows_the_queue_by_itself(stub: VisionLanguageServiceStub) -> None:
    request = CaptionRequest(
        images=pictures(64),
        num_captions=16,
        generation=Generation(temperature=1, max_tokens=2),
    )
    response = await asyncio.wait_for(stub.Caption(request), WAIT_S)
    assert [len(each.captions.captions) for each in response.results] == [16] * 64


async def test_gateway_stops_while_texts_are_written(
    language_repository: Path, tmp_path: Path
) -> None:
    async with gateway(language_repository, tmp_path) as stub:
        running, (_, read) = await full(stub)
    # Leaving has stopped the gateway, within the time of the test.
    assert await running.code() is not grpc.StatusCode.OK
    with pytest.raises(aio.AioRpcError):
        await read
