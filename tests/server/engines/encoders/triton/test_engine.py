"""What only a remote engine meets: models that come and go, a full queue, a server that is down.
What only several Tritons meet is in `test_several`."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import IMAGE, SLOW_STEPS, write_image_encoder
from tritonclient.grpc.aio import InferenceServerClient
from tritonserver import TritonServer

from triptych_server import deadline
from triptych_server.engines.encoders import Inference
from triptych_server.engines.encoders.triton import TritonEngine
from triptych_server.errors import DeadlineExceeded, NotFound, ResourceExhausted, Unavailable

pytestmark = pytest.mark.engines

PICTURE = {"pixels": np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)}
PICTURES = {"pixels": np.repeat(PICTURE["pixels"], 8, axis=0)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("changing")
    write_image_encoder(repository / "image")
    write_image_encoder(repository / "slow", steps=SLOW_STEPS, max_batch_size=1)
    write_image_encoder(repository / "busy", steps=SLOW_STEPS, max_batch_size=8)
    write_image_encoder(
        repository / "narrow",
        steps=SLOW_STEPS,
        max_batch_size=1,
        batching="dynamic_batching { default_queue_policy { max_queue_size: 1 } }",
    )
    with TritonServer(repository) as server:
        yield server


@pytest.fixture
async def engine(server: TritonServer) -> AsyncIterator[TritonEngine]:
    engine = TritonEngine(server.grpc)
    yield engine
    await engine.close()


@pytest.fixture
async def control(server: TritonServer) -> AsyncIterator[InferenceServerClient]:
    """Loads and unloads models."""
    async with InferenceServerClient(server.grpc) as client:
        yield client


async def test_this_triton_serves_onnx_models_through_a_stand_in(
    control: InferenceServerClient,
) -> None:
    """NVIDIA's container has a native `onnxruntime` backend; here it is backends/onnxruntime."""
    config = (await control.get_model_config("image")).config
    assert config.backend == "onnxruntime"
    assert config.runtime == "model.py"


async def test_an_exchanged_model_is_read_again_before_its_features_are_returned(
    server: TritonServer, engine: TritonEngine, control: InferenceServerClient
) -> None:
    folder = server.repository / "exchanged"
    write_image_encoder(folder, parameters=IMAGE | {"space": "clip:old"})
    await control.load_model("exchanged")
    before = await engine.infer("exchanged", PICTURE)
    assert (before.version, (await engine.spec("exchanged")).space) == ("1", "clip:old")

    write_image_encoder(folder, version=2, seed=2, parameters=IMAGE | {"space": "clip:new"})
    await control.load_model("exchanged")
    after = await engine.infer("exchanged", PICTURE)
    assert not np.allclose(before.outputs["features"], after.outputs["features"], atol=1e-2)
    spec = await engine.spec("exchanged")
    assert (after.version, spec.version, spec.space) == ("2", "2", "clip:new")


async def test_requests_ask_for_the_version_that_was_read(
    server: TritonServer, engine: TritonEngine, control: InferenceServerClient
) -> None:
    """Triton itself would answer with the highest."""
    folder = server.repository / "versions"
    every = "dynamic_batching { } version_policy { all { } }"
    write_image_encoder(folder, batching=every)
    await control.load_model("versions")
    before = await engine.infer("versions", PICTURE)
    write_image_encoder(folder, version=2, seed=2, batching=every)
    await control.load_model("versions")
    for _ in range(3):
        after = await engine.infer("versions", PICTURE)
        assert after.version == "1"
        np.testing.assert_allclose(after.outputs["features"], before.outputs["features"])
    await engine.ready("versions")
    assert (await engine.infer("versions", PICTURE)).version == "2"


