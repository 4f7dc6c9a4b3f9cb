"""Where the gateway is, and a few pictures to send it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from triptych_server.launch import GatewayProcess

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan")


@pytest.fixture(scope="session")
def gateway(gateway: GatewayProcess) -> str:
    """The target of the running gateway."""
    return gateway.target


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a picture for each colour: `circles/red.png` and so on."""
    directory = tmp_path_factory.mktemp("pictures")
    (directory / "circles").mkdir()
    for colour in COLOURS:
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).ellipse((17, 17, 47, 47), fill=colour)
        image.save(directory / "circles" / f"{colour}.png")
    return directory


@pytest.fixture(scope="session")
def language_gateway(
    language_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The target of a gateway whose models, of `language`, describe, answer, chat and match."""
    folder = tmp_path_factory.mktemp("language")
    flags = ("--repository", language_repository, "--data", folder / "data")
    with GatewayProcess(*flags, log=folder / "log") as process:
        yield process.target


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seed pools of gateways that search."""
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="session")
def start_search_gateway(
    proposing_generators: Path, pools: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], GatewayProcess]:
    """A gateway with the shipped encoders whose proposer is random, to be entered."""

    def start() -> GatewayProcess:
        folder = tmp_path_factory.mktemp("gateway")
        flags = ("--generators", proposing_generators, "--pools", pools, "--data", folder / "data")
        return GatewayProcess(*flags, log=folder / "log")

    return start


@pytest.fixture(scope="session")
def search_gateway(start_search_gateway: Callable[[], GatewayProcess]) -> Iterator[str]:
    """The target of such a gateway."""
    with start_search_gateway() as process:
        yield process.target
