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
