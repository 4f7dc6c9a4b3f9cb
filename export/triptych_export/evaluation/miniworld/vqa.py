"""Answers to single questions about scenes."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych import Client, Generation
from triptych_export.evaluation.calls import in_parallel
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.miniworld.draw import Pixels
from triptych_export.miniworld.evalset import question_set
from triptych_export.miniworld.measures import answer_accuracy
from triptych_export.miniworld.questions import QUESTION_TYPES, Question
from triptych_export.miniworld.world import Language

MAX_TOKENS = 40  # the longest answer has fewer

Answered = tuple[Question, str]
"""A question and what the model answered."""


@dataclass(frozen=True, slots=True)
class VqaFigures:
    """The share of right answers, of all and by type of question, in each language."""

    accuracy: float
    by_type: dict[str, float]
    zh_accuracy: float
    zh_by_type: dict[str, float]


def evaluate_vqa(
    client: Client, *, model: str = "", questions: int = 2000, progress: Progress = silent
) -> VqaFigures:
    """Ask so many questions, half of them in Chinese, as many of each type."""
    generation = Generation(max_tokens=MAX_TOKENS)

    def ask(asked: tuple[Pixels, Question]) -> str:
        picture, question = asked
        return client.answer(picture, question.text, generation=generation, model=model).text

    drawn = question_set(questions)
    pairs = zip(drawn.pictures, drawn.questions, strict=True)
    answers = in_parallel(ask, pairs, advance=progress("answers", questions))
    told = list(zip(drawn.questions, answers, strict=True))
    return VqaFigures(
        accuracy(told, "en"), _by_type(told, "en"), accuracy(told, "zh"), _by_type(told, "zh")
    )


def accuracy(told: Sequence[Answered], language: Language) -> float:
    """The share of right answers to the questions in one language."""
    chosen = [(given, question.answer) for question, given in told if question.language == language]
    return answer_accuracy([given for given, _ in chosen], [true for _, true in chosen])


def _by_type(told: Sequence[Answered], language: Language) -> dict[str, float]:
    return {
        kind: accuracy([one for one in told if one[0].type == kind], language)
        for kind in QUESTION_TYPES
    }
