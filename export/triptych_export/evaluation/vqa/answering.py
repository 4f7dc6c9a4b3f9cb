"""A model's answers to a data set's questions, and how right they are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from triptych import Client, Generation
from triptych_export.evaluation.calls import CONCURRENCY, in_parallel
from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.pictures import LeftOut, Unusable, ask_about
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
    ask = _Ask(client, model, generation)
    answers = in_parallel(
        ask, questions, concurrency=concurrency, advance=progress("answers", len(questions))
    )
    left_out = LeftOut.of(answer for answer in answers if isinstance(answer, Unusable))
    told = [
        (question, answer)
        for question, answer in zip(questions, answers, strict=True)
        if isinstance(answer, _Told)
    ]
    if not told:
        raise EvaluationError(f"no picture can be used: {left_out}")
    right = [answer_accuracy(answer.text, question.answers) for question, answer in told]
    return VqaReport(
        fmean(right),
        _by_type((question.answer_type for question, _ in told), right),
        _by_type((question.question_type for question, _ in told), right),
        len(told),
        left_out,
        told[0][1].model,
        {question.id: answer.text for question, answer in told},
    )


def _by_type(types: Iterable[str], right: Sequence[float]) -> dict[str, float]:
    """The mean of each type, types in alphabetical order."""
    grouped: dict[str, list[float]] = defaultdict(list)
    for kind, accuracy in zip(types, right, strict=True):
        grouped[kind].append(accuracy)
    return {kind: fmean(grouped[kind]) for kind in sorted(grouped)}


@dataclass(frozen=True, slots=True)
class _Told:
    text: str
    model: str


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question to its answer."""

    client: Client
    model: str
    generation: Generation | None

    def __call__(self, asked: Asked) -> _Told | Unusable:
        def answer(picture: bytes) -> _Told:
            given = self.client.answer(
                picture, asked.question, model=self.model, generation=self.generation
            )
            return _Told(given.text.strip(), given.model)

        return ask_about(asked.file, answer)
