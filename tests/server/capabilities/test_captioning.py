"""How captions come about inside the gateway."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnx
from language import FUSED, TWO_STEP
from language_parts import Parts, parts
from onnx import numpy_helper

from triptych_server.capabilities.captioning import CaptionQuery, Captions
from triptych_server.capabilities.generation import Generation
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.errors import Internal
from triptych_server.media.content import RawImage


@asynccontextmanager
async def captioning(repository: Path, model: str) -> AsyncIterator[Parts]:
    folder = repository.parent / "generators" / model
    generator = OnnxGenerator(folder, threads=1, queue=8, cache_bytes=2**22)
    await generator.load()
    async with parts(repository, generator) as built:
        yield built


def query(model: str, pictures: int, itm_model: str | None = None) -> CaptionQuery:
    """Three sampled captions of each picture, all black."""
    sampling = Sampling(max_tokens=4, temperature=1.0, n=3)
    return CaptionQuery(
        model=model,
        images=[RawImage(8, 8, bytes(8 * 8 * 3))] * pictures,
        prompt="red ",
        generation=Generation(sampling, flexible=False),
        itm_model=itm_model,
    )


async def test_patches_that_both_models_take_are_computed_once(language_repository: Path) -> None:
    async with captioning(language_repository, TWO_STEP) as built:
        captioned = await built.captioner.caption(query(TWO_STEP, 5, itm_model=TWO_STEP))
        assert built.engine.asked[f"{TWO_STEP}-vision"] == 5
        assert built.engine.asked[f"{TWO_STEP}-prefix"] == 5
        for outcome in captioned.outcomes:
            assert isinstance(outcome, Captions)
            # A black picture's colours are zero, and so is every logit.
            assert [caption.itm_score for caption in outcome.captions] == [0.5] * 3


async def test_model_without_patches_leaves_them_to_the_matcher(language_repository: Path) -> None:
    async with captioning(language_repository, FUSED) as built:
        captioned = await built.captioner.caption(query(FUSED, 5, itm_model=TWO_STEP))
        assert built.engine.asked[f"{FUSED}-image-prefix"] == 5
        assert built.engine.asked[f"{TWO_STEP}-vision"] == 5
        assert all(isinstance(outcome, Captions) for outcome in captioned.outcomes)


async def test_prefix_that_is_not_finite_never_reaches_the_generator(
    language_repository: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(language_repository.parent, tmp_path / "copy"))
    spoil(copy / "models" / f"{FUSED}-image-prefix" / "1" / "model.onnx")
    async with captioning(copy / "models", FUSED) as built:
        captioned = await built.captioner.caption(query(FUSED, 2))
    for outcome in captioned.outcomes:
        assert isinstance(outcome, Internal)
        assert outcome.reason == "ENCODER_FAILED"


def spoil(network: Path) -> None:
    """Make its matrix one of numbers that are not finite."""
    model = onnx.load(network)
    [weight] = [each for each in model.graph.initializer if each.name == "weight"]
    infinite = np.full(tuple(weight.dims), np.inf, np.float32)
    weight.CopyFrom(numpy_helper.from_array(infinite, weight.name))
    onnx.save(model, network)
