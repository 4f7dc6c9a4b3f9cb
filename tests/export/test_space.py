"""Two encoders may be compared only if their spaces are equal."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPModel

from triptych_export.checkpoint import load_checkpoint
from triptych_export.space import embedding_space


@pytest.fixture
def checkpoint(checkpoints: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoints["clip-vit-b32"], tmp_path / "copy"))


@pytest.fixture(scope="module")
def original(checkpoints: Mapping[str, Path]) -> str:
    return embedding_space(load_checkpoint(checkpoints["clip-vit-b32"]))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_it_names_the_family_and_a_digest(original: str) -> None:
    family, digest = original.split(":")
    assert family == "clip"
    assert len(bytes.fromhex(digest)) == 32


def test_it_does_not_depend_on_names_and_file_layout(original: str, checkpoint: Path) -> None:
    model = CLIPModel.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="100KB")
    assert len(list(checkpoint.glob("*.safetensors"))) > 1
    assert embedding_space(load_checkpoint(checkpoint)) == original


def test_one_weight_changes_it(original: str, checkpoint: Path) -> None:
    model = CLIPModel.from_pretrained(checkpoint)
    with torch.no_grad():
        model.text_projection.weight[0, 0] += 1e-3
    model.save_pretrained(checkpoint)
    assert embedding_space(load_checkpoint(checkpoint)) != original


def test_the_tokenizer_changes_it(original: str, checkpoint: Path) -> None:
    edit(checkpoint / "tokenizer.json", lambda content: content["model"]["merges"].pop())
    assert embedding_space(load_checkpoint(checkpoint)) != original


@pytest.mark.parametrize(
    ("key", "value"),
    [("image_mean", [0.5, 0.5, 0.5]), ("resample", 2), ("size", {"shortest_edge": 40})],
)
def test_preprocessing_changes_it(original: str, checkpoint: Path, key: str, value: object) -> None:
    edit(checkpoint / "preprocessor_config.json", lambda content: content.update({key: value}))
    assert embedding_space(load_checkpoint(checkpoint)) != original
