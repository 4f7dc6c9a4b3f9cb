"""A model's answers to a data set's questions, and how right they are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from triptych import Client, Generation
from triptych_export.evaluation.calls import CONCURRENCY
from triptych_export.evaluation.pictures import LeftOut, Said, ask_about_each
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.evaluation.vqa.accuracy import answer_accuracy
from triptych_export.evaluation.vqa.annotations import Asked


@dataclass(frozen=True, slots=True)
class VqaReport:
    """Accuracy over so many `questions`, 0 to 1, and which pictures were left out, and why.

    Types are those of the data set: of answers such as `yes/no`, of questions such as `how many`.
    `answers` are the answers by the question's id.
    """

    accuracy: float
    by_answer_type: dict[str, float]
    by_question_type: dict[str, float]
    questions: int
    left_out: LeftOut
    model: str
    answers: dict[int, str] = field(repr=False)


def evaluate_vqa(
    client: Client,
    questions: Sequence[Asked],
    *,
    model: str = "",
    generation: Generation | None = None,
    concurrency: int = CONCURRENCY,
    progress: Progress = silent,
) -> VqaReport:
    """Ask each question and compare the answer with what people answered.

    Questions about pictures that are not there or cannot be read are left out of the figures; the
    pictures are counted. Raises `EvaluationError` when no question is left, and `TriptychError`
    when the gateway refuses.
    """

    def answer(asked: Asked, picture: bytes) -> Said:
        given = client.answer(picture, asked.question, model=model, generation=generation)
        return Said(given.text.strip(), given.model)

    said, left_out = ask_about_each(
        questions, answer, concurrency=concurrency, advance=progress("answers", len(questions))
    )
    right = [answer_accuracy(answer.text, question.answers) for question, answer in said]
    return VqaReport(
        fmean(right),
        _by_type((question.answer_type for question, _ in said), right),
        _by_type((question.question_type for question, _ in said), right),
        len(said),
        left_out,
        said[0][1].model,
        {question.id: answer.text for question, answer in said},
    )


def _by_type(types: Iterable[str], right: Sequence[float]) -> dict[str, float]:
    """The mean of each type, types in alphabetical order."""
    grouped: dict[str, list[float]] = defaultdict(list)
    for kind, accuracy in zip(types, right, strict=True):
        grouped[kind].append(accuracy)
    return {kind: fmean(grouped[kind]) for kind in sorted(grouped)}
