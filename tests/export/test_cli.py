"""`triptych export`: options reach the export, refusals are one line."""

import json
from collections.abc import Mapping
from pathlib import Path

from served import read_spec
from typer.testing import CliRunner

from triptych_export.cli import app
from triptych_export.report import ExportReport


def test_clip_as_int8_takes_the_scheme_whose_rows_do_not_depend_on_their_batch(
    exports: Mapping[str, ExportReport], checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    given = ["clip", str(checkpoints["dinov2-base"]), "--repository", str(tmp_path)]
    options = ["--precision", "int8", "--max-batch-size", "4", "--gpu", "--json"]
    result = CliRunner().invoke(app, [*given, *options])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    fp32 = exports["dinov2-base"]
    (encoder,) = report["encoders"]
    assert encoder["scheme"] == "int8 static"
    assert encoder["file_bytes"] < fp32.encoders[0].file_bytes
    assert report["space"] == fp32.space
    assert [path.name for path in tmp_path.iterdir()] == ["dinov2-base-int8-image"]
    config = (tmp_path / encoder["folder"] / "config.pbtxt").read_text()
    assert "max_batch_size: 4" in config
    assert "preferred_batch_size: 8" not in config
    assert "kind: KIND_GPU" in config
    assert read_spec(tmp_path / encoder["folder"]).precision == "int8"


def test_blip2_exports_the_chosen_graph_and_says_what_is_left_out(
    encoder_decoder: Path, tmp_path: Path
) -> None:
    given = ["blip2", str(encoder_decoder), "--repository", str(tmp_path)]
    options = ["--graph", "prefix", "--precision", "fp16", "--name", "writer"]
    result = CliRunner().invoke(app, [*given, *options])
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["writer-prefix"]
    assert "writer-prefix: fp16, prefix of 4 x 40" in result.stdout
    assert "left out: the language model, an encoder-decoder, which needs" in result.stdout


def test_a_refusal_is_one_line_and_a_status(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    given = ["blip2", str(checkpoints["blip2-itm-vit-g"]), "--repository", str(tmp_path)]
    result = CliRunner().invoke(app, [*given, "--generators", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("has no language model to export\n")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
