"""Checkpoints that cannot be exported say why; hub ids keep their commit."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import huggingface_hub.constants
import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from triptych_export.checkpoint import load_checkpoint
from triptych_export.errors import CheckpointError


@pytest.fixture
def checkpoint(checkpoints: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoints["clip-vit-b32"], tmp_path / "copy"))


def change_processor(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop_a_weight(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})


def reshape_a_weight(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    weights["visual_projection.weight"] = weights["visual_projection.weight"][:7].clone()
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no config.json in it": lambda path: (path / "config.json").unlink(),
    "config.json cannot be read": lambda path: (path / "config.json").write_text("{"),
    "the weights cannot be read": lambda path: truncate(path / "model.safetensors"),
    "1 weights are missing, the first visual_projection.weight": drop_a_weight,
    r"of another shape .* visual_projection.weight: \[7, 48\], not \[24, 48\]": reshape_a_weight,
    "no preprocessor_config.json in it": lambda p: (p / "preprocessor_config.json").unlink(),
    "no tokenizer.json in it": lambda path: (path / "tokenizer.json").unlink(),
    "the tokenizer cannot be read": lambda path: truncate(path / "tokenizer.json"),
    "does not resize": lambda path: change_processor(path, do_resize=False),
    "has no fixed output size": lambda path: change_processor(path, do_center_crop=False),
    "resizes both sides and then cuts": lambda path: change_processor(
        path, size={"height": 48, "width": 48}
    ),
    "cuts 32x32 out of a picture whose shorter side is 16": lambda path: change_processor(
        path, size={"shortest_edge": 16}
    ),
    "gives 24x24, the network takes 32x32": lambda path: change_processor(
        path, crop_size={"height": 24, "width": 24}
    ),
    "resamples in an unknown way": lambda path: change_processor(path, resample=4),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_the_error_says_what_is_wrong(checkpoint: Path, message: str) -> None:
    DAMAGES[message](checkpoint)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(checkpoint)
    assert "copy: " in str(caught.value)


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"'bert' cannot .* clip, chinese_clip, siglip, dino"):
        load_checkpoint(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent: no such directory"):
        load_checkpoint(tmp_path / "absent")


def test_a_file_is_no_checkpoint(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="safetensors: a file; a checkpoint is a directory"):
        load_checkpoint(checkpoint / "model.safetensors")


def test_a_hub_id_keeps_its_commit_and_a_directory_its_name(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--someone--tiny-clip"
    shutil.copytree(checkpoint, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    loaded = load_checkpoint("someone/tiny-clip")
    assert (loaded.name, loaded.source) == ("tiny-clip", f"someone/tiny-clip@{commit}")
    assert load_checkpoint(checkpoint).source == "copy"
    with pytest.raises(
        CheckpointError, match="someone/other: no such directory, and not on the hub"
    ):
        load_checkpoint("someone/other")
