"""`triptych eval vqa` against a real gateway, on a small data set."""

import json
from pathlib import Path
from typing import Any

import pytest
from data_set import BROKEN, MISSING, DataSet
from typer.testing import CliRunner, Result

from triptych_export.evaluation.cli import app
from triptych_server.launch import GatewayProcess


class Command:
    """Runs `triptych eval vqa`."""

    def __init__(self, target: str, data_set: DataSet, output: Path) -> None:
        self._given = ["vqa", "--target", target, "--images", str(data_set.images)]
        self._given += ["--questions", str(data_set.questions)]
        self._given += ["--annotations", str(data_set.answers), "--file-name", "%012d.png"]
        self._output = output

    def run(self, *options: str) -> Result:
        return CliRunner().invoke(app, [*self._given, *options])

    def json(self, *options: str) -> Any:
        done = self.run("--json", "--output", str(self._output), *options)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def answers(self) -> dict[int, str]:
        """What the model answered in the run before."""
        return {
            told["question_id"]: told["answer"] for told in json.loads(self._output.read_text())
        }


@pytest.fixture
def command(gateway: GatewayProcess, data_set: DataSet, tmp_path: Path) -> Command:
    return Command(gateway.target, data_set, tmp_path / "answers.json")


def test_figures_are_those_of_the_answers(command: Command, data_set: DataSet) -> None:
    figures = command.json()
    answers = command.answers()
    assert sorted(answers) == [10 + index for index in range(len(data_set.scenes))]
    right = [answers[10 + i] == scene.background for i, scene in enumerate(data_set.scenes)]
    share = sum(right) / len(right)
    assert figures["accuracy"] == pytest.approx(share)
    assert figures["by_question_type"] == {"what colour": pytest.approx(share)}
    assert figures["by_answer_type"] == {
        "number": pytest.approx(sum(right[::2]) / len(right[::2])),
        "other": pytest.approx(sum(right[1::2]) / len(right[1::2])),
    }
    assert share > 0.8


def test_missing_and_broken_pictures_are_counted_and_left_out(
    command: Command, data_set: DataSet
) -> None:
    figures = command.json()
    assert figures["questions"] == len(data_set.scenes)
    assert figures["left_out"]["missing"] == [str(data_set.images / MISSING)]
    assert list(figures["left_out"]["unreadable"]) == [str(data_set.images / BROKEN)]


def test_limit_takes_the_first_questions(command: Command) -> None:
    assert command.json("--limit", "5", "--num-beams", "1")["questions"] == 5
    assert sorted(command.answers()) == [10, 11, 12, 13, 14]


def test_the_table_has_all_types(command: Command) -> None:
    done = command.run()
    assert all(word in done.stdout for word in ("all", "number", "other", "what colour"))


def test_a_folder_without_the_pictures_is_an_error(command: Command, tmp_path: Path) -> None:
    done = command.run("--images", str(tmp_path))
    assert done.exit_code == 1
    assert "no picture can be used: 14 missing" in done.stderr
