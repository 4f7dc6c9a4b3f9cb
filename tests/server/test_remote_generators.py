"""A gateway whose language models are on servers: down, up, and beside those in process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import Refusal, text
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from language import FUSED
from model_list import listing
from ports import quiet_port

from triptych.v1 import model_pb2
from triptych.v1.model_pb2_grpc import ModelServiceStub
from triptych.v1.vision_language_pb2 import CHAT_ROLE_USER, ChatMessage, ChatRequest, Generation
from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceStub
from triptych_server.app import Gateway
from triptych_server.offer import EMBEDDING, VISION_LANGUAGE
from triptych_server.remote_generators import RemoteGenerator
from triptych_server.settings import Settings

NOWHERE = "http://127.0.0.1:1"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WAIT_S = 60  # of a test that would fail


@asynccontextmanager
async def gateway(repository: Path, data: Path, **settings: Any) -> AsyncIterator[aio.Channel]:
    started = await Gateway.start(
        Settings(port=0, repository=repository, data=data, threads=1, **settings)
    )
    async with aio.insecure_channel(f"127.0.0.1:{started.port}") as channel:
        yield channel
        await started.stop()


async def health(channel: aio.Channel, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await health_pb2_grpc.HealthStub(channel).Check(request)).status


async def until(channel: aio.Channel, status: int) -> None:
    """Return when VisionLanguageService has this health."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=VISION_LANGUAGE)
    )
    async with asyncio.timeout(WAIT_S):
        async for answer in watch:
            if answer.status == status:
                watch.cancel()
                return


async def chat_refusal(channel: aio.Channel, model: str = "") -> Refusal:
    message = ChatMessage(role=CHAT_ROLE_USER, contents=[text("hello")])
    call = VisionLanguageServiceStub(channel).Chat(ChatRequest(model=model, messages=[message]))
    with pytest.raises(aio.AioRpcError) as caught:
        await asyncio.wait_for(call.read(), WAIT_S)
    return Refusal(caught.value)


async def models(channel: aio.Channel) -> dict[str, model_pb2.Model]:
    response = await ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest())
    return {model.name: model for model in response.models}


async def test_gateway_starts_while_its_server_is_down_and_finds_it_later(
    language_repository: Path, tmp_path: Path
) -> None:
    with quiet_port() as port:
        url = f"http://127.0.0.1:{port}"
        async with gateway(language_repository, tmp_path, generator=url) as channel:
            assert await health(channel, VISION_LANGUAGE) == NOT_SERVING
            assert await health(channel, EMBEDDING) == SERVING
            assert await health(channel, "") == NOT_SERVING
            for model in ("", FUSED, "qwen"):
                refusal = await chat_refusal(channel, model)
                assert refusal.code is grpc.StatusCode.UNAVAILABLE
                assert refusal.retry_after
                assert url in refusal.message
            with listing(FUSED, "qwen", port=port):
                await until(channel, SERVING)
                found = await models(channel)
                assert found[FUSED].generator.state == model_pb2.STATE_READY
                qwen = found["qwen"]
                assert (qwen.generator.chat, qwen.generator.max_images, qwen.space) == (True, 0, "")
                assert qwen.generator.context_length == 2048
                assert (qwen.generator.proposals, qwen.default) == (True, True)  # for proposals
                assert not found[FUSED].generator.chat
                assert not found[FUSED].generator.proposals
            await until(channel, NOT_SERVING)
            found = await models(channel)
            for name in (FUSED, "qwen"):
                assert found[name].generator.state == model_pb2.STATE_UNAVAILABLE
                assert url in found[name].generator.state_reason
                assert (await chat_refusal(channel, name)).retry_after


async def test_model_of_a_table_is_listed_while_its_server_is_down(
    language_repository: Path, tmp_path: Path
) -> None:
    tables = (RemoteGenerator(name="a-llava", urls=(NOWHERE,), pictures=2),)
    async with gateway(
        language_repository,
        tmp_path,
        remote_generators=tables,
        default_vision_language_model=FUSED,
    ) as channel:
        llava = (await models(channel))["a-llava"]
        assert (llava.generator.chat, llava.generator.max_images) == (True, 2)
        assert llava.generator.context_length == 0
        assert llava.generator.state == model_pb2.STATE_UNAVAILABLE
        assert NOWHERE in llava.generator.state_reason
        refusal = await chat_refusal(channel, "a-llava")
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "GENERATOR_NOT_LOADED",
        )
        # It is not the default: nothing else depends on it.
        assert await health(channel, VISION_LANGUAGE) == SERVING
        request = ChatRequest(
            messages=[ChatMessage(role=CHAT_ROLE_USER, contents=[text("hello")])],
            generation=Generation(max_tokens=2),
        )
        answers = [each async for each in VisionLanguageServiceStub(channel).Chat(request)]
        assert answers[-1].end.model == FUSED


async def test_default_is_the_same_whether_its_server_is_up_or_down(
    language_repository: Path, tmp_path: Path
) -> None:
    tables = (RemoteGenerator(name="a-llava", urls=(NOWHERE,), pictures=2),)
    async with gateway(language_repository, tmp_path, remote_generators=tables) as channel:
        assert (await models(channel))["a-llava"].default
        assert await health(channel, VISION_LANGUAGE) == NOT_SERVING
        refusal = await chat_refusal(channel)
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.retry_after
