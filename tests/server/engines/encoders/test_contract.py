"""What every encoder engine does alike: each test runs on ONNX Runtime, on a real Triton and on
two."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from triptych_server.engines.encoders import EncoderEngine
from triptych_server.engines.encoders.repository import read_config
from triptych_server.engines.encoders.spec import spec_from_config
from triptych_server.errors import Internal, InvalidArgument, NotFound

BUCKETS = (8, 16, 32, 64)
LARGEST_BATCH = 8

Arrays = Mapping[str, np.ndarray]


def pictures(rows: int, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    return {"pixels": generator.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8)}


def texts(rows: int, length: int, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(1, length + 1, (rows, 1))
    return {
        "input_ids": generator.integers(0, 64, (rows, length)),
        "attention_mask": (np.arange(length) < tokens).astype(np.int64),
    }


def pairs(images: int, rows: int, length: int = 8, seed: int = 0) -> Arrays:
    """Patches of `images` pictures, and `rows` texts, each with one of them."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(1, length + 1, (rows, 1))
    return {
        "patches": generator.random((images, 4, 3), np.float32),
        "input_ids": generator.integers(0, 6, (rows, length)),
        "attention_mask": (np.arange(length) < tokens).astype(np.int64),
        "image_index": generator.integers(0, images, rows),
    }


def computed_directly(repository: Path, encoder: str, inputs: Arrays) -> np.ndarray:
    session = onnxruntime.InferenceSession(repository / encoder / "1" / "model.onnx")
    [output] = session.run(None, dict(inputs))
    return np.asarray(output)


@pytest.mark.parametrize("rows", range(1, LARGEST_BATCH + 1))
async def test_features_are_those_of_the_network(
    engine: EncoderEngine, repository: Path, rows: int
) -> None:
    for encoder, inputs in {"image": pictures(rows), "text": texts(rows, 16)}.items():
        inference = await engine.infer(encoder, inputs)
        features = inference.outputs["features"]
        assert features.dtype == np.float32
        expected = computed_directly(repository, encoder, inputs)
        np.testing.assert_allclose(features, expected, atol=1e-5)


async def test_concurrent_requests_of_mixed_shapes_each_get_their_own_rows(
    engine: EncoderEngine, repository: Path
) -> None:
    requests: list[tuple[str, Arrays]] = []
    for seed in range(60):
        rows = 1 + seed % 3
        requests.append(("image", pictures(rows, seed)))
        requests.append(("text", texts(rows, BUCKETS[seed % len(BUCKETS)], seed)))
    inferences = await asyncio.gather(*(engine.infer(*request) for request in requests))
    for (encoder, inputs), inference in zip(requests, inferences, strict=True):
        expected = computed_directly(repository, encoder, inputs)
        np.testing.assert_allclose(inference.outputs["features"], expected, atol=1e-5)


@pytest.mark.parametrize(("images", "rows"), [(1, 1), (1, 40), (40, 1), (5, 12)])
async def test_an_unbatched_encoder_takes_inputs_of_different_rows(
    engine: EncoderEngine, repository: Path, images: int, rows: int
) -> None:
    inputs = pairs(images, rows)
    inference = await engine.infer("itm", inputs)
    logits = inference.outputs["logits"]
    assert (logits.dtype, logits.shape) == (np.float32, (rows, 2))
    np.testing.assert_allclose(logits, computed_directly(repository, "itm", inputs), atol=1e-5)


async def test_requests_of_an_unbatched_encoder_stay_apart(
    engine: EncoderEngine, repository: Path
) -> None:
    requests = [pairs(1 + seed % 3, 1 + seed % 5, 8 + seed % 2, seed) for seed in range(60)]
    inferences = await asyncio.gather(*(engine.infer("itm", each) for each in requests))
    for inputs, inference in zip(requests, inferences, strict=True):
        expected = computed_directly(repository, "itm", inputs)
        np.testing.assert_allclose(inference.outputs["logits"], expected, atol=1e-5)
        assert inference.batch_size in (0, max(map(len, inputs.values())))


async def test_encoders_are_the_models_with_a_role(engine: EncoderEngine) -> None:
    assert await engine.encoders() == ["image", "itm", "slow", "text"]


@pytest.mark.parametrize("encoder", ["image", "itm", "slow", "text"])
async def test_the_spec_is_what_config_pbtxt_says(
    engine: EncoderEngine, repository: Path, encoder: str
) -> None:
    config = read_config(repository / encoder / "config.pbtxt")
    assert await engine.spec(encoder) == spec_from_config(config, version="1")


