"""A gateway with the shipped models, as `triptych serve` runs it, and pictures to send to it."""

from collections.abc import Iterator

import grpc
import pytest
from calls import Stubs
from scenes import Scenes

from triptych_server.launch import GatewayProcess


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    with GatewayProcess("--data", folder / "data", log=folder / "log") as process:
        yield process


@pytest.fixture(scope="session")
def stubs(gateway: GatewayProcess) -> Iterator[Stubs]:
    options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
    with grpc.insecure_channel(gateway.target, options) as channel:
        yield Stubs(channel)


@pytest.fixture(scope="session")
def scenes() -> Scenes:
    return Scenes(64)
