"""`triptych caption` and `triptych ask`: what they send and print."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triptych.cli import app


@pytest.fixture
def ask_talker(serve: Any, talker: Any) -> Callable[..., Any]:
    """Run a command against the talker and return its result."""
    target = serve(talker)

    def call(*arguments: object, expect: int = 0) -> Any:
        environment = {"TRIPTYCH_TARGET": target, "COLUMNS": "200", "TERM": "dumb"}
        result = CliRunner().invoke(app, list(map(str, arguments)), env=environment)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return call


def test_captions_are_a_table(ask_talker: Any, pictures: Path) -> None:
    red = pictures / "circles" / "red.png"
    head, *rows = ask_talker("caption", red, "--prompt", "a", "--num", 2).stdout.splitlines()
    assert head.split() == ["input", "caption", "log", "probability", "error"]
    assert ["a number 0" in rows[0], "a number 1" in rows[1]] == [True, True]
    assert "-1.5000" in rows[0]


def test_scores_are_shown_when_asked_for(ask_talker: Any, pictures: Path) -> None:
    red = pictures / "circles" / "red.png"
    head, row = ask_talker("caption", red, "--clip", "--itm").stdout.splitlines()
    assert head.split()[-3:] == ["clip", "itm", "error"]
    assert ("0.2500" in row, "0.7500" in row) == (True, True)


def test_the_options_of_a_caption_reach_the_gateway(
    ask_talker: Any, talker: Any, pictures: Path
) -> None:
    options = "--temperature 0.5 --top-k 3 --top-p 0.9 --repetition-penalty 1.5 --min-tokens 2"
    options += " --max-tokens 9 --stop x --stop y --seed 7 --beams 4 --length-penalty 2"
    options += " --num 3 --prompt a --model m --clip-model c --itm-model i --order-by clip"
    ask_talker("caption", pictures / "circles" / "red.png", *options.split())
    (request,) = talker.requests
    generation = request.generation
    assert (generation.temperature, generation.top_k) == (0.5, 3)
    assert (generation.top_p, generation.repetition_penalty) == (pytest.approx(0.9), 1.5)
    assert (generation.min_tokens, generation.max_tokens, generation.seed) == (2, 9, 7)
    assert (list(generation.stop), generation.num_beams) == (["x", "y"], 4)
    assert generation.length_penalty == 2
    assert (request.num_captions, request.prompt, request.model) == (3, "a", "m")
    scoring = request.scoring
    assert (scoring.clip, scoring.clip_model, scoring.itm, scoring.itm_model) == (
        True,
        "c",
        True,
        "i",
    )
    assert request.order_by == 2


def test_without_options_nothing_is_said_about_generation(
    ask_talker: Any, talker: Any, pictures: Path
) -> None:
    ask_talker("caption", pictures / "circles" / "red.png")
    ask_talker("ask", pictures / "circles" / "red.png", "what?", "--choice", "a")
    assert not any(request.HasField("generation") for request in talker.requests)


def test_one_broken_file_fails_alone(ask_talker: Any, tmp_path: Path) -> None:
    names = ("good.png", "broken.png", "large.png", "last.png")
    paths = [tmp_path / name for name in names]
    for path, content in zip(paths, (b"1", b"bad", bytes(21 << 20), b"2"), strict=True):
        path.write_bytes(content)
    document = json.loads(ask_talker("caption", *paths, "--json", expect=1).stdout)
    results = document["results"]
    assert [result["input"] for result in results] == list(map(str, paths))
    reasons = [result["error"] and result["error"]["reason"] for result in results]
    assert reasons == [None, "IMAGE_UNREADABLE", "FILE_UNREADABLE", None]
    assert [len(result["captions"]) for result in results] == [1, 0, 0, 1]
    assert results[0]["captions"][0]["finish_reason"] == "stop"
    assert (document["model"], document["usage"]["completion_tokens"]) == ("talker", 2)
    assert "IMAGE_UNREADABLE" not in ask_talker("caption", paths[0]).stdout


def test_directories_are_described_64_pictures_a_call(
    ask_talker: Any, talker: Any, tmp_path: Path
) -> None:
    for number in range(130):
        (tmp_path / f"{number:03}.png").write_bytes(b"%d" % number)
    (tmp_path / "notes.txt").write_text("no picture")
    document = json.loads(ask_talker("caption", tmp_path, "--json").stdout)
    assert [Path(result["input"]).stem for result in document["results"]] == [
        f"{number:03}" for number in range(130)
    ]
    assert [len(request.images) for request in talker.requests] == [64, 64, 2]


def test_a_call_that_fails_leaves_what_was_told_before(ask_talker: Any, tmp_path: Path) -> None:
    for number in range(65):
        (tmp_path / f"{number:03}.png").write_bytes(b"fail" if number == 64 else b"1")
    failed = ask_talker("caption", tmp_path, "--json", expect=1)
    assert len(json.loads(failed.stdout)["results"]) == 64
    assert failed.stderr == "error: INTERNAL: broken\n"


def test_names_of_files_need_not_be_text(ask_talker: Any, tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.png").write_bytes(b"1")
    assert "caf?.png" in ask_talker("caption", tmp_path, "--json").stdout
    assert "caf\ufffd.png" in ask_talker("caption", tmp_path).stdout


def test_a_folder_without_pictures_has_no_captions(ask_talker: Any, tmp_path: Path) -> None:
    assert json.loads(ask_talker("caption", tmp_path, "--json").stdout)["results"] == []


def test_a_file_that_is_not_there_is_a_usage_error(ask_talker: Any) -> None:
    assert "missing.png" in ask_talker("caption", "missing.png", expect=2).stderr


def test_an_answer_is_printed_as_it_is(ask_talker: Any, pictures: Path) -> None:
    red = pictures / "circles" / "red.png"
    assert ask_talker("ask", red, "what is it?").stdout == "so, what is it?\n"
    document = json.loads(ask_talker("ask", red, "what is it?", "--json").stdout)
    assert (document["text"], document["finish_reason"]) == ("so, what is it?", "length")


def test_choices_are_scored(ask_talker: Any, pictures: Path) -> None:
    question = ("ask", pictures / "circles" / "red.png", "is it?", "--choice", "yes")
    document = json.loads(ask_talker(*question, "--choice", "no", "--json").stdout)
    assert document["text"] == "no"
    assert [score["choice"] for score in document["choices"]] == ["yes", "no"]
    table = ask_talker(*question, "--choice", "no").stdout.splitlines()
    assert table[0].split() == ["answer", "probability", "log", "probability"]
    assert [row.split()[1] for row in table[1:]] == ["0.5000", "0.5000"]
