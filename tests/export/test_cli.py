import json
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner

from triptych_export.cli import app


def test_clip_prints_the_report_as_json(checkpoints: Mapping[str, Path], tmp_path: Path) -> None:
    arguments = ["--repository", str(tmp_path), "--name", "eyes", "--max-batch-size", "16"]
    result = CliRunner().invoke(
        app, ["clip", str(checkpoints["dinov2-base"]), *arguments, "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"] == "eyes"
    assert "max_batch_size: 16" in (tmp_path / "eyes-image" / "config.pbtxt").read_text()


def test_a_refusal_is_one_line_and_a_status(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["clip", str(tmp_path / "absent"), "--repository", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path}/absent: no such directory\n"


def test_blip2_exports_the_chosen_graph_and_the_generator(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    places = ["--repository", str(tmp_path / "r"), "--generators", str(tmp_path / "g")]
    result = CliRunner().invoke(
        app,
        [
            *("blip2", str(checkpoints["blip2-opt-125m"]), *places),
            *("--graph", "image_prefix", "--precision", "fp16", "--name", "writer", "--json"),
        ],
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [encoder["scheme"] for encoder in report["encoders"]] == ["fp16"]
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["writer-image-prefix"]
    assert [path.name for path in (tmp_path / "g").iterdir()] == ["writer"]
    assert report["generator"]["parity"]["tokens"] > 0
