"""The gateway's metrics, scraped as Prometheus does."""

import socket
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import grpc
import pytest
from calls import Stubs, text
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from triptych.v1 import embedding_pb2
from triptych_server.app import Gateway
from triptych_server.launch import GatewayProcess
from triptych_server.settings import Settings

FLAGS = ("--services", "embedding", "--metrics-port", "0")
COUNTED = "grpc_server_handling_seconds_count"  # the last that is told of an RPC
WAIT_S = 30  # of a test that would fail
SCRAPES = 1_000  # some seconds
EMBED = {"grpc_service": "triptych.v1.EmbeddingService", "grpc_method": "Embed"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    log = tmp_path_factory.mktemp("gateway") / "log"
    with GatewayProcess(*FLAGS, log=log) as process:
        yield process


def scrape(url: str) -> list[Metric]:
    with urllib.request.urlopen(url, timeout=WAIT_S) as response:
        return list(text_string_to_metric_families(response.read().decode()))


def value(metrics: list[Metric], name: str, **labels: str) -> float:
    """Of the one sample that has these labels."""
    [found] = [
        sample.value
        for metric in metrics
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def scrape_after(url: str, calls: float) -> list[Metric]:
    """Once so many calls of Embed have been counted: a caller may have its answer before."""
    for _ in range(SCRAPES):
        if value(metrics := scrape(url), COUNTED, **EMBED) >= calls:
            return metrics
    raise AssertionError("they were not counted")


def test_calls_are_counted_and_timed(gateway: GatewayProcess) -> None:
    before = scrape(gateway.metrics)
    with grpc.insecure_channel(gateway.target) as channel:
        stub = Stubs(channel).embedding
        stub.Embed(embedding_pb2.EmbedRequest(contents=[text("a red circle"), text("a")]))
        with pytest.raises(grpc.RpcError):
            stub.Embed(embedding_pb2.EmbedRequest(contents=[text("a")], model="none"))
    after = scrape_after(gateway.metrics, value(before, COUNTED, **EMBED) + 2)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **EMBED, **labels) - value(before, name, **EMBED, **labels)

    assert grown("grpc_server_started_total") == 2
    assert grown("grpc_server_handled_total", grpc_code="OK") == 1
    assert grown("grpc_server_handled_total", grpc_code="NOT_FOUND") == 1
    assert grown(COUNTED) == 2
    assert value(after, "grpc_server_in_flight", **EMBED) == 0
    assert value(after, "triptych_stage_seconds_count", **EMBED, stage="inference") >= 1
    assert value(after, "triptych_batch_rows_sum", **EMBED) >= 1


def test_labels_do_not_come_from_callers(gateway: GatewayProcess) -> None:
    with grpc.insecure_channel(gateway.target) as channel:
        for method in ("/triptych.v1.EmbeddingService/Typo", "/triptych.v1.Any/Embed"):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(method)(b"")
    metrics = scrape(gateway.metrics)
    methods = {
        (sample.labels["grpc_service"], sample.labels["grpc_method"])
        for metric in metrics
        for sample in metric.samples
        if "grpc_method" in sample.labels
    }
    assert methods == {
        ("triptych.v1.EmbeddingService", "Embed"),
        ("triptych.v1.EmbeddingService", "Rank"),
        ("triptych.v1.EmbeddingService", "StreamEmbed"),
        ("triptych.v1.ModelService", "GetModel"),
        ("triptych.v1.ModelService", "ListModels"),
    }


def test_health_is_a_metric(gateway: GatewayProcess) -> None:
    metrics = scrape(gateway.metrics)
    for service in ("all", "triptych.v1.EmbeddingService", "triptych.v1.ModelService"):
        assert value(metrics, "triptych_serving", service=service) == 1
    assert value(metrics, "process_resident_memory_bytes") > 0


async def test_metrics_end_with_the_gateway() -> None:
    gateway = await Gateway.start(Settings(port=0, services="embedding", metrics_port=0))
    assert gateway.metrics_port
    await gateway.stop()
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection("127.0.0.1", gateway.metrics_port, timeout=WAIT_S).connect()


async def test_there_are_none_unless_asked_for() -> None:
    gateway = await Gateway.start(Settings(port=0, services="embedding"))
    assert gateway.metrics_port is None
    await gateway.stop()


def test_taken_port_is_an_error_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        flags = ("--services", "embedding", "--metrics-port", port)
        with (
            pytest.raises(RuntimeError, match=f"metrics on port {port}"),
            GatewayProcess(*flags, log=tmp_path / "log"),
        ):
            pass
    assert "Traceback" not in (tmp_path / "log").read_text()
