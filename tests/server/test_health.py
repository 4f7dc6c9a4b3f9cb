"""What health says of a gateway's services, and of the gateway as a whole."""

import logging
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from calls import MODEL, Refusal
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from language import FUSED, pictures

from triptych.v1 import vision_language_pb2
from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceStub
from triptych_server.app import Gateway
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.health import HealthMonitor
from triptych_server.offer import EMBEDDING, MILS, SEARCH, VISION_LANGUAGE
from triptych_server.offer import MODEL as MODELS
from triptych_server.settings import Settings

SERVICES = ("", EMBEDDING, MILS, MODELS, SEARCH, VISION_LANGUAGE)
# Of a gateway without a model for proposals, which no other service needs.
ALL = dict.fromkeys(SERVICES, True) | {MILS: False}
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def folder(language_repository: Path, tmp_path: Path) -> Path:
    """A copy of the models and generators, to be spoiled."""
    return Path(shutil.copytree(language_repository.parent, tmp_path / "copy"))


@asynccontextmanager
async def serving(folder: Path, generators: Path | None = None) -> AsyncIterator[aio.Channel]:
    settings = Settings(
        port=0, repository=folder / "models", data=folder / "data", generators=generators
    )
    gateway = await Gateway.start(settings)
    async with aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        yield channel
        await gateway.stop()


async def health(channel: aio.Channel) -> Mapping[str, bool]:
    """Whether each service serves."""
    stub = health_pb2_grpc.HealthStub(channel)
    answers = {
        service: await stub.Check(health_pb2.HealthCheckRequest(service=service))
        for service in SERVICES
    }
    return {service: answer.status == SERVING for service, answer in answers.items()}


async def caption_refusal(channel: aio.Channel) -> Refusal:
    request = vision_language_pb2.CaptionRequest(images=pictures(1), model=FUSED)
    with pytest.raises(aio.AioRpcError) as caught:
        await VisionLanguageServiceStub(channel).Caption(request)
    return Refusal(caught.value)


async def test_every_service_serves_with_all_models(folder: Path) -> None:
    async with serving(folder) as channel:
        assert await health(channel) == ALL


async def test_gateway_without_generators_is_whole(folder: Path) -> None:
    shutil.rmtree(folder / "generators")
    async with serving(folder) as channel:
        assert await health(channel) == ALL | {VISION_LANGUAGE: False}
        refusal = await caption_refusal(channel)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "TASK_NOT_SUPPORTED",
        )


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "generator.json"])
async def test_broken_generator_is_told_and_encoders_serve(folder: Path, file: str) -> None:
    (folder / "generators" / FUSED / file).write_text("{")
    async with serving(folder) as channel:
        found = await health(channel)
        assert found == ALL | {VISION_LANGUAGE: False, "": False}
        refusal = await caption_refusal(channel)
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert FUSED in refusal.message


async def test_folders_that_are_no_generators_are_passed_over(folder: Path) -> None:
    (folder / "generators" / "lost+found").mkdir()
    async with serving(folder) as channel:
        assert await health(channel) == ALL


async def test_broken_image_prefix_is_told(folder: Path) -> None:
    (folder / "models" / f"{FUSED}-image-prefix" / "1" / "model.onnx").write_bytes(b"no network")
    async with serving(folder) as channel:
        found = await health(channel)
        assert found == ALL | {VISION_LANGUAGE: False, "": False}
        assert (await caption_refusal(channel)).code is grpc.StatusCode.UNAVAILABLE


async def test_broken_clip_leaves_captions_serving(folder: Path) -> None:
    (folder / "models" / f"{MODEL}-text" / "tokenizer.json").write_text("{}")
    async with serving(folder) as channel:
        found = await health(channel)
        assert found == ALL | {EMBEDDING: False, SEARCH: False, "": False}


async def test_generators_lie_where_they_are_said_to(folder: Path, tmp_path: Path) -> None:
    elsewhere = (folder / "generators").rename(tmp_path / "elsewhere")
    async with serving(folder, elsewhere) as channel:
        assert (await health(channel))[VISION_LANGUAGE]
    with pytest.raises(ValueError, match="no directory"):
        async with serving(folder, tmp_path / "nowhere"):
            pass


async def test_faults_that_take_turns_are_logged_once_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = OnnxEngine(tmp_path, threads=1, queue_rows=1)
    await engine.load()
    silent: dict[str, str] = {}
    catalog = ModelCatalog(engine, tmp_path, silent=lambda: silent)
    servicer = health_aio.HealthServicer()
    monitor = HealthMonitor(servicer, catalog, {VISION_LANGUAGE: [Task.CHAT]}, [Task.CHAT])
    with caplog.at_level(logging.INFO, "triptych_server.health"):
        for reason in ("does not answer", "is silent", "does not answer", "is silent"):
            silent["server"] = reason
            await monitor.check()
    await engine.close()
    told = [record.getMessage() for record in caplog.records]
    assert told == ["chat: does not answer", "chat: is silent"]
