"""What a gateway that searches needs to be healthy."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from language import FUSED
from proposers import PROPOSER

from triptych_server.app import Gateway
from triptych_server.offer import EMBEDDING, MILS, VISION_LANGUAGE
from triptych_server.settings import SHIPPED_REPOSITORY, Settings

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def generators(proposing_generators: Path, tmp_path: Path) -> Path:
    """The proposer alone."""
    shutil.copytree(proposing_generators / PROPOSER, tmp_path / "generators" / PROPOSER)
    return tmp_path / "generators"


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[aio.Channel]:
    defaults = {"repository": SHIPPED_REPOSITORY, "data": folder / "data", "threads": 1}
    gateway = await Gateway.start(Settings(port=0, **(defaults | settings)))
    async with aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        yield channel
        await gateway.stop()


async def health(channel: aio.Channel, *services: str) -> Mapping[str, bool]:
    stub = health_pb2_grpc.HealthStub(channel)
    answers = {
        service: await stub.Check(health_pb2.HealthCheckRequest(service=service))
        for service in services
    }
    return {service: answer.status == SERVING for service, answer in answers.items()}


async def test_gateway_that_proposes_and_does_not_chat_is_whole(
    generators: Path, tmp_path: Path
) -> None:
    async with serving(tmp_path, generators=generators) as channel:
        assert await health(channel, "", MILS, VISION_LANGUAGE) == {
            "": True,
            MILS: True,
            VISION_LANGUAGE: False,
        }


@pytest.mark.parametrize("file", ["model.onnx", "generator.json"])
async def test_broken_proposer_is_told(generators: Path, tmp_path: Path, file: str) -> None:
    (generators / PROPOSER / file).write_text("{")
    async with serving(tmp_path, generators=generators) as channel:
        assert await health(channel, "", EMBEDDING, MILS) == {
            "": False,
            EMBEDDING: True,
            MILS: False,
        }


async def test_generator_whose_encoders_are_missing_is_told(
    language_repository: Path, tmp_path: Path
) -> None:
    generators = tmp_path / "generators"
    shutil.copytree(language_repository.parent / "generators" / FUSED, generators / FUSED)
    async with serving(tmp_path, generators=generators) as channel:
        assert await health(channel, "", EMBEDDING) == {"": False, EMBEDDING: True}


async def test_searches_alone_need_a_proposer(generators: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    async with serving(tmp_path, services="mils", generators=tmp_path / "none") as channel:
        assert await health(channel, "", MILS) == {"": False, MILS: False}
    async with serving(tmp_path, services="mils", generators=generators) as channel:
        assert await health(channel, "", MILS) == {"": True, MILS: True}


async def test_proposer_that_was_asked_for_and_is_not_there_is_told(
    generators: Path, tmp_path: Path
) -> None:
    settings = {"generators": generators, "default_proposer": "absent"}
    async with serving(tmp_path, **settings) as channel:
        assert await health(channel, "", MILS) == {"": False, MILS: False}


async def test_searches_need_what_embeds(generators: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(SHIPPED_REPOSITORY, tmp_path / "models"))
    (repository / "miniworld-clip-text" / "1" / "model.onnx").write_bytes(b"no network")
    async with serving(tmp_path, repository=repository, generators=generators) as channel:
        assert await health(channel, MILS, EMBEDDING) == {MILS: False, EMBEDDING: False}
