"""Checkpoints for a vLLM hold what the export read, and no more than is served."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, Blip2ForConditionalGeneration

from triptych_export.blip2_checkpoint import load_blip2
from triptych_export.checkpoint import Checkpoint
from triptych_export.errors import ExportError
from triptych_export.pipeline import export_blip2
from triptych_export.vllm_checkpoint import VllmStyle, write_vllm_checkpoint

BLIP2 = "blip2-opt-125m"


@pytest.fixture(scope="module")
def loaded(checkpoints: Mapping[str, Path]) -> Checkpoint:
    return load_blip2(checkpoints[BLIP2], language_model=True)


def test_a_language_model_is_that_of_the_checkpoint(loaded: Checkpoint, tmp_path: Path) -> None:
    write_vllm_checkpoint(loaded, VllmStyle.PROMPT_EMBEDS, tmp_path / "checkpoint")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    for name, weight in loaded.model.language_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    assert tokenizer("a cat").input_ids == loaded.tokenizer("a cat").input_ids


def test_a_whole_model_lacks_its_encoders(loaded: Checkpoint, tmp_path: Path) -> None:
    write_vllm_checkpoint(loaded, VllmStyle.IMAGE_EMBEDS, tmp_path / "checkpoint")
    with safe_open(tmp_path / "checkpoint/model.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {name.partition(".")[0] for name in weights} == {"language_model", "query_tokens"}
    whole = loaded.model.state_dict()
    assert all(torch.equal(weight, whole[name]) for name, weight in weights.items())
    template = (tmp_path / "checkpoint/chat_template.jinja").read_text()
    assert "Question" not in template


def test_weights_that_lose_nothing_are_stored_in_half_the_bytes(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    model = Blip2ForConditionalGeneration.from_pretrained(checkpoints[BLIP2])
    loaded = load_blip2(checkpoints[BLIP2], language_model=True)
    loaded.model.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    write_vllm_checkpoint(loaded, VllmStyle.PROMPT_EMBEDS, tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint/config.json").read_text())
    assert config["dtype"] == "float16"
    stored = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", dtype="auto")
    for name, weight in loaded.model.language_model.state_dict().items():
        assert torch.equal(stored.state_dict()[name].float(), weight)


def test_a_checkpoint_for_vllm_needs_a_place(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="generators"):
        export_blip2(checkpoints[BLIP2], tmp_path / "models", for_vllm="prompt_embeds")
    assert not (tmp_path / "models").exists()