async def test_ready_notices_a_model_exchanged_under_the_same_version(
    server: TritonServer, engine: TritonEngine, control: InferenceServerClient
) -> None:
    folder = server.repository / "overwritten"
    write_image_encoder(folder, parameters=IMAGE | {"space": "clip:old"})
    await control.load_model("overwritten")
    assert (await engine.spec("overwritten")).space == "clip:old"

    shutil.rmtree(folder)
    write_image_encoder(folder, parameters=IMAGE | {"space": "clip:new"})
    await control.load_model("overwritten")
    await engine.ready("overwritten")
    assert (await engine.spec("overwritten")).space == "clip:new"


async def test_an_unloaded_encoder_is_unavailable_and_stays_listed(
    server: TritonServer, engine: TritonEngine, control: InferenceServerClient
) -> None:
    write_image_encoder(server.repository / "passing")
    await control.load_model("passing")
    await engine.infer("passing", PICTURE)

    await control.unload_model("passing")
    for call in (engine.infer("passing", PICTURE), engine.ready("passing")):
        with pytest.raises(Unavailable, match="passing is un") as caught:
            await call
        assert caught.value.reason == "ENCODER_NOT_LOADED"
        assert caught.value.retry_after is not None
    assert "passing" in await engine.encoders()

    await control.load_model("passing")
    await engine.ready("passing")
    assert (await engine.infer("passing", PICTURE)).version == "1"


async def test_an_encoder_that_cannot_be_loaded_says_why(
    server: TritonServer, engine: TritonEngine, control: InferenceServerClient
) -> None:
    write_image_encoder(server.repository / "broken")
    (server.repository / "broken" / "1" / "model.onnx").write_bytes(b"not a network")
    with suppress(Exception):
        await control.load_model("broken")
    with pytest.raises(Unavailable, match=r"broken is unavailable: .*InvalidProtobuf"):
        await engine.ready("broken")


async def test_a_config_that_lacks_a_parameter_says_which(
    server: TritonServer, engine: TritonEngine, control: InferenceServerClient
) -> None:
    incomplete = IMAGE | {"resample": ""}
    write_image_encoder(server.repository / "incomplete", parameters=incomplete)
    await control.load_model("incomplete")
    assert "incomplete" in await engine.encoders()
    for call in (engine.spec("incomplete"), engine.ready("incomplete")):
        with pytest.raises(Unavailable, match=r"lacks the parameter triptych\.resample"):
            await call


async def test_a_full_queue_of_tritons_is_resource_exhausted(engine: TritonEngine) -> None:
    outcomes = await asyncio.gather(
        *(engine.infer("narrow", PICTURE) for _ in range(20)), return_exceptions=True
    )
    refused = [error for error in outcomes if isinstance(error, BaseException)]
    assert 0 < len(refused) < len(outcomes)
    assert {type(error) for error in refused} == {ResourceExhausted}


async def test_a_full_queue_of_the_engines_own_is_resource_exhausted(server: TritonServer) -> None:
    engine = TritonEngine(server.grpc, queue_rows=2)
    outcomes = await asyncio.gather(
        *(engine.infer("slow", PICTURE) for _ in range(20)), return_exceptions=True
    )
    await engine.close()
    refused = [error for error in outcomes if isinstance(error, BaseException)]
    assert 0 < len(refused) < len(outcomes)
    assert {type(error) for error in refused} == {ResourceExhausted}


async def test_cancelling_a_call_cancels_its_rpc(
    server: TritonServer, control: InferenceServerClient
) -> None:
    """Triton counts a request that it dropped from its queue as failed."""
    engines = [TritonEngine(server.grpc) for _ in range(10)]  # one alone hardly fills the queue
    await asyncio.gather(*(engine.infer("slow", PICTURE) for engine in engines))
    before = await _failures(control, "slow")
    calls = [
        asyncio.create_task(engine.infer("slow", PICTURE)) for engine in engines for _ in range(4)
    ]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await engines[0].infer("slow", PICTURE)
    assert await _failures(control, "slow") > before + 10
    await asyncio.gather(*(engine.close() for engine in engines))


