"""What of a BLIP-2 checkpoint is read, and which are refused."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from transformers import Blip2ForConditionalGeneration

from triptych_export.blip2_checkpoint import load_blip2
from triptych_export.errors import CheckpointError, ExportError
from triptych_export.pipeline import export_blip2
from triptych_export.report import ExportReport
from triptych_export.space import embedding_space, patch_space


@pytest.fixture
def checkpoint(checkpoints: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoints["blip2-opt-125m"], tmp_path / "copy"))


def name_architecture(checkpoint: Path, architecture: str) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": [architecture]}))


def add_to(checkpoint: Path, weight: str) -> None:
    model = Blip2ForConditionalGeneration.from_pretrained(checkpoint)
    with torch.no_grad():
        model.get_parameter(weight).add_(1e-3)
    model.save_pretrained(checkpoint)


def spaces(checkpoint: Path) -> tuple[str, str]:
    loaded = load_blip2(checkpoint, language_model=False)
    return embedding_space(loaded), patch_space(loaded)


def test_the_language_model_is_read_only_for_a_generator(
    checkpoint: Path, generation: ExportReport
) -> None:
    without = load_blip2(checkpoint, language_model=False)
    whole = load_blip2(checkpoint, language_model=True)
    assert not any("language_model" in name for name, _ in without.model.named_parameters())
    assert any("language_model" in name for name, _ in whole.model.named_parameters())
    assert embedding_space(without) == embedding_space(whole) == generation.space


def test_equal_vision_towers_share_their_patches(checkpoint: Path) -> None:
    space, patches = spaces(checkpoint)
    add_to(checkpoint, "qformer.layernorm.bias")
    assert spaces(checkpoint)[0] != space
    assert spaces(checkpoint)[1] == patches
    add_to(checkpoint, "vision_model.post_layernorm.bias")
    assert spaces(checkpoint)[1] != patches


def test_a_language_model_leaves_the_space_of_the_encoders_alone(checkpoint: Path) -> None:
    before = spaces(checkpoint)
    add_to(checkpoint, "language_model.model.decoder.final_layer_norm.bias")
    assert spaces(checkpoint) == before


def test_an_encoder_decoder_is_no_generator_and_says_so(
    encoder_decoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="encoder-decoder, which needs a generator of an"):
        export_blip2(encoder_decoder, tmp_path / "repository", generators=tmp_path / "generators")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_the_checkpoint_lacks_is_named(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no graph itm; it has vision, prefix, image_prefix"):
        export_blip2(checkpoints["blip2-opt-125m"], tmp_path, graphs=["itm"])


def test_int8_is_refused(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="fp32, fp16 or bf16"):
        export_blip2(checkpoints["blip2-opt-125m"], tmp_path, precision="int8")


def test_other_classes_and_architectures_are_refused(
    checkpoint: Path, checkpoints: Mapping[str, Path]
) -> None:
    name_architecture(checkpoint, "Blip2Model")
    with pytest.raises(CheckpointError, match="names the architecture Blip2Model; known"):
        load_blip2(checkpoint, language_model=False)
    with pytest.raises(CheckpointError, match="'clip' is not BLIP-2"):
        load_blip2(checkpoints["clip-vit-b32"], language_model=False)
