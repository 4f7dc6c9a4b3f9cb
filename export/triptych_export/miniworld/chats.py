"""Short conversations about one scene, in which later questions lean on earlier ones."""

from __future__ import annotations

import numpy as np

from triptych_export.miniworld.asking import ask, typed
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.questions import Question, possible_questions
from triptych_export.miniworld.world import Language, Scene

_OPENINGS = {
    "en": (
        "what is in the picture?",
        "what is in the image?",
        "describe the picture.",
        "what do you see?",
        "what is this?",
    ),
    "zh": (
        "图中有什么?",
        "图里有什么?",
        "描述这张图片\u3002",
        "你看到了什么?",
        "这是什么?",
    ),
}
_OPENED, _TRANSLATED = 0.3, 0.1  # how often a chat opens so, and how often a turn changes language


def chat(scene: Scene, turns: int, language: Language, rng: np.random.Generator) -> list[Question]:
    """So many questions and answers; ``it`` is what the turn before spoke of.

    Some chats begin by asking for the whole caption. Now and then a turn is in the other language.
    """
    told: list[Question] = []
    if rng.uniform() < _OPENED:
        told.append(_opening(scene, language, rng))
    kinds = possible_questions(scene)
    while len(told) < turns:
        spoken = _other(language) if rng.uniform() < _TRANSLATED else language
        before = told[-1] if told else None
        fresh = [kind for kind in kinds if before is None or kind != before.type]
        kind = fresh[int(rng.integers(len(fresh)))]
        told.append(ask(scene, kind, spoken, rng, before.subject if before else None))
    return told


def _opening(scene: Scene, language: Language, rng: np.random.Generator) -> Question:
    openings = _OPENINGS[language]
    text = typed(openings[int(rng.integers(len(openings)))], language, rng)
    subject = 0 if len(scene.objects) == 1 else None
    return Question(None, language, text, caption(scene.canonical(), language), subject)


def _other(language: Language) -> Language:
    return "zh" if language == "en" else "en"
