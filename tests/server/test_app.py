"""The gateway as a process: start, health, limits, drain."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from calls import MODEL, Refusal, Stubs, raw, text
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from scenes import Scenes

from triptych.v1 import embedding_pb2, media_pb2, model_pb2, search_pb2
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

SERVICES = [
    "triptych.v1.EmbeddingService",
    "triptych.v1.MilsService",
    "triptych.v1.ModelService",
    "triptych.v1.SearchService",
    "triptych.v1.VisionLanguageService",
]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health(channel: grpc.Channel, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service)).status


def embedded(stubs: Stubs, content: media_pb2.Content) -> bool:
    """Whether a call with this content alone answers with its embedding."""
    [result] = stubs.embedding.Embed(embedding_pb2.EmbedRequest(contents=[content])).results
    return result.HasField("embedding")


def pixels(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_every_service_is_healthy(stubs: Stubs) -> None:
    assert {health(stubs.channel, service) for service in ("", *SERVICES)} == {SERVING}


def test_reflection_lists_the_services(stubs: Stubs) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = stub.ServerReflectionInfo(iter([request]))
    listed = {each.name for each in answer.list_services_response.service}
    assert listed >= set(SERVICES)


def test_models_are_listed(stubs: Stubs) -> None:
    models = {
        each.name: each for each in stubs.model.ListModels(model_pb2.ListModelsRequest()).models
    }
    assert all(model.default for model in models.values())  # each of another task
    roles = {
        name: {encoder.role for encoder in model.encoders if encoder.state == model_pb2.STATE_READY}
        for name, model in models.items()
    }
    assert roles == {
        "miniworld-blip2": {model_pb2.ROLE_IMAGE_PREFIX},
        "miniworld-blip2-itm": {model_pb2.ROLE_VISION, model_pb2.ROLE_ITM},
        "miniworld-clip": {model_pb2.ROLE_IMAGE_ENCODER, model_pb2.ROLE_TEXT_ENCODER},
        "miniworld-proposer": set(),
    }
    generators = {name: model.generator.state for name, model in models.items()}
    assert generators["miniworld-blip2"] == model_pb2.STATE_READY
    assert generators["miniworld-proposer"] == model_pb2.STATE_READY
    with pytest.raises(grpc.RpcError) as caught:
        stubs.model.GetModel(model_pb2.GetModelRequest(name="gpt"))
    assert Refusal(caught.value).fields == ["name"]


def test_message_over_the_limit_is_refused_and_harms_nobody(stubs: Stubs) -> None:
    request = embedding_pb2.EmbedRequest(contents=[text("x" * 66 * 1024 * 1024)])
    with pytest.raises(grpc.RpcError) as caught:
        stubs.embedding.Embed(request)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert embedded(stubs, text("a red circle"))


def test_cancelled_call_harms_nobody(stubs: Stubs, scenes: Scenes) -> None:
    request = embedding_pb2.EmbedRequest(contents=[raw(each) for each in scenes.pixels] * 4)
    calls = [stubs.embedding.Embed.future(request) for _ in range(4)]
    for call in calls:
        call.cancel()
    assert embedded(stubs, text("a red circle"))


def test_full_queue_refuses_at_once_with_a_delay(tmp_path: Path) -> None:
    config = tmp_path / "triptych.toml"
    config.write_text("queue_rows = 8\nthreads = 1\n")
    flags = ("--config", config, "--data", tmp_path / "data")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        stubs = Stubs(channel)
        request = embedding_pb2.EmbedRequest(contents=[raw(pixels(64))] * 64)
        with pytest.raises(grpc.RpcError) as caught:
            stubs.embedding.Embed(request)
        refused = Refusal(caught.value)
        assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.reason == "QUEUE_FULL"
        assert refused.retry_after
        trailers = dict(caught.value.trailing_metadata())
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        assert embedded(stubs, raw(pixels(64)))


def test_streams_wait_where_calls_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "triptych.toml"
    config.write_text("queue_rows = 8\nthreads = 1\n")
    flags = ("--config", config, "--data", tmp_path / "data")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        requests = [
            embedding_pb2.StreamEmbedRequest(id=str(i), content=raw(pixels(64))) for i in range(100)
        ]
        calls = [Stubs(channel).embedding.StreamEmbed(iter(requests)) for _ in range(3)]
        for call in calls:
            answers = list(call)
            assert len(answers) == 100
            assert all(answer.HasField("embedding") for answer in answers)


def test_sigterm_drains_open_streams_of_upserts(tmp_path: Path) -> None:
    with GatewayProcess("--data", tmp_path / "data", log=tmp_path / "log") as process:
        finish = threading.Event()

        def requests() -> Iterator[search_pb2.UpsertItemsRequest]:
            for i in range(20):
                yield search_pb2.UpsertItemsRequest(
                    collection="a",
                    item=search_pb2.Item(id=f"i{i}"),
                    content=text(f"a red circle {i}"),
                )
            assert finish.wait(20)

        with grpc.insecure_channel(process.target) as channel:
            stubs = Stubs(channel)
            collection = search_pb2.Collection(name="a")
            stubs.search.CreateCollection(search_pb2.CreateCollectionRequest(collection=collection))
            call = stubs.search.UpsertItems(requests())
            assert next(call).upserted.created
            process.send_signal(signal.SIGTERM)
            finish.set()
            answers = [each.upserted.created for each in call]
            assert answers == [True] * 19
        assert process.wait() == 0


def test_taken_port_is_an_error_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "triptych", "serve", "--port", port]
        ended = subprocess.run(
            [*command, "--data", str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def test_second_gateway_on_one_data_directory_is_refused(tmp_path: Path) -> None:
    flags = ("--data", tmp_path / "data")
    with (
        GatewayProcess(*flags, log=tmp_path / "log"),
        pytest.raises(RuntimeError, match="data"),
        GatewayProcess(*flags, log=tmp_path / "second"),
    ):
        pass
    assert "Traceback" not in (tmp_path / "second").read_text()


def test_broken_encoder_is_told_and_the_others_serve(tmp_path: Path) -> None:
    repository = copy_of_shipped(tmp_path)
    (repository / f"{MODEL}-text" / "tokenizer.json").write_text("{}")
    flags = ("--repository", repository, "--data", tmp_path / "data")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        stubs = Stubs(channel)
        model = stubs.model.GetModel(model_pb2.GetModelRequest()).model
        reasons = {encoder.name: encoder.state_reason for encoder in model.encoders}
        assert reasons[f"{MODEL}-image"] == ""
        assert "tokenizer.json" in reasons[f"{MODEL}-text"]
        assert health(channel, "triptych.v1.EmbeddingService") == NOT_SERVING
        assert health(channel, "triptych.v1.ModelService") == SERVING
        assert embedded(stubs, raw(pixels(64)))
        with pytest.raises(grpc.RpcError) as caught:
            stubs.embedding.Embed(embedding_pb2.EmbedRequest(contents=[text("x")]))
        assert Refusal(caught.value).code == grpc.StatusCode.UNAVAILABLE


def test_unreadable_config_is_the_servers_fault(tmp_path: Path) -> None:
    repository = copy_of_shipped(tmp_path)
    (repository / f"{MODEL}-text" / "config.pbtxt").write_text("{")
    flags = ("--repository", repository, "--data", tmp_path / "data")
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        assert health(channel, "triptych.v1.EmbeddingService") == NOT_SERVING
        with pytest.raises(grpc.RpcError) as caught:
            request = embedding_pb2.EmbedRequest(contents=[text("x")])
            Stubs(channel).embedding.Embed(request)
        refused = Refusal(caught.value)
        assert refused.code == grpc.StatusCode.UNAVAILABLE
        assert "config.pbtxt" in refused.message


@pytest.mark.parametrize("flag", ["--repository", "--assets", "--generators"])
def test_missing_directory_is_an_error_in_one_line(tmp_path: Path, flag: str) -> None:
    flags = (flag, tmp_path / "none", "--data", tmp_path / "data")
    with (
        pytest.raises(RuntimeError, match="no directory"),
        GatewayProcess(*flags, log=tmp_path / "log"),
    ):
        pass
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_collection_refuses_another_space(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with (
        GatewayProcess("--data", data, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        collection = search_pb2.Collection(name="a")
        request = search_pb2.CreateCollectionRequest(collection=collection)
        space = Stubs(channel).search.CreateCollection(request).collection.space
    repository = copy_of_shipped(tmp_path)
    for config in repository.glob("*/config.pbtxt"):
        config.write_text(config.read_text().replace(space, "clip:another"))
    flags = ("--repository", repository, "--data", data)
    with (
        GatewayProcess(*flags, log=tmp_path / "log") as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        stubs = Stubs(channel)
        term = search_pb2.Term(content=text("x"))
        query = search_pb2.SearchRequest(collection="a", query=search_pb2.Query(terms=[term]))
        with pytest.raises(grpc.RpcError) as caught:
            stubs.search.Search(query)
        refused = Refusal(caught.value)
        assert refused.code == grpc.StatusCode.FAILED_PRECONDITION
        assert refused.reason == "SPACE_MISMATCH"
        upsert = search_pb2.UpsertItemsRequest(
            collection="a", item=search_pb2.Item(id="i"), content=text("x")
        )
        [answer] = stubs.search.UpsertItems(iter([upsert]))
        assert answer.error.reason == "SPACE_MISMATCH"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_idle_gateway_stops_at_once(tmp_path: Path, signum: signal.Signals) -> None:
    with GatewayProcess("--data", tmp_path / "data", log=tmp_path / "log") as process:
        process.send_signal(signum)
        assert process.wait() == 0


def copy_of_shipped(folder: Path) -> Path:
    """The shipped repository, to be changed."""
    return Path(shutil.copytree(SHIPPED_REPOSITORY, folder / "models"))
