"""A checkpoint of a language model becomes a folder that the gateway's own engine serves."""

import json
from pathlib import Path
from typing import Any

import pytest
from generators import BEGIN_ID, CONTEXT_LENGTH, tiny_language_model, tiny_tokenizer
from typer.testing import CliRunner

from triptych_export.cli import app
from triptych_export.errors import CheckpointError, RepositoryError
from triptych_export.generator_parity import LIMIT
from triptych_export.language import PROPOSALS_FILE, export_language
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import Sampling
from triptych_server.engines.generators.spec import ProposalTemplates, read_spec
from triptych_server.media.content import Text

PROPOSALS = {
    "example": "{percent} {text}",
    "separator": "\n",
    "ending": "\n100",
    "subject": "a {subject}",
    "examples": 4,
}
PROMPT = "a photo of a cat"


def write_checkpoint(folder: Path, architecture: str = "opt", **proposals: object) -> Any:
    """Random weights, as `save_pretrained` leaves them."""
    model = tiny_language_model(architecture, num_hidden_layers=1)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    if proposals:
        (folder / PROPOSALS_FILE).write_text(json.dumps(proposals))
    return model


@pytest.mark.parametrize("architecture", ["opt", "llama", "qwen2"])
def test_it_computes_what_transformers_does(tmp_path: Path, architecture: str) -> None:
    write_checkpoint(tmp_path / "tiny", architecture)
    report = export_language(tmp_path / "tiny", tmp_path / "generators")
    spec = read_spec(tmp_path / "generators" / "tiny")
    assert (spec.model, spec.family, spec.source) == ("tiny", architecture, "tiny")
    assert (spec.space, spec.prefix_tokens, spec.max_prefixes) == ("", 0, 0)
    assert (spec.context_length, spec.end_ids) == (CONTEXT_LENGTH, (BEGIN_ID,))
    assert spec.proposals is None
    assert report.generator.parity.difference <= LIMIT
    assert report.generator.parity.tokens == 8 * 12


async def test_the_engine_continues_a_text_as_transformers_does(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "tiny")
    export_language(tmp_path / "tiny", tmp_path, name="served")
    tokenizer = tiny_tokenizer()
    prompt = tokenizer(PROMPT, return_tensors="pt")
    ids = model.generate(**prompt, max_new_tokens=8, do_sample=False)[
        0, prompt.input_ids.shape[1] :
    ]
    generator = OnnxGenerator(tmp_path / "served", threads=1, queue=4, cache_bytes=1 << 22)
    await generator.load()
    try:
        deltas = [each async for each in generator.generate([Text(PROMPT)], Sampling(max_tokens=8))]
    finally:
        await generator.close()
    assert "".join(delta.text for delta in deltas) == tokenizer.decode(ids, True)


def test_the_forms_of_proposals_come_from_the_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny", **PROPOSALS)
    report = export_language(tmp_path / "tiny", tmp_path / "generators")
    assert read_spec(tmp_path / "generators" / "tiny").proposals == ProposalTemplates(**PROPOSALS)
    assert "it proposes texts" in str(report)


def test_forms_that_are_given_come_before_the_checkpoints(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny", **PROPOSALS)
    (tmp_path / "other.json").write_text(json.dumps(PROPOSALS | {"ending": "\nbetter:"}))
    given = ["language", str(tmp_path / "tiny"), "--generators", str(tmp_path / "generators")]
    result = CliRunner().invoke(
        app, [*given, "--proposals", str(tmp_path / "other.json"), "--json"]
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["proposes"]
    assert report["generator"]["parity"]["difference"] <= LIMIT
    proposals = read_spec(tmp_path / "generators" / "tiny").proposals
    assert proposals is not None
    assert proposals.ending == "\nbetter:"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"example": "{percent}"}, "proposals.example: must contain {text} once"),
        ({"examples": "six"}, "proposals.examples: must be a whole number"),
        ({"beginning": "a"}, "proposals.beginning: unknown key"),
    ],
)
def test_forms_that_no_gateway_understands_are_refused(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    write_checkpoint(tmp_path / "tiny")
    (tmp_path / "tiny" / PROPOSALS_FILE).write_text(json.dumps({**PROPOSALS, **change}))
    with pytest.raises(CheckpointError, match=message):
        export_language(tmp_path / "tiny", tmp_path / "generators")
    assert not (tmp_path / "generators").exists()


def test_a_name_that_is_taken_is_replaced_only_on_demand(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "tiny")
    export_language(tmp_path / "tiny", tmp_path / "generators")
    with pytest.raises(RepositoryError, match="tiny is there already"):
        export_language(tmp_path / "tiny", tmp_path / "generators")
    write_checkpoint(tmp_path / "tiny", **PROPOSALS)
    export_language(tmp_path / "tiny", tmp_path / "generators", overwrite=True)
    assert read_spec(tmp_path / "generators" / "tiny").proposals is not None
    assert [path.name for path in (tmp_path / "generators").iterdir()] == ["tiny"]


def test_a_checkpoint_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(CheckpointError, match="language model 'clip' cannot be exported"):
        export_language(tmp_path, tmp_path / "generators")
