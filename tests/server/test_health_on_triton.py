"""What health says of a gateway whose encoders run on two Tritons."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import Refusal
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonserver import TritonServer

from triptych.v1.embedding_pb2 import EmbedRequest
from triptych.v1.embedding_pb2_grpc import EmbeddingServiceStub
from triptych.v1.media_pb2 import Content
from triptych_server.app import Gateway
from triptych_server.settings import SHIPPED_REPOSITORY, Settings

pytestmark = pytest.mark.engines

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = EmbedRequest(contents=[Content(text="a red circle")])


async def next_status(watch: Any) -> int:
    async with asyncio.timeout(30):
        return int((await watch.read()).status)


async def test_health_turns_only_when_no_triton_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with TritonServer(SHIPPED_REPOSITORY) as first, TritonServer(SHIPPED_REPOSITORY) as second:
        tritons = f"triton://{first.grpc},{second.grpc}"
        gateway = await Gateway.start(Settings(port=0, data=tmp_path, encoders=tritons))
        async with aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
            embedding = EmbeddingServiceStub(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert await next_status(watch) == SERVING

            first.kill()
            async with asyncio.timeout(30):
                while f"{first.grpc} does not answer" not in caplog.text:
                    assert len((await embedding.Embed(REQUEST)).results) == 1
            second.kill()
            assert await next_status(watch) == NOT_SERVING
            with pytest.raises(aio.AioRpcError) as caught:
                await embedding.Embed(REQUEST)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert Refusal(caught.value).reason == "ENGINE_UNAVAILABLE"

            await asyncio.to_thread(second.start)
            assert await next_status(watch) == SERVING
            assert len((await embedding.Embed(REQUEST)).results) == 1
        await gateway.stop()


@pytest.mark.parametrize("tritons", ["a.example:8001,b.example:8001", "a.example"])
async def test_gateway_does_not_start_on_addresses_that_are_none(
    tmp_path: Path, tritons: str
) -> None:
    with pytest.raises(ValueError, match=r"a\.example"):
        await Gateway.start(Settings(port=0, data=tmp_path, encoders=f"triton://{tritons}"))