async def test_a_callers_deadline_goes_with_the_request(
    server: TritonServer, control: InferenceServerClient
) -> None:
    """Triton drops what waits in its queue then, and counts it as failed."""
    engines = [TritonEngine(server.grpc) for _ in range(10)]  # one alone hardly fills the queue
    await asyncio.gather(*(engine.infer("slow", PICTURE) for engine in engines))
    before = await _failures(control, "slow")

    async def call(engine: TritonEngine) -> None:
        deadline.end_in(0.1)
        await engine.infer("slow", PICTURE)

    calls = (call(engine) for engine in engines for _ in range(4))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    late = [error for error in outcomes if isinstance(error, BaseException)]
    assert len(late) > 10
    assert {type(error) for error in late} == {DeadlineExceeded}
    await engines[0].infer("slow", PICTURE)
    assert await _failures(control, "slow") > before
    await asyncio.gather(*(engine.close() for engine in engines))


async def test_what_is_too_late_is_not_sent(
    engine: TritonEngine, control: InferenceServerClient
) -> None:
    async def call() -> None:
        deadline.end_in(-0.001)
        await engine.infer("image", PICTURE)

    await engine.infer("image", PICTURE)
    with pytest.raises(DeadlineExceeded):
        await asyncio.create_task(call())
    assert await _failures(control, "image") == 0


async def test_timing_is_of_tritons_recent_batches(engine: TritonEngine) -> None:
    async def infer() -> tuple[Inference, int]:
        started_ns = time.monotonic_ns()
        inference = await engine.infer("busy", PICTURE)
        return inference, time.monotonic_ns() - started_ns

    first, _ = await infer()
    assert (first.batch_size, first.queue_ns < first.compute_ns) == (0, True)
    async with asyncio.timeout(20):
        batch_size = 0
        while batch_size < 2:
            answers = await asyncio.gather(*(infer() for _ in range(32)))
            batch_size = answers[-1][0].batch_size
    assert batch_size <= 8
    for inference, took_ns in answers:
        assert inference.queue_ns > 0
        assert inference.compute_ns >= 0
        assert inference.queue_ns + inference.compute_ns <= took_ns
    assert (await engine.infer("busy", PICTURES)).batch_size == 8


@pytest.mark.parametrize("callers_s", [None, 60.0])
async def test_a_triton_that_does_not_answer_in_time_is_unavailable(
    server: TritonServer, callers_s: float | None
) -> None:
    engine = TritonEngine(server.grpc, timeout_s=0.001)
    deadline.end_in(callers_s)
    with pytest.raises(Unavailable, match=server.grpc) as caught:
        await engine.infer("slow", PICTURE)
    await engine.close()
    assert caught.value.reason == "ENGINE_UNAVAILABLE"


async def test_the_engine_recovers_when_triton_comes_up(tmp_path: Path) -> None:
    write_image_encoder(tmp_path / "image")
    server = TritonServer(tmp_path)
    engine = TritonEngine(server.grpc)
    calls = (engine.infer("image", PICTURE), engine.ready("image"), engine.encoders())
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.retry_after is not None
    with server:
        await _until_ready(engine)
        assert await engine.encoders() == ["image"]
        assert (await engine.infer("image", PICTURE)).version == "1"
        with pytest.raises(NotFound):
            await engine.ready("other")
    with pytest.raises(Unavailable):
        await engine.infer("image", PICTURE)
    await engine.close()


async def _failures(control: InferenceServerClient, model: str) -> int:
    statistics = await control.get_inference_statistics(model)
    return sum(version.inference_stats.fail.count for version in statistics.model_stats)


async def _until_ready(engine: TritonEngine) -> None:
    """The channel reconnects on its own, after a pause of its own."""
    async with asyncio.timeout(10):
        while True:
            with suppress(Unavailable):
                return await engine.ready("image")
