"""One client of several gateways."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from triptych import Client
from triptych_server.launch import GatewayProcess

STARTED = (
    'grpc_server_started_total{grpc_method="Embed",grpc_service="triptych.v1.EmbeddingService"}'
)


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[GatewayProcess]]:
    flags = ("--services", "embedding", "--metrics-port", "0")
    with ExitStack() as stack:
        yield [stack.enter_context(GatewayProcess(*flags, log=tmp_path / str(i))) for i in range(2)]


def target(replicas: list[GatewayProcess]) -> str:
    return "ipv4:" + ",".join(each.target for each in replicas)


def calls(replica: GatewayProcess) -> float:
    """How many calls it has seen."""
    with urlopen(replica.metrics, timeout=10) as response:
        lines = response.read().decode().splitlines()
    [count] = [line.removeprefix(STARTED) for line in lines if line.startswith(STARTED)]
    return float(count)


def test_replicas_share_the_calls(replicas: list[GatewayProcess]) -> None:
    with Client(target(replicas)) as client:
        # Until both have connected, one may get more than its half.
        while not all(map(calls, replicas)):
            client.embed(["a red circle"])
        before = [calls(each) for each in replicas]
        for _ in range(10):
            client.embed(["a red circle"])
    assert [calls(each) - was for each, was in zip(replicas, before, strict=True)] == [5, 5]


def test_replica_that_dies_is_not_missed(replicas: list[GatewayProcess]) -> None:
    with Client(target(replicas)) as client:
        while not all(map(calls, replicas)):
            client.embed(["a red circle"])
        replicas[0].kill()
        for _ in range(10):
            assert client.embed(["a red circle"]).vectors.shape[0] == 1
