"""A gateway that runs some of the services."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from calls import Stubs, text
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from triptych.v1 import embedding_pb2, model_pb2, search_pb2, vision_language_pb2
from triptych_server.launch import GatewayProcess
from triptych_server.settings import Service, Settings

EMBEDDING = "triptych.v1.EmbeddingService"
MODEL = "triptych.v1.ModelService"
SEARCH = "triptych.v1.SearchService"
VISION_LANGUAGE = "triptych.v1.VisionLanguageService"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stubs, Path]]:
    """A gateway that embeds alone, and the data directory that it was told of."""
    folder = tmp_path_factory.mktemp("replica")
    flags = ("--services", "embedding", "--data", folder / "data")
    with (
        GatewayProcess(*flags, log=folder / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        yield Stubs(channel), folder / "data"


def health(channel: grpc.Channel) -> Mapping[str, str]:
    """What health says of each service, or with which code it refuses to."""
    stub = health_pb2_grpc.HealthStub(channel)
    answers: dict[str, str] = {}
    for service in ("", EMBEDDING, MODEL, SEARCH, VISION_LANGUAGE):
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
            answers[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        except grpc.RpcError as error:
            answers[service] = error.code().name
    return answers


def test_service_that_was_asked_for_serves_and_leaves_no_data(
    replica: tuple[Stubs, Path],
) -> None:
    stubs, data = replica
    answer = stubs.embedding.Embed(embedding_pb2.EmbedRequest(contents=[text("a red circle")]))
    assert answer.results[0].HasField("embedding")
    assert not data.exists()


def test_health_and_reflection_know_only_what_runs(replica: tuple[Stubs, Path]) -> None:
    channel = replica[0].channel
    running = dict.fromkeys(("", EMBEDDING, MODEL), "SERVING")
    assert health(channel) == running | dict.fromkeys((SEARCH, VISION_LANGUAGE), "NOT_FOUND")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = stub.ServerReflectionInfo(iter([request]))
    listed = {each.name for each in answer.list_services_response.service}
    assert {name for name in listed if name.startswith("triptych.")} == {EMBEDDING, MODEL}


def test_services_that_do_not_run_are_unimplemented(replica: tuple[Stubs, Path]) -> None:
    stubs = replica[0]
    calls = (
        (stubs.search.ListCollections, search_pb2.ListCollectionsRequest()),
        (stubs.vision_language.Answer, vision_language_pb2.AnswerRequest()),
    )
    for call, request in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_generators_are_loaded_only_where_they_are_used(replica: tuple[Stubs, Path]) -> None:
    listed = replica[0].model.ListModels(model_pb2.ListModelsRequest()).models
    assert listed
    assert not any(model.HasField("generator") for model in listed)


def test_vision_language_alone_needs_its_generator(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    flags = ("--services", "vision_language", "--generators", tmp_path / "none")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        assert health(channel) == {
            "": "NOT_SERVING",
            EMBEDDING: "NOT_FOUND",
            MODEL: "SERVING",
            SEARCH: "NOT_FOUND",
            VISION_LANGUAGE: "NOT_SERVING",
        }


def test_unknown_service_is_refused_with_the_known_ones() -> None:
    command = [sys.executable, "-m", "triptych", "serve", "--services", "embedding,serach"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert all(name in ended.stderr for name in ("services", *Service))


def test_services_come_from_a_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "triptych.toml"
    config.write_text('services = ["search", "embedding"]\n')
    assert Settings.load(config).services == {Service.SEARCH, Service.EMBEDDING}
    monkeypatch.setenv("TRIPTYCH_SERVICES", "vision_language, embedding")
    assert Settings.load(config).services == {Service.VISION_LANGUAGE, Service.EMBEDDING}
    with pytest.raises(ValueError, match="services"):
        Settings.load(config, services=" , ")
