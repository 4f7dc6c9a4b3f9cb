"""BLIP-2's graphs, as a gateway feeds them, equal transformers on its own checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from served import gateway_pixels, gateway_tokenizer, read_config, read_spec, run
from transformers import (
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
)

from triptych_export.report import ExportReport
from triptych_export.samples import draw_pictures
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.encoders.spec import Role
from triptych_server.engines.generators.spec import read_spec as read_generator

TEXTS = ["a small red circle", "两个蓝色星形", "x", "a long text of many words " * 3]
# Each text with each of three pictures, and some of them again.
PAIRS = [(0, 2), (1, 0), (2, 1), (3, 2), (0, 0), (0, 0), (3, 1)]
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Pictures of the encoder's size, so that no resampling blurs the comparison."""
    return [picture.resize((32, 32)) for picture in draw_pictures(3, seed=11)]


@pytest.fixture(scope="module")
def writer(checkpoints: Mapping[str, Path]) -> Any:
    return Blip2ForConditionalGeneration.from_pretrained(checkpoints["blip2-opt-125m"]).eval()


@pytest.fixture(scope="module")
def matcher(checkpoints: Mapping[str, Path]) -> Any:
    return Blip2ForImageTextRetrieval.from_pretrained(checkpoints["blip2-itm-vit-g"]).eval()


@pytest.fixture(scope="module")
def processor(checkpoints: Mapping[str, Path]) -> Any:
    return Blip2Processor.from_pretrained(checkpoints["blip2-itm-vit-g"])


@pytest.fixture
def pixels(pictures: list[Image.Image], generation: ExportReport, repository: Path) -> np.ndarray:
    return gateway_pixels(pictures, read_spec(repository / f"{generation.model}-vision"))


@pytest.fixture
def patches(pictures: list[Image.Image], retrieval: ExportReport, repository: Path) -> np.ndarray:
    folder = repository / f"{retrieval.model}-vision"
    return run(folder, {"pixels": gateway_pixels(pictures, read_spec(folder))})


