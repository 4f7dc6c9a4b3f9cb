"""`triptych eval mils` against a gateway of its own, on a small set."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triptych_export.evaluation.cli import app

SMALL = ["--scenes", "6", "--pool-size", "400", "--evaluations", "150"]
WAYS = ("mils", "perfect_scorer", "best_of_pool", "random", "published", "seeded")


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["mils", *SMALL, *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def figures() -> Any:
    return run()


def test_every_way_is_measured_within_its_budget(figures: Any) -> None:
    for way in WAYS:
        assert 0 < figures[way]["attribute_f1"] <= 1
        assert 0 <= figures[way]["exact"] <= 1
        assert figures[way]["evaluations"] <= 150
    assert figures["random"]["evaluations"] == 150
    assert figures["best_of_pool"]["evaluations"] == 0
    assert 0.9 <= figures["caption"]["attribute_f1"] <= 1


def test_the_loop_is_better_than_what_it_begins_with(figures: Any) -> None:
    assert figures["mils"]["attribute_f1"] > figures["best_of_pool"]["attribute_f1"]
    curve = figures["mils"]["curve"]
    assert curve["best_score"] == sorted(curve["best_score"])
    assert len(curve["best_score"]) == len(curve["evaluations"])
    assert curve["best_score"][0] == pytest.approx(
        figures["best_of_pool"]["curve"]["best_score"][0]
    )


def test_the_loop_encodes_a_part_of_what_the_published_one_does(figures: Any) -> None:
    assert figures["pool"]["captions"] == 400
    # The pool, what it proposed, and at each step the survivors.
    assert figures["published"]["encoded_texts"] > 400 + 50
    assert figures["mils"]["encoded_texts"] <= 150 + figures["mils"]["evaluations"]
    assert figures["encoded_share"] == pytest.approx(
        figures["mils"]["encoded_texts"] / figures["published"]["encoded_texts"]
    )


def test_the_published_policy_can_take_the_place_of_the_loop() -> None:
    figures = run("--policy", "published", "--scenes", "2")
    assert figures["mils"] == figures["published"]
    assert figures["encoded_share"] == 1


def test_a_gateway_needs_its_seed_pools() -> None:
    done = CliRunner().invoke(app, ["mils", "--target", "127.0.0.1:1"])
    assert done.exit_code == 2
    assert "--pools" in done.output


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
@pytest.mark.parametrize("seconds", [0, 4])
def test_its_gateway_ends_with_it(seconds: float) -> None:
    command = [sys.executable, "-m", "triptych", "eval", "mils", *SMALL]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (started := children(process.pid)):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(seconds)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    for gateway in started:
        with pytest.raises(ProcessLookupError):
            os.kill(gateway, 0)
