"""Questions about a scene and their answers, and how BLIP-2 reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from triptych_export.miniworld.world import Language, Scene

QuestionType = Literal[
    "colour",
    "shape",
    "size",
    "texture",
    "count",
    "existence",
    "position",
    "relation",
    "background",
    "yes_no",
]
QUESTION_TYPES: tuple[QuestionType, ...] = (
    "colour",
    "shape",
    "size",
    "texture",
    "count",
    "existence",
    "position",
    "relation",
    "background",
    "yes_no",
)


@dataclass(frozen=True)
class Question:
    """A question and its answer; of no type if it asks for the whole caption.

    ``subject`` is the index of the object that the two speak of, which ``it`` means in a question
    that follows; None if they speak of no single object.
    """

    type: QuestionType | None
    language: Language
    text: str
    answer: str
    subject: int | None = None


def prompt(text: str, earlier: Sequence[Question] = ()) -> str:
    """A question as BLIP-2 reads it, after the turns that came before it."""
    turns = [f"Question: {turn.text} Answer: {turn.answer}. " for turn in earlier]
    return "".join(turns) + f"Question: {text} Answer:"


def possible_questions(scene: Scene) -> tuple[QuestionType, ...]:
    """The types that ``ask`` can ask of this scene: all but the position, or the relation."""
    other = "relation" if scene.relation is None else "position"
    return tuple(kind for kind in QUESTION_TYPES if kind != other)
