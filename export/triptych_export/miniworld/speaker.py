"""Who asks a question: what is decided by lot, and how things are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from triptych_export.miniworld import phrases
from triptych_export.miniworld.questions import Question, QuestionType
from triptych_export.miniworld.world import Language, Scene

T = TypeVar("T")


@dataclass(frozen=True)
class Speaker:
    """Who asks: of which scene, in which language, and what was spoken of last."""

    scene: Scene
    language: Language
    rng: np.random.Generator
    focus: int | None

    def pick_object(self) -> int:
        """The index of any object."""
        return int(self.rng.integers(len(self.scene.objects)))

    def choose(self, values: Sequence[T]) -> T:
        """Any of the values."""
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        """True in that share of all cases."""
        return bool(self.rng.uniform() < share)

    def say(self, english: Sequence[str], chinese: Sequence[str], **words: str) -> str:
        """Any template of the language, filled with the words."""
        return self.choose(english if self.language == "en" else chinese).format(**words)

    def name(self, index: int, hidden: str = "") -> str:
        """The object in words that do not tell its attribute ``hidden``."""
        if self.focus is not None and self.chance(0.7):
            return phrases.pronoun(self.language, other=index != self.focus)
        return phrases.identify(self.scene, index, hidden, self.rng).definite(self.language)

    def word(self, table: dict[str, str], value: str) -> str:
        """A value of the world in the language."""
        return value if self.language == "en" else table[value]

    def question(
        self, kind: QuestionType, text: str, answer: str, subject: int | None = None
    ) -> Question:
        """A question in the language."""
        return Question(kind, self.language, text, answer, subject)
