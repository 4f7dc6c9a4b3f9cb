"""`triptych mils`: what it sends, and what it shows of a search."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from triptych import ScoredText, SolveStep, Spending, Timing
from triptych.cli import app
from triptych.cli.mils_view import View

SEEDED = ("--seed-text", "a seed", "--max-steps", 2)


@pytest.fixture
def red(pictures: Path) -> Path:
    return pictures / "circles" / "red.png"


@pytest.fixture
def mils(serve: Any, searcher: Any) -> Callable[..., Any]:
    """Run `triptych mils` against the searcher and return its result."""
    target = serve(searcher)

    def call(*arguments: object, expect: int = 0) -> Any:
        environment = {"TRIPTYCH_TARGET": target, "COLUMNS": "200", "TERM": "dumb"}
        result = CliRunner().invoke(app, ["mils", *map(str, arguments)], env=environment)
        assert result.exit_code == expect, (result.output, result.exception)
        return result

    return call


def test_each_step_is_a_line_and_the_result_a_table(mils: Any, red: Path) -> None:
    shown = mils(red, *SEEDED).stdout.splitlines()
    assert shown[:3] == [
        "step 0         0 evaluated  0.2500  a seed",
        "step 1        10 evaluated  0.3750  found 1",
        "step 2        20 evaluated  0.5000  found 2",
    ]
    assert [line.split() for line in shown[3:5]] == [
        ["matching", "score", "step", "text"],
        ["0.7500", "0.5000", "2", "found", "2"],
    ]
    assert shown[-2] == "all steps are done, after 2 steps"


def test_json_is_one_document_of_steps_and_result(mils: Any, red: Path) -> None:
    document = json.loads(mils(red, *SEEDED, "--json").stdout)
    assert [step["step"] for step in document["steps"]] == [0, 1, 2]
    assert document["steps"][2]["spending"]["usage"]["completion_tokens"] == 200
    result = document["result"]
    assert [text["text"] for text in result["texts"]] == ["found 2", "found 1", "a seed"]
    assert (result["stop"], result["best"]["score"], document["error"]) == ("steps", 0.5, None)


def test_the_command_may_be_named(mils: Any, red: Path) -> None:
    assert mils("solve", red, *SEEDED).stdout == mils(*SEEDED, red).stdout


def test_help_shows_the_options_and_the_other_commands(mils: Any) -> None:
    for arguments in ((), ("--help",)):
        shown = mils(*arguments, expect=0 if arguments else 2).output
        assert all(part in shown for part in ("--max-evaluations", "solve", "build-pool"))
    assert "--subjects" in mils("build-pool", "--help").stdout


def test_the_options_reach_the_gateway(mils: Any, searcher: Any, red: Path) -> None:
    options = "--plus blue --minus red --aggregation min --pool p --pool-limit 5 --seed-text a"
    options += " --seed-text b --caption --caption-model c --proposal-model w --candidates 6"
    options += " --examples 7 --temperature 0.5 --top-p 0.25 --max-tokens 9 --guidance short"
    options += " --near-duplicate 0.75 --finalists 3 --itm-model i --max-steps 2 --patience 4"
    options += " --max-evaluations 8 --policy published --seed 11 --model m --timeout 500"
    mils(red, red, "--negative", red, *options.split())
    (request,) = searcher.requests
    words = [[(t.content.text, t.weight) for t in target.terms[1:]] for target in request.targets]
    assert words == [[("blue", 1), ("red", -1)]] * 2
    assert request.targets[0].terms[0].content.image.encoded == red.read_bytes()
    assert request.negatives[0].terms[0].content.image.encoded == red.read_bytes()
    assert (request.aggregation, request.policy, request.seed) == (2, 1, 11)
    seeds, proposal = request.seeds, request.proposal
    assert (seeds.pool, seeds.pool_limit, list(seeds.texts)) == ("p", 5, ["a", "b"])
    assert (seeds.caption, seeds.caption_model) == (True, "c")
    assert (proposal.model, proposal.candidates, proposal.examples) == ("w", 6, 7)
    assert (proposal.temperature, proposal.top_p, proposal.max_tokens) == (0.5, 0.25, 9)
    assert proposal.guidance == "short"
    scoring, limits = request.scoring, request.limits
    assert [scorer.contrastive.model for scorer in scoring.scorers] == ["m"]
    assert (scoring.near_duplicate_cosine, scoring.finalists) == (0.75, 3)
    assert scoring.finalist_model == "i"
    assert (limits.max_steps, limits.patience, limits.max_evaluations) == (2, 4, 8)
    assert searcher.deadlines[0] > 490


def test_without_options_the_gateway_decides(mils: Any, searcher: Any, red: Path) -> None:
    mils(red)
    (request,) = searcher.requests
    for name in ("seeds", "proposal", "limits"):
        assert getattr(request, name).ByteSize() == 0
    assert not request.scoring.scorers
    assert not request.HasField("seed")


def test_finalists_are_compared_where_that_is_possible(
    mils: Any, searcher: Any, red: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", np.ones(4, np.float32))
    mils(red)
    mils(red, "--plus", "blue")
    mils(tmp_path / "v.npy")
    mils(red, "--policy", "published")
    searcher.roles = []
    mils(red)
    mils(red, "--finalists", 2)
    assert [request.scoring.finalists for request in searcher.requests] == [16, 0, 0, 0, 0, 2]


def test_saved_vectors_are_targets(mils: Any, searcher: Any, tmp_path: Path) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "v.npy", rows)
    mils(tmp_path / "v.npy", "--plus", "blue")
    vectors = [target.terms[0].vector.data for target in searcher.requests[0].targets]
    assert vectors == [row.tobytes() for row in rows]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "v.npy"),
        (b"", "v.npy"),
        (np.zeros((0, 4), np.float32), "expected vectors"),
        (np.zeros((2, 2, 2), np.float32), "expected vectors"),
        (np.zeros(2, np.int64), "expected vectors"),
    ],
)
def test_a_file_without_vectors_is_a_usage_error(
    mils: Any, searcher: Any, tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "v.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    assert message in mils(path, expect=2).stderr
    assert not searcher.requests


def test_a_file_that_is_not_there_is_a_usage_error(mils: Any) -> None:
    assert "missing.png" in mils("missing.png", expect=2).stderr


def test_a_search_that_fails_leaves_what_it_found(mils: Any, red: Path, tmp_path: Path) -> None:
    failing = (red, *SEEDED, "--guidance", "fail", "--plot", tmp_path / "a.png")
    result = mils(*failing, expect=1)
    assert result.stderr == "error: UNAVAILABLE: gone\n"
    assert result.stdout.splitlines()[-1].split() == ["0.3750", "1", "found", "1"]
    document = json.loads(mils(*failing, "--json", expect=1).stdout)
    assert (document["result"], document["error"]["code"]) == (None, "UNAVAILABLE")
    assert [step["best"]["text"] for step in document["steps"]] == ["a seed", "found 1"]
    assert (tmp_path / "a.png").exists()


def test_a_plot_is_drawn(mils: Any, red: Path, tmp_path: Path) -> None:
    mils(red, *SEEDED, "--plot", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"


def test_a_plot_that_cannot_be_drawn_is_refused_before_any_work(
    mils: Any, searcher: Any, red: Path, tmp_path: Path
) -> None:
    assert ".png or .svg" in mils(red, "--plot", tmp_path / "a.txt", expect=2).stderr
    assert "no folder" in mils(red, "--plot", tmp_path / "none" / "a.png", expect=2).stderr
    assert not searcher.requests


def test_a_plot_needs_its_extra(searcher: Any, serve: Any, red: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from triptych.cli import main; main()"
    command = [sys.executable, "-c", code, "mils", red, "--plot", "a.png"]
    command += ["--target", serve(searcher)]
    refused = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (
        1,
        "error: triptych mils --plot needs the plot extra: pip install 'triptych[plot]'\n",
    )
    assert not searcher.requests


def test_an_interrupt_leaves_with_the_best(serve: Any, searcher: Any, red: Path) -> None:
    command = [sys.executable, "-m", "triptych", "mils", red, *SEEDED, "--guidance", "wait"]
    with subprocess.Popen(
        [*map(str, command), "--target", serve(searcher)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while "found 1" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        shown, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (130, "")
    assert shown.splitlines()[-1].split() == ["0.3750", "1", "found", "1"]
    assert searcher.ended.wait(60)


def test_control_characters_do_not_reach_the_terminal(mils: Any, red: Path) -> None:
    shown = mils(red, "--seed-text", "\x1b[31mred").stdout
    assert "\x1b" not in shown
    assert "\N{REPLACEMENT CHARACTER}[31mred" in shown


def test_a_terminal_shows_a_table_and_a_curve_while_it_searches() -> None:
    view = View()
    text = ScoredText("a [bold]red[/bold] circle", 0.25, 0)
    better = ScoredText("a striped circle " * 9, 0.5, 1)
    view.take(SolveStep(0, text, (text,), Spending(known_texts=3), Timing()))
    view.take(SolveStep(1, better, (better, text), Spending(evaluations=12), Timing()))
    console = Console(file=io.StringIO(), width=100, markup=False, highlight=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    head, spent, _, _, *rows = console.file.getvalue().splitlines()
    assert head.split() == ["▁" * 31 + "█", "step", "1"]
    assert spent.startswith("12 evaluated, 0 tokens written, 0 texts encoded; ")
    assert [row.rstrip().split(maxsplit=2) for row in rows] == [
        ["0.5000", "1", ("a striped circle " * 9)[:85] + "…"],
        ["0.2500", "0", "a [bold]red[/bold] circle"],
    ]


def test_a_terminal_ends_with_the_result(serve: Any, searcher: Any, red: Path) -> None:
    keyboard, theirs = pty.openpty()
    command = [sys.executable, "-m", "triptych", "mils", red, *SEEDED, "--target", serve(searcher)]
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(keyboard, 4096):
            shown += piece
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(keyboard)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "the seeds are being scored" in text
    assert "step 0   " not in text
    assert text.splitlines()[-2] == "all steps are done, after 2 steps"
