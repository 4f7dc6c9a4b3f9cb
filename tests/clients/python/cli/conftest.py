"""Run `triptych` commands in process against the real gateway."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triptych.cli import app

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def run(gateway: str) -> Run:
    """Run a command and return its result; `expect` is the exit status that it must have."""

    def call(*arguments: object, expect: int = 0) -> Any:
        environment = {"TRIPTYCH_TARGET": gateway, "COLUMNS": "200", "TERM": "dumb"}
        result = CliRunner().invoke(app, list(map(str, arguments)), env=environment)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return call


@pytest.fixture(scope="session")
def run_json(run: Run) -> Run:
    """Run a command with --json and return the one document that it printed."""

    def call(*arguments: object, expect: int = 0) -> Any:
        return json.loads(run(*arguments, "--json", expect=expect).stdout)

    return call


@pytest.fixture(scope="session")
def photos(run: Run, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A collection of the pictures with metadata, made by `triptych ingest`."""
    name = f"photos-{uuid.uuid4().hex[:12]}"
    rows = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows.write_text(
        "\n".join(
            json.dumps({"path": path.relative_to(pictures).as_posix(), "colour": path.stem})
            for path in pictures.rglob("*.png")
        )
    )
    run("ingest", pictures, "--collection", name, "--metadata", rows)
    yield name
    run("collection", "delete", name)
