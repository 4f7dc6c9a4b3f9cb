"""A running gateway as the target."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from findings import by_subject, faults
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from triptych.v1 import model_pb2
from triptych_server.doctor import Verdict
from triptych_server.doctor.api import compare, names
from triptych_server.doctor.gateway import examine_gateway
from triptych_server.engines.encoders.repository import read_config
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

WAIT_S = 60  # for what answers


def test_a_running_gateway_is_well(gateway: GatewayProcess) -> None:
    found = by_subject(examine_gateway(gateway.target, WAIT_S))
    assert not faults(found)
    assert found[gateway.target][0].detail == "answers, and lists 4 models"
    assert "SearchService" in found["serving"][0].detail
    clip = read_config(SHIPPED_REPOSITORY / "miniworld-clip-text" / "config.pbtxt")
    space = clip.parameters["triptych.space"].string_value
    assert f"space {space[: len('clip:') + 12]}" in found["miniworld-clip"][0].detail
    assert found["api"][0].detail == "the same as this client's"


@pytest.fixture
def half(repository: Path, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway without SearchService, whose model of captions cannot be used."""
    (repository / "miniworld-blip2-image-prefix" / "1" / "model.onnx").unlink()
    flags = ("--repository", repository, "--services", "embedding,vision_language")
    with GatewayProcess(*flags, log=tmp_path / "log") as process:
        yield process


def test_a_service_that_does_not_serve_is_told_and_one_not_run_is_not(half: GatewayProcess) -> None:
    found = by_subject(examine_gateway(half.target, WAIT_S))
    assert {fault.what for fault in faults(found)} >= {"VisionLanguageService", "miniworld-blip2"}
    assert found["serving"][0].detail == "EmbeddingService, ModelService"


def test_no_gateway_is_one_finding() -> None:
    [finding] = examine_gateway("127.0.0.1:1", WAIT_S)
    assert finding.verdict is Verdict.PROBLEM
    assert finding.detail.startswith("does not answer: ")
    assert "Connection refused" in finding.detail


def test_a_grpc_server_of_others_is_no_gateway() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    [finding] = examine_gateway(f"127.0.0.1:{port}", WAIT_S)
    server.stop(None).wait()
    assert finding.verdict is Verdict.PROBLEM
    assert "no gateway of Triptych's" in finding.detail


def test_a_port_that_never_answers_is_one_finding_after_the_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        [finding] = examine_gateway(f"127.0.0.1:{silent.getsockname()[1]}", 0.3)
    assert finding.verdict is Verdict.PROBLEM


def test_a_gateway_with_more_or_less_in_its_api_is_told() -> None:
    ours = {"triptych.v1.Model.name", "triptych.v1.Model.space"}
    older = compare(ours, {"triptych.v1.Model.name"})
    assert older.verdict is Verdict.WARNING
    assert older.detail == "the gateway is older than this client: it lacks Model.space"
    newer = compare(ours, ours | {f"triptych.v1.New.field{n}" for n in range(5)})
    assert newer.detail.endswith("it lacks New.field0, New.field1, New.field2 and 2 more")
    assert newer.remedy == "pip install --upgrade triptych"
    assert compare(ours, ours).verdict is Verdict.OK


def test_names_of_a_proto_are_its_fields_values_and_methods() -> None:
    found = names(FileDescriptorProto.FromString(model_pb2.DESCRIPTOR.serialized_pb))
    assert found >= {
        "triptych.v1.Model.space",
        "triptych.v1.State.STATE_READY",
        "triptych.v1.ModelService.ListModels",
    }
