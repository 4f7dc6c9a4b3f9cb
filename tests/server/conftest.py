"""Models that generate, made once, and a gateway that serves them."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import Stubs
from language import write_models

from triptych_server.launch import GatewayProcess


@pytest.fixture(scope="session")
def language_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of `language.write_models`, with generators beside it."""
    return write_models(tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="session")
def language(
    language_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stubs]:
    """A gateway of these models."""
    folder = tmp_path_factory.mktemp("gateway")
    flags = ("--repository", language_repository, "--data", folder / "data")
    with (
        GatewayProcess(*flags, log=folder / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        yield Stubs(channel)
