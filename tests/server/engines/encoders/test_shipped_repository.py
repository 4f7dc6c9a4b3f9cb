"""The repository that the product ships, in both engines."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonserver import Statistics, TritonServer

from triptych_server.engines.encoders import EncoderSpec, Role, Tensors
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.encoders.repository import read_asset, read_config
from triptych_server.engines.encoders.spec import SIGNATURES, spec_from_config
from triptych_server.engines.encoders.triton import TritonEngine

REPOSITORY = Path(__file__).parents[4] / "model_repository"
CONFIGS = sorted(REPOSITORY.glob("*/config.pbtxt"))

CALLERS = 32
TEXTS_OF_A_CALLER = 20


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    with TritonServer(REPOSITORY) as server:
        yield server


def batch(spec: EncoderSpec, rows: int, length: int, seed: int = 0) -> Tensors:
    """Random pictures, patches, and texts of `length` tokens, as the encoder takes them."""
    generator = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {}
    if spec.image is not None:
        shape = (rows, spec.image.height, spec.image.width, 3)
        inputs["pixels"] = generator.integers(0, 256, shape, dtype=np.uint8)
    if spec.text is not None:
        inputs["input_ids"] = generator.integers(1, 40, (rows, length))
        inputs["attention_mask"] = np.ones_like(inputs["input_ids"])
    if "patches" in SIGNATURES[spec.role].inputs:
        inputs["patches"] = generator.normal(size=(rows, *spec.patches)).astype(np.float32)
    if spec.role is Role.ITM:
        inputs["image_index"] = generator.permutation(rows)
    return inputs


def test_there_is_an_encoder_for_pictures_and_one_for_texts() -> None:
    roles = {spec_from_config(read_config(path), "1").role for path in CONFIGS}
    assert roles >= {Role.IMAGE, Role.TEXT}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_the_config_is_as_triton_and_triptych_need_it(path: Path) -> None:
    config = read_config(path)
    spec = spec_from_config(config, "1")
    assert config.backend == "onnxruntime"
    batched = spec.role is not Role.ITM
    assert (config.max_batch_size > 1) == batched
    assert config.HasField("dynamic_batching") == batched
    # KIND_CPU would pin NVIDIA's container to the CPU, KIND_GPU would fail without one.
    assert not config.instance_group
    assert spec.space.startswith(f"{spec.family}:")
    assert (path.parent / "1" / "model.onnx").is_file()
    if spec.text is not None:
        text = spec.text
        assert read_asset(REPOSITORY, spec.name, text.tokenizer.name, text.tokenizer_sha256)


@pytest.mark.engines
async def test_triton_gives_the_specs_and_features_of_the_in_process_engine(
    server: TritonServer,
) -> None:
    onnx = OnnxEngine(REPOSITORY, threads=1, queue_rows=64)
    await onnx.load()
    triton = TritonEngine(server.grpc)
    assert await triton.encoders() == await onnx.encoders()
    for encoder in await onnx.encoders():
        spec = await onnx.spec(encoder)
        assert await triton.spec(encoder) == spec
        for rows in (1, 3, 8):
            inputs = batch(spec, rows, length=16)
            here, there = await onnx.infer(encoder, inputs), await triton.infer(encoder, inputs)
            assert here.version == there.version
            output = SIGNATURES[spec.role].output
            np.testing.assert_allclose(there.outputs[output], here.outputs[output], atol=1e-5)
    await asyncio.gather(onnx.close(), triton.close())


@pytest.mark.engines
async def test_triton_computes_mixed_lengths_from_many_callers_in_batches(
    server: TritonServer,
) -> None:
    engine = TritonEngine(server.grpc)
    specs = [await engine.spec(encoder) for encoder in await engine.encoders()]
    spec = next(spec for spec in specs if spec.role is Role.TEXT)
    assert spec.text is not None
    lengths = spec.text.lengths
    assert len(lengths) > 1

    async def call(seed: int) -> None:
        for length in np.random.default_rng(seed).choice(lengths, TEXTS_OF_A_CALLER):
            await engine.infer(spec.name, batch(spec, 1, length, seed))

    before = server.statistics(spec.name)
    await asyncio.gather(*(call(seed) for seed in range(CALLERS)))
    await engine.close()
    served = await counted(server, spec.name, before)
    assert served.inferences == CALLERS * TEXTS_OF_A_CALLER
    print(f"mean batch {served.mean_batch:.2f}")
    assert served.mean_batch > 2


async def counted(server: TritonServer, model: str, before: Statistics) -> Statistics:
    """What Triton counted since, once it has counted all: it answers a moment before it counts."""
    served = server.statistics(model) - before
    async with asyncio.timeout(10):
        while served.inferences < CALLERS * TEXTS_OF_A_CALLER:
            await asyncio.sleep(0.01)
            served = server.statistics(model) - before
    return served
