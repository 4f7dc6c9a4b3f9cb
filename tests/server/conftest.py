"""A gateway whose models caption, answer, chat and match."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import Stubs
from scenes import Scenes
from searches import POOL, write_pool

from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

SHIPPED_GENERATORS = SHIPPED_REPOSITORY.parent / "generators"
BLIP2 = "miniworld-blip2"


@pytest.fixture(scope="session")
def language(
    language_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stubs]:
    folder = tmp_path_factory.mktemp("gateway")
    flags = ("--repository", language_repository, "--data", folder / "data")
    with (
        GatewayProcess(*flags, log=folder / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        yield Stubs(channel)


@pytest.fixture(scope="session")
def proposing_generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random proposer, and the shipped BLIP-2."""
    from proposers import write_proposer  # loads torch, for seconds

    folder = tmp_path_factory.mktemp("proposing")
    write_proposer(folder)
    shutil.copytree(SHIPPED_GENERATORS / BLIP2, folder / BLIP2)
    return folder


@pytest.fixture(scope="session")
def searching(
    proposing_generators: Path, scenes: Scenes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stubs]:
    """A gateway with the shipped encoders whose proposer is random. Its pool `POOL` has the
    captions of the scenes but the first eight; another one is of a space that no model has."""
    folder = tmp_path_factory.mktemp("gateway")
    pools = folder / "pools"
    pools.mkdir()
    flags = ("--generators", proposing_generators, "--pools", pools, "--data", folder / "data")
    with (
        GatewayProcess(*flags, log=folder / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        stubs = Stubs(channel)
        captions = list(dict.fromkeys(scenes.english[8:]))
        write_pool(stubs, pools / POOL, captions)
        write_pool(stubs, pools / "foreign", captions, space="clip:other")
        yield stubs
