"""`triptych export`: options reach the export, refusals are one line."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from served import read_config, read_spec
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


def test_layers_that_stay_in_fp32_are_told_and_written(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    given = ["clip", str(checkpoints["dinov2-base"]), "--repository", str(tmp_path)]
    options = ["--precision", "bf16", "--keep-fp32", "encoder.layer.0.mlp, layernorm.x"]
    result = CliRunner().invoke(app, [*given, *options])
    assert result.exit_code == 1
    assert "no encoder has a layer 'layernorm.x'" in result.stderr
    assert list(tmp_path.iterdir()) == []
    options = ["--precision", "bf16", "--keep-fp32", "encoder.layer.0.mlp,embeddings"]
    result = CliRunner().invoke(app, [*given, *options])
    assert result.exit_code == 0, result.output
    assert "  in fp32: embeddings, encoder.layer.0.mlp\n" in result.stdout
    assert "bf16 needs a GPU" in result.stdout
    folder = tmp_path / "dinov2-base-bf16-image"
    parameters = read_config(folder).parameters
    assert parameters["triptych.keep_fp32"].string_value == "embeddings,encoder.layer.0.mlp"
    assert read_spec(folder).precision == "bf16"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--keep-fp32", "auto"], "keep_fp32 is for fp16 and bf16, not for fp32"),
        (["--precision", "fp16", "--keep-fp32", "auto,head"], "either 'auto' or names of layers"),
        (["--precision", "int8", "--format", "tensorrt"], "TensorRT does not take int8"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    tmp_path: Path, options: list[str], told: str
) -> None:
    given = ["clip", "nobody/reads-it", "--repository", str(tmp_path)]
    result = CliRunner().invoke(app, [*given, *options])
    assert result.exit_code == 1
    assert told in result.stderr


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
