"""A gateway whose models caption, answer, chat and match."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import Stubs
from scenes import Scenes
from searches import POOL, write_pool

from triptych_server.launch import GatewayProcess


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
