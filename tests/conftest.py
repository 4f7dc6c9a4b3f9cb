"""A gateway with the shipped models, as `triptych serve` runs it, and what tests share besides."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import Stubs
from hypothesis import HealthCheck, settings
from language import write_models
from scenes import Scenes

from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

SHIPPED_GENERATORS = SHIPPED_REPOSITORY.parent / "generators"
BLIP2 = "miniworld-blip2"

# A busy machine is slow, and not wrong.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    """Take interrupts, though a shell's background job ignores them: so would commands that tests
    interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def language_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of `language.write_models`, with its generators beside it."""
    return write_models(tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="session")
def proposing_generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random proposer, and the shipped BLIP-2."""
    from proposers import write_proposer  # loads torch, for seconds

    folder = tmp_path_factory.mktemp("proposing")
    write_proposer(folder)
    shutil.copytree(SHIPPED_GENERATORS / BLIP2, folder / BLIP2)
    return folder