def encode(repository: Path, encoder: str, texts: list[str], padding: int = 0) -> dict[str, Any]:
    """Texts as one batch, each filled to the longest and `padding` tokens more."""
    spec = read_spec(repository / encoder)
    tokens = [gateway_tokenizer(repository, spec).encode(text) for text in texts]
    width = max(int(row.attention_mask.sum()) for row in tokens) + padding
    assert spec.text is not None
    ids = np.full((len(texts), width), spec.text.pad_id, np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(tokens):
        length = int(row.attention_mask.sum())
        ids[index, :length] = row.input_ids[0, :length]
        mask[index, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def match(repository: Path, encoder: str, patches: np.ndarray, padding: int = 0) -> np.ndarray:
    """Logits of all `PAIRS` in one request."""
    texts = encode(repository, encoder, [TEXTS[text] for text, _ in PAIRS], padding)
    index = np.array([picture for _, picture in PAIRS])
    return run(repository / encoder, {"patches": patches, "image_index": index, **texts})


@torch.inference_mode()
def reference(matcher: Any, processor: Any, picture: Image.Image, text: str, **how: bool) -> Any:
    inputs = processor(images=picture, text=text, return_tensors="pt")
    return matcher(**inputs, **how).logits_per_image.numpy()


@torch.inference_mode()
def reference_prefix(writer: Any, checkpoint: Path, pictures: list[Image.Image]) -> np.ndarray:
    images = Blip2Processor.from_pretrained(checkpoint).image_processor
    inputs = images(pictures, return_tensors="pt")
    return writer.get_image_features(**inputs).pooler_output.numpy()


@pytest.mark.parametrize("count", [1, 3])
def test_both_ways_to_the_prefix_equal_transformers(
    generation: ExportReport,
    checkpoints: Mapping[str, Path],
    repository: Path,
    writer: Any,
    pictures: list[Image.Image],
    pixels: np.ndarray,
    count: int,
) -> None:
    folder = repository / generation.model
    patches = run(Path(f"{folder}-vision"), {"pixels": pixels[:count]})
    prefix = run(Path(f"{folder}-prefix"), {"patches": patches})
    fused = run(Path(f"{folder}-image-prefix"), {"pixels": pixels[:count]})
    expected = reference_prefix(writer, checkpoints["blip2-opt-125m"], pictures[:count])
    assert prefix.shape == (count, 4, 40)
    assert np.abs(prefix - expected).max() < TOLERANCE
    assert np.abs(fused - expected).max() < TOLERANCE


def test_prefixes_of_different_pictures_differ(
    generation: ExportReport, repository: Path, pixels: np.ndarray
) -> None:
    prefix = run(repository / f"{generation.model}-image-prefix", {"pixels": pixels})
    assert np.ptp(prefix, axis=0).max() > 0.01


def test_logits_of_every_pair_equal_transformers_one_by_one(
    retrieval: ExportReport,
    repository: Path,
    matcher: Any,
    processor: Any,
    pictures: list[Image.Image],
    patches: np.ndarray,
) -> None:
    logits = match(repository, f"{retrieval.model}-itm", patches)
    expected = [
        reference(
            matcher, processor, pictures[picture], TEXTS[text], use_image_text_matching_head=True
        )
        for text, picture in PAIRS
    ]
    assert np.abs(logits - np.concatenate(expected)).max() < TOLERANCE
    assert np.ptp(logits, axis=0).max() > 0.01


def test_padding_does_not_change_a_match(
    retrieval: ExportReport, repository: Path, patches: np.ndarray
) -> None:
    encoder = f"{retrieval.model}-itm"
    padded = match(repository, encoder, patches, padding=13)
    for row, (text, picture) in enumerate(PAIRS):
        inputs = encode(repository, encoder, [TEXTS[text]])
        index = np.array([0])
        alone = run(
            repository / encoder,
            {"patches": patches[picture : picture + 1], "image_index": index, **inputs},
        )
        assert np.abs(alone[0] - padded[row]).max() < TOLERANCE


def test_patches_are_projected_once_a_picture(retrieval: ExportReport, repository: Path) -> None:
    """What depends on the number of texts comes after the gathering."""
    graph = onnx.load(repository / f"{retrieval.model}-itm" / "1" / "model.onnx").graph
    consumers = [node.op_type for node in graph.node if "patches" in node.input]
    assert set(consumers) == {"MatMul"}


def test_similarities_equal_transformers(
    retrieval: ExportReport,
    repository: Path,
    matcher: Any,
    processor: Any,
    pictures: list[Image.Image],
    patches: np.ndarray,
) -> None:
    queries = run(repository / f"{retrieval.model}-itc-image", {"patches": patches})
    encoder = f"{retrieval.model}-itc-text"
    texts = run(repository / encoder, encode(repository, encoder, TEXTS, padding=5))
    assert np.abs(np.linalg.norm(queries, axis=-1) - 1).max() < 1e-5
    similarities = (queries @ texts.T).max(axis=1)
    for row, picture in enumerate(pictures):
        expected = [reference(matcher, processor, picture, text).item() for text in TEXTS]
        assert np.abs(similarities[row] - expected).max() < TOLERANCE


def test_the_gateway_understands_every_config(
    generation: ExportReport, retrieval: ExportReport, repository: Path
) -> None:
    roles = []
    for report in (generation, retrieval):
        specs = [read_spec(repository / encoder.folder) for encoder in report.encoders]
        assert {(spec.model, spec.space, spec.family) for spec in specs} == {
            (report.model, report.space, "blip_2")
        }
        assert [spec.output for spec in specs] == [encoder.shape for encoder in report.encoders]
        assert {spec.patches for spec in specs} <= {None, (17, 48)}
        assert len({spec.patch_space for spec in specs if spec.patches}) == 1
        roles += [spec.role for spec in specs]
    assert roles == [
        *(Role.VISION, Role.PREFIX, Role.IMAGE_PREFIX),
        *(Role.VISION, Role.ITM, Role.ITC_IMAGE, Role.ITC_TEXT),
    ]


def test_the_matcher_is_not_batched_by_servers(retrieval: ExportReport, repository: Path) -> None:
    config = read_config(repository / f"{retrieval.model}-itm")
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert {tensor.name: list(tensor.dims) for tensor in [*config.input, *config.output]} == {
        "patches": [-1, 17, 48],
        "input_ids": [-1, -1],
        "attention_mask": [-1, -1],
        "image_index": [-1],
        "logits": [-1, 2],
    }


async def test_the_engine_runs_the_matcher(
    retrieval: ExportReport, repository: Path, patches: np.ndarray
) -> None:
    encoder = f"{retrieval.model}-itm"
    texts = encode(repository, encoder, TEXTS)
    index = np.array([0, 2, 2, 1])
    engine = OnnxEngine(repository, threads=1, queue_rows=64)
    await engine.load()
    try:
        inference = await engine.infer(encoder, {"patches": patches, "image_index": index, **texts})
    finally:
        await engine.close()
    assert inference.outputs["logits"].shape == (4, 2)


def test_no_text_can_name_the_token_of_pictures(
    retrieval: ExportReport, repository: Path, matcher: Any
) -> None:
    """It has no row in the table of embeddings: the network would fail for it."""
    spec = read_spec(repository / f"{retrieval.model}-itc-text")
    tokens = gateway_tokenizer(repository, spec).encode("<image> of a cat")
    assert tokens.input_ids.max() < matcher.config.qformer_config.vocab_size
    assert matcher.config.image_token_index >= matcher.config.qformer_config.vocab_size


def test_the_generator_takes_the_prefixes_of_its_encoders(
    generation: ExportReport, generators: Path, repository: Path
) -> None:
    spec = read_generator(generators / generation.model)
    encoder = read_spec(repository / f"{generation.model}-image-prefix")
    assert (spec.model, spec.space) == (encoder.model, encoder.space)
    assert (spec.prefix_tokens, spec.hidden_size) == encoder.output
    assert generation.generator is not None
    assert "generate" in str(generation)
