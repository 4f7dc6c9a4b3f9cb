"""How good captions and answers are, from their text and the scene that they are about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.world import Scene

_PUNCTUATION = re.compile(r"[\s.,;:!?\"'\u3002\uff0c\uff1f\uff01]+")


@dataclass(frozen=True)
class Items:
    """What one caption tells, what is true, and how much of it is both.

    Each object has four items (size, texture, colour, shape); the background is one, and so is the
    position or the relation.
    """

    told: int
    true: int
    right: int


def caption_items(text: str, scene: Scene) -> Items:
    """The items of one caption in either language; one that does not parse tells nothing."""
    told = parse(text)
    true = _size(scene)
    if told is None:
        return Items(0, true, 0)
    pairings = ((told, scene), (told.inverted(), scene), (told, scene.inverted()))
    return Items(_size(told), true, max(_right(*pairing) for pairing in pairings)[1])


def attribute_f1(texts: Sequence[str], scenes: Sequence[Scene]) -> float:
    """F1 over all items of all captions (micro-averaged), 0 to 1."""
    items = [caption_items(text, scene) for text, scene in zip(texts, scenes, strict=True)]
    counted = sum(one.told + one.true for one in items)
    return 2 * sum(one.right for one in items) / counted if counted else 0.0


def exact(texts: Sequence[str], scenes: Sequence[Scene]) -> float:
    """The share of captions that tell all that is true and nothing else."""
    items = [caption_items(text, scene) for text, scene in zip(texts, scenes, strict=True)]
    return _mean([one.told == one.true == one.right for one in items])


def is_answer(given: str, expected: str) -> bool:
    """Whether two answers are the same but for case, spacing and punctuation."""
    return _normalised(given) == _normalised(expected)


def answer_accuracy(given: Sequence[str], expected: Sequence[str]) -> float:
    """The share of answers that are right."""
    return _mean([is_answer(*pair) for pair in zip(given, expected, strict=True)])


def _size(scene: Scene) -> int:
    return 4 * len(scene.objects) + 2


def _right(told: Scene, scene: Scene) -> tuple[int, int]:
    """Equal items of objects, then of all, matching objects in the order in which both tell them.

    The assignment of objects is chosen by the first and, where that is equal, by the second.
    """
    objects = sum(
        getattr(one, name) == getattr(other, name)
        for one, other in zip(told.objects, scene.objects, strict=False)
        for name in ("size", "texture", "colour", "shape")
    )
    placed = (told.position, told.relation) == (scene.position, scene.relation)
    return objects, objects + placed + (told.background == scene.background)


def _normalised(answer: str) -> str:
    return _PUNCTUATION.sub(" ", answer.lower()).strip()


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0
