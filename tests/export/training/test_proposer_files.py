import json
from pathlib import Path

import pytest
import torch
from generators import write_tiny_generator
from transformers import AutoTokenizer, OPTForCausalLM

from triptych_export.errors import CheckpointError
from triptych_export.language import export_language
from triptych_export.training.proposer_batches import PROPOSALS
from triptych_export.training.proposer_files import checkpoint_of, save_checkpoint
from triptych_export.training.proposer_model import build_model
from triptych_export.training.proposer_tokenizer import build_tokenizer
from triptych_server.engines.generators.spec import read_spec


def test_a_checkpoint_comes_back_from_its_export(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    saved, generators = tmp_path / "saved", tmp_path / "generators"
    saved.mkdir()
    save_checkpoint(model, tokenizer, saved)
    export_language(saved, generators, name="proposer")
    spec = read_spec(generators / "proposer")
    assert spec.proposals is not None
    assert {key: getattr(spec.proposals, key) for key in PROPOSALS} == PROPOSALS
    checkpoint_of(generators / "proposer", tmp_path / "back")
    back = OPTForCausalLM.from_pretrained(tmp_path / "back")
    for name, weight in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    files = {file.name: file.read_bytes() for file in (tmp_path / "back").iterdir()}
    assert json.loads(files["proposals.json"]) == PROPOSALS
    assert files == {file.name: file.read_bytes() for file in saved.iterdir()}
    text = AutoTokenizer.from_pretrained(tmp_path / "back")("83 a small red star\n100")
    assert text.input_ids == tokenizer("83 a small red star\n100").input_ids


def test_another_generator_is_no_proposer(tmp_path: Path) -> None:
    tiny = write_tiny_generator(tmp_path, space="")
    with pytest.raises(CheckpointError, match="tiny is no miniature proposer"):
        checkpoint_of(tiny.folder, tmp_path / "back")
    assert not (tmp_path / "back").exists()
