"""Questions about pictures with the answers that people gave, from VQAv2's files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.files import field, read_object, read_records
from triptych_export.evaluation.vqa.accuracy import LEAST_ANSWERS

FILE_NAMES = ("COCO_val2014_%012d.jpg", "COCO_train2014_%012d.jpg", "%012d.jpg", "%d.jpg")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a picture file, and what each of the people answered."""

    id: int
    file: Path
    question: str
    answers: tuple[str, ...]
    question_type: str
    answer_type: str


def read_questions(
    questions: Path, annotations: Path, images: Path, file_names: Sequence[str] = FILE_NAMES
) -> list[Asked]:
    """The annotated questions, whose picture files lie in `images`.

    `questions` has `questions` (`question_id`, `image_id`, `question`) and `annotations` has
    `annotations` (`question_id`, `answers` of `answer`, `question_type`, `answer_type`). A picture
    is in the first file there is of those that `file_names` say; `%d` stands for the picture's id.
    Raises `EvaluationError` for other files, for patterns without a number, and for questions with
    too few answers to measure by.
    """
    find = _finder(images, file_names)
    annotated = dict(
        read_records(annotations, read_object(annotations), "annotations", _annotation)
    )
    asked = [
        Asked(question_id, find(image_id), question, *annotated[question_id])
        for question_id, image_id, question in read_records(
            questions, read_object(questions), "questions", _question
        )
        if question_id in annotated
    ]
    if not asked:
        raise EvaluationError(f"{annotations}: no question of {questions} is annotated")
    return asked


def _finder(images: Path, file_names: Sequence[str]) -> Callable[[int], Path]:
    for pattern in file_names:
        try:
            _ = pattern % 0
        except (TypeError, ValueError):
            raise EvaluationError(f"{pattern!r}: one number is expected, such as %012d") from None

    def find(image_id: int) -> Path:
        files = [images / (pattern % image_id) for pattern in file_names]
        return next((file for file in files if file.is_file()), files[0])

    return find


def _question(record: Any) -> tuple[int, int, str]:
    ids = field(record, "question_id", int), field(record, "image_id", int)
    return *ids, field(record, "question", str)


def _annotation(record: Any) -> tuple[int, tuple[tuple[str, ...], str, str]]:
    answers = tuple(field(each, "answer", str) for each in field(record, "answers", list))
    if len(answers) < LEAST_ANSWERS:
        raise ValueError(f"{len(answers)} answers, but the measure needs {LEAST_ANSWERS}")
    types = str(record.get("question_type", "")), str(record.get("answer_type", ""))
    return field(record, "question_id", int), (answers, *types)
