"""`triptych eval coco` against a real gateway, on a small data set."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from data_set import BROKEN, MISSING, DataSet
from typer.testing import CliRunner, Result

from triptych.errors import NotFoundError
from triptych_export.evaluation.cli import app
from triptych_export.evaluation.coco.scores import score_captions
from triptych_server.launch import GatewayProcess


class Command:
    """Runs `triptych eval coco`."""

    def __init__(self, target: str, data_set: DataSet, output: Path) -> None:
        self._given = ["coco", "--target", target, "--images", str(data_set.images)]
        self._output = output

    def run(self, annotations: Path, *options: str) -> Result:
        given = [*self._given, "--annotations", str(annotations), *options]
        return CliRunner().invoke(app, given)

    def json(self, annotations: Path, *options: str) -> Any:
        done = self.run(annotations, "--json", "--output", str(self._output), *options)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def captions(self) -> dict[int, str]:
        """What the model wrote in the run before."""
        return {told["image_id"]: told["caption"] for told in json.loads(self._output.read_text())}


@pytest.fixture
def command(
    gateway: GatewayProcess, data_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.setenv("PATH", "")  # no Java: it takes long to start
    return Command(gateway.target, data_set, tmp_path / "captions.json")


def test_scores_are_those_of_the_captions(command: Command, data_set: DataSet) -> None:
    figures = command.json(data_set.coco)
    captions = command.captions()
    assert sorted(captions) == list(range(len(data_set.scenes)))
    references = [data_set.references(index) for index in captions]
    expected = score_captions(list(captions.values()), references)
    assert {name: figures[name] for name in asdict(expected)} == asdict(expected)
    assert figures["bleu_4"] > 0.7


def test_missing_and_broken_pictures_are_counted_and_left_out(
    command: Command, data_set: DataSet
) -> None:
    figures = command.json(data_set.coco)
    assert figures["pictures"] == len(data_set.scenes)
    assert figures["left_out"]["missing"] == [str(data_set.images / MISSING)]
    assert list(figures["left_out"]["unreadable"]) == [str(data_set.images / BROKEN)]


def test_karpathy_split(command: Command, data_set: DataSet) -> None:
    assert command.json(data_set.karpathy)["pictures"] == 6
    assert sorted(command.captions()) == [1, 3, 5, 7, 9, 11]
    assert command.json(data_set.karpathy, "--split", "train", "--limit", "4")["pictures"] == 4
    assert command.captions().keys() == {0, 2, 4, 6}


def test_the_prompt_is_not_part_of_the_caption(command: Command, data_set: DataSet) -> None:
    command.json(data_set.coco, "--limit", "3", "--prompt", "一个", "--num-beams", "1")
    for text in command.captions().values():
        assert text
        assert not text.startswith("一个")
        assert "背景" in text


def test_the_table_tells_what_did_not_run(command: Command, data_set: DataSet) -> None:
    done = command.run(data_set.coco, "--limit", "2")
    assert "bleu_4" in done.stdout
    assert "meteor: not run because there is no Java" in done.stdout
    assert "tokenizer: approximate" in done.stdout


def test_a_folder_without_the_pictures_is_an_error(
    command: Command, data_set: DataSet, tmp_path: Path
) -> None:
    done = command.run(data_set.coco, "--images", str(tmp_path))
    assert done.exit_code == 1
    assert "no picture can be used: 14 missing" in done.stderr


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    command: Command, data_set: DataSet, tmp_path: Path
) -> None:
    done = command.run(data_set.coco, "--target", "nobody", "--output", str(tmp_path / "no" / "f"))
    assert done.exit_code == 2
    assert "Invalid value for '--output'" in done.stderr


def test_without_the_measures_it_says_what_to_install(data_set: DataSet) -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    start = "import sys; sys.modules['pycocoevalcap'] = None; from triptych.cli import main; main()"
    given = ["eval", "coco", "--images", data_set.images, "--annotations", data_set.coco]
    ran = subprocess.run([sys.executable, "-c", start, *given], capture_output=True, text=True)
    assert ran.returncode == 1
    needs = "error: triptych eval coco needs the eval extra: pip install 'triptych[eval]'\n"
    assert ran.stderr == needs


def test_an_unknown_model_is_told(command: Command, data_set: DataSet) -> None:
    done = command.run(data_set.coco, "--model", "gpt")
    assert isinstance(done.exception, NotFoundError)
