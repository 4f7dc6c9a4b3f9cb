"""`triptych mils` and its pools on a real gateway whose proposer writes random words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scenes import Scenes
from typer.testing import CliRunner

from triptych.cli import app

POOL = "by-command"


@pytest.fixture
def mils(search_gateway: str, pools: Path) -> Callable[..., Any]:
    """Run `triptych mils ... --json` and return the document."""

    def call(*arguments: object, expect: int = 0) -> Any:
        environment = {"TRIPTYCH_TARGET": search_gateway, "TRIPTYCH_POOLS": str(pools)}
        command = ["mils", *map(str, arguments), "--json"]
        result = CliRunner().invoke(app, command, env=environment)
        assert result.exit_code == expect, (result.output, result.exception)
        return json.loads(result.stdout) if result.stdout else result.stderr

    return call


@pytest.fixture
def picture(scenes: Scenes, tmp_path: Path) -> Path:
    Image.fromarray(scenes.pixels[0]).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_a_search_begins_with_a_pool_of_a_file(
    mils: Any, picture: Path, scenes: Scenes, tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("\n".join([*scenes.english, scenes.english[0]]))
    built = mils("build-pool", POOL, "--captions", tmp_path / "captions.txt")
    assert built["pool"]["count"] == len(set(scenes.english))
    found = mils(picture, "--pool", POOL, "--max-steps", 0)
    assert found["result"]["texts"][0]["text"] == scenes.english[0]
    assert found["result"]["texts"][0]["matching_score"] > 0.9
    assert found["result"]["spending"]["ranked_seeds"] == built["pool"]["count"]
    assert found["result"]["space"] == built["pool"]["space"]


def test_a_search_begins_with_a_pool_about_subjects(
    mils: Any, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "subjects.txt").write_text("orange heart\nred square\n")
    about = ("--subjects", tmp_path / "subjects.txt", "--count", 70, "--seed", 2)
    built = mils("build-pool", POOL, *about)
    assert 64 < built["pool"]["count"] <= 140
    seeds = mils(picture, "--pool", POOL, "--pool-limit", 3, "--max-steps", 0)["steps"][0]
    texts = [candidate["text"] for candidate in seeds["candidates"]]
    assert all(text.startswith(("a orange heart", "a red square")) for text in texts)
    assert len(texts) == 3


def test_the_best_so_far_is_told_when_the_time_is_over(
    mils: Any, picture: Path, scenes: Scenes
) -> None:
    endless = ("--max-steps", 1000, "--patience", 1000, "--max-evaluations", 100_000)
    seeded = ("--seed-text", scenes.english[0])
    found = mils(picture, *seeded, *endless, "--finalists", 0, "--timeout", 10)
    assert (found["result"]["stop"], found["error"]) == ("deadline", None)
    assert found["result"]["best"]["text"] == scenes.english[0]


def test_a_file_that_is_no_picture_is_told_in_one_line(mils: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (complaint,) = mils(tmp_path / "bad.png", expect=1).splitlines()
    assert complaint.startswith("error: INVALID_ARGUMENT: targets[0].terms[0].content.image")


def test_a_pool_that_is_not_there_is_told_in_one_line(mils: Any, picture: Path) -> None:
    (complaint,) = mils(picture, "--pool", "missing", expect=1).splitlines()
    assert complaint.startswith("error: NOT_FOUND: seeds.pool: there is no seed pool 'missing'")
