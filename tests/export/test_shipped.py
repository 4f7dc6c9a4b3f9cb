"""What is shipped to run is the export of what is shipped to be trained on."""

from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession
from served import read_spec
from transformers import AutoTokenizer, CLIPModel

from triptych_export.blip2_checkpoint import load_blip2
from triptych_export.checkpoint import load_checkpoint
from triptych_export.miniworld.evalset import retrieval_set
from triptych_export.space import embedding_space, patch_space
from triptych_export.training.clip_evaluation import embed_pictures, embed_texts
from triptych_server.engines.generators.spec import read_spec as read_generator

ROOT = Path(__file__).parents[2]
CHECKPOINTS, ENCODERS = ROOT / "export" / "checkpoints", ROOT / "model_repository"
CLIP, WRITER, MATCHER = "miniworld-clip", "miniworld-blip2", "miniworld-blip2-itm"


@pytest.mark.parametrize("folder", [f"{CLIP}-image", f"{CLIP}-text"])
def test_clip(folder: str) -> None:
    checkpoint = load_checkpoint(CHECKPOINTS / CLIP)
    spec = read_spec(ENCODERS / folder)
    assert (spec.model, spec.space) == (CLIP, embedding_space(checkpoint))


def test_clip_gives_what_its_checkpoint_gives() -> None:
    model = CLIPModel.from_pretrained(CHECKPOINTS / CLIP)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / CLIP)
    drawn = retrieval_set(8)
    pictures = run(f"{CLIP}-image", pixels=drawn.pictures)
    assert np.allclose(pictures, embed_pictures(model, drawn.pictures), atol=1e-5)
    for language in ("en", "zh"):
        texts = drawn.captions(language)
        tokens = tokenizer(texts, padding=True, return_tensors="np")
        features = run(f"{CLIP}-text", **tokens)
        assert np.allclose(features, embed_texts(model, tokenizer, texts), atol=1e-5)


def run(encoder: str, **inputs: np.ndarray) -> np.ndarray:
    """The features that a shipped encoder gives."""
    return InferenceSession(ENCODERS / encoder / "1" / "model.onnx").run(None, inputs)[0]


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        (WRITER, f"{WRITER}-image-prefix"),
        (MATCHER, f"{MATCHER}-vision"),
        (MATCHER, f"{MATCHER}-itm"),
    ],
)
def test_blip2(model: str, folder: str) -> None:
    checkpoint = load_blip2(CHECKPOINTS / model, language_model=False)
    spec = read_spec(ENCODERS / folder)
    assert (spec.model, spec.space) == (model, embedding_space(checkpoint))
    assert spec.patch_space == (patch_space(checkpoint) if spec.patches else "")


def test_the_generator_takes_what_its_encoder_gives() -> None:
    generator = read_generator(ROOT / "generators" / WRITER)
    encoder = read_spec(ENCODERS / f"{WRITER}-image-prefix")
    assert (generator.model, generator.space) == (encoder.model, encoder.space)
    assert (generator.prefix_tokens, generator.hidden_size) == encoder.output


def test_every_shipped_folder_is_checked_here() -> None:
    shipped = {path.name for path in ENCODERS.iterdir() if path.is_dir()}
    encoders = {f"{CLIP}-image", f"{CLIP}-text", f"{WRITER}-image-prefix"}
    assert shipped == encoders | {f"{MATCHER}-vision", f"{MATCHER}-itm"}
