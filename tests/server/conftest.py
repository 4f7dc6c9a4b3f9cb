"""A gateway whose models caption, answer, chat and match."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import Stubs

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