async def test_an_inference_names_the_version_that_gave_it(engine: EncoderEngine) -> None:
    inference = await engine.infer("image", pictures(1))
    assert inference.version == (await engine.spec("image")).version == "1"
    assert inference.compute_ns > 0


async def test_a_loaded_encoder_is_ready(engine: EncoderEngine) -> None:
    assert await engine.ready("text") is None


@pytest.mark.parametrize("encoder", ["nothing-of-the-kind", "stranger"])
async def test_what_is_no_encoder_is_not_found(engine: EncoderEngine, encoder: str) -> None:
    for call in (engine.infer(encoder, pictures(1)), engine.spec(encoder), engine.ready(encoder)):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "ENCODER_NOT_FOUND"
        assert encoder in caught.value.message


@pytest.mark.parametrize(
    ("encoder", "inputs"),
    [
        pytest.param("image", {"pixels": pictures(1)["pixels"][:, :4]}, id="wrong-height"),
        pytest.param("image", {"pixels": pictures(1)["pixels"][0]}, id="no-row-axis"),
        pytest.param("image", {"pixels": np.zeros((1, 8, 8, 3), np.float32)}, id="wrong-dtype"),
        pytest.param("image", {"pixels": np.zeros((1, 8, 8, 3), np.complex64)}, id="odd-dtype"),
        pytest.param("image", {}, id="no-input"),
        pytest.param("text", {"input_ids": texts(1, 8)["input_ids"]}, id="missing-input"),
        pytest.param("image", pictures(1) | {"more": np.zeros((1, 1))}, id="unknown-input"),
        pytest.param("image", pictures(0), id="no-rows"),
        pytest.param("image", pictures(LARGEST_BATCH + 1), id="too-many-rows"),
        pytest.param(
            "text",
            texts(2, 8) | {"attention_mask": np.ones((1, 8), np.int64)},
            id="rows-that-disagree",
        ),
        pytest.param("itm", texts(1, 8), id="texts-without-pictures"),
        pytest.param(
            "itm", pairs(1, 1) | {"patches": np.zeros((1, 4, 2), np.float32)}, id="narrow-patches"
        ),
        pytest.param(
            "itm", pairs(1, 1) | {"patches": np.zeros((4, 3), np.float32)}, id="one-picture-bare"
        ),
        pytest.param("itm", pairs(1, 1) | {"image_index": np.zeros(1, np.int32)}, id="index-dtype"),
        pytest.param("itm", pairs(1, 0), id="no-texts"),
    ],
)
async def test_tensors_that_do_not_fit_are_invalid_and_the_engine_serves_on(
    engine: EncoderEngine, encoder: str, inputs: Arrays
) -> None:
    with pytest.raises(InvalidArgument):
        await engine.infer(encoder, inputs)
    assert len((await engine.infer("image", pictures(2))).outputs["features"]) == 2


async def test_a_network_that_fails_is_an_internal_error_and_the_engine_serves_on(
    engine: EncoderEngine,
) -> None:
    beyond_the_vocabulary = texts(1, 8) | {"input_ids": np.full((1, 8), 10_000)}
    with pytest.raises(Internal) as caught:
        await engine.infer("text", beyond_the_vocabulary)
    assert caught.value.reason == "ENCODER_FAILED"
    assert len((await engine.infer("text", texts(2, 8))).outputs["features"]) == 2


async def test_a_text_of_no_picture_is_an_internal_error_and_the_engine_serves_on(
    engine: EncoderEngine,
) -> None:
    with pytest.raises(Internal) as caught:
        await engine.infer("itm", pairs(2, 3) | {"image_index": np.array([0, 1, 2])})
    assert caught.value.reason == "ENCODER_FAILED"
    assert len((await engine.infer("itm", pairs(2, 3))).outputs["logits"]) == 3


async def test_cancelled_requests_leave_the_queue(engine: EncoderEngine) -> None:
    async def seconds() -> float:
        started = time.monotonic()
        await engine.infer("slow", pictures(1))
        return time.monotonic() - started

    async def seconds_after_cancelling() -> float:
        calls = [asyncio.create_task(engine.infer("slow", pictures(1))) for _ in range(100)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        waiting = [call for call in calls if call.cancel()]
        assert len(waiting) > 80
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        return await seconds()

    await seconds()
    # The best of some: a machine that is busy with something else is slow at times.
    alone = min([await seconds() for _ in range(4)])
    assert min([await seconds_after_cancelling() for _ in range(4)]) < alone * 80 / 5
