"""Reading VQAv2's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.vqa.annotations import Asked, read_questions

PEOPLE = ["red"] * 9 + ["pink"]


class Files:
    """The two files of a data set, to change before they are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.questions: dict[str, Any] = {
            "questions": [
                {"question_id": 70, "image_id": 7, "question": "What colour?"},
                {"question_id": 80, "image_id": 8, "question": "Nobody answered?"},
            ]
        }
        self.annotations: dict[str, Any] = {
            "annotations": [
                {
                    "question_id": 70,
                    "image_id": 7,
                    "question_type": "what",
                    "answer_type": "other",
                    "answers": [{"answer": answer} for answer in PEOPLE],
                }
            ]
        }

    def read(self, *patterns: str) -> list[Asked]:
        questions, annotations = self.folder / "questions.json", self.folder / "annotations.json"
        questions.write_text(json.dumps(self.questions))
        annotations.write_text(json.dumps(self.annotations))
        if patterns:
            return read_questions(questions, annotations, self.folder, patterns)
        return read_questions(questions, annotations, self.folder)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_questions_have_what_people_answered_and_their_types(files: Files) -> None:
    (asked,) = files.read("%d.png")
    expected = Asked(70, files.folder / "7.png", "What colour?", tuple(PEOPLE), "what", "other")
    assert asked == expected


@pytest.mark.parametrize("name", ["COCO_val2014_000000000007.jpg", "000000000007.jpg", "7.jpg"])
def test_usual_file_names_are_found(files: Files, name: str) -> None:
    (files.folder / name).touch()
    assert files.read()[0].file.name == name


def test_the_first_pattern_of_which_there_is_a_file_is_taken(files: Files) -> None:
    (files.folder / "7.png").touch()
    assert files.read("%012d.png", "%d.png")[0].file.name == "7.png"
    assert files.read("%012d.png", "x%d.png")[0].file.name == "000000000007.png"


@pytest.mark.parametrize("pattern", ["picture.jpg", "%d-%d.jpg", "%(id)d.jpg", "%d %"])
def test_patterns_hold_one_number(files: Files, pattern: str) -> None:
    with pytest.raises(EvaluationError, match="one number"):
        files.read(pattern)


def test_too_few_answers_are_refused(files: Files) -> None:
    del files.annotations["annotations"][0]["answers"][3:]
    with pytest.raises(EvaluationError, match=r"annotations\[0\]: 3 answers, but .* needs 4"):
        files.read()


def test_malformed_questions_are_refused_with_their_place(files: Files) -> None:
    del files.questions["questions"][1]["image_id"]
    with pytest.raises(EvaluationError, match=r"questions\[1\]: no 'image_id'"):
        files.read()


def test_answers_that_are_no_list_are_refused(files: Files) -> None:
    files.annotations["annotations"][0]["answers"] = "red"
    with pytest.raises(EvaluationError, match=r"annotations\[0\]: 'answers' must be of type list"):
        files.read()


def test_files_that_do_not_belong_together_are_refused(files: Files) -> None:
    files.annotations["annotations"][0]["question_id"] = 1
    with pytest.raises(EvaluationError, match=r"no question of .* is annotated"):
        files.read()
