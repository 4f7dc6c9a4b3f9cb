"""Evaluation sets of the miniature world, and the figures computed on their features.

The sets are drawn from ``EVALUATION_SEED``, which no training uses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triptych_export.miniworld.asking import ask
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.chats import chat
from triptych_export.miniworld.draw import Pixels, draw, draw_alike, draw_all
from triptych_export.miniworld.questions import QUESTION_TYPES, Question, QuestionType
from triptych_export.miniworld.world import (
    CHANGES,
    POSITIONS,
    RELATIONS,
    Change,
    Language,
    Scene,
    change,
    possible_changes,
    sample_scene,
)

EVALUATION_SEED = 20_260_117
SHORT_CHATS, LONG_CHATS = (2, 4), (5, 25)  # turns
_DRAWINGS = 100  # of a near duplicate, of which the nearest is kept
Features = NDArray[np.floating]
# How many objects a scene must have for a type of question; either number for the others.
_OBJECTS: dict[QuestionType, int] = {"position": 1, "relation": 2}


@dataclass(frozen=True)
class RetrievalSet:
    """Scenes that differ pairwise up to inversion; ``pictures`` is ``[N, 64, 64, 3] uint8``.

    Each pair is told from either object.
    """

    scenes: tuple[Scene, ...]
    pictures: Pixels

    def captions(self, language: Language = "en") -> list[str]:
        """The caption of each picture."""
        return [caption(scene, language) for scene in self.scenes]


@dataclass(frozen=True)
class AttributePairs:
    """Scenes and the same scenes with only ``key`` changed.

    ``pictures`` is ``[N, 64, 64, 3] uint8`` and shows the true ones.
    """

    key: Change
    scenes: tuple[Scene, ...]
    changed: tuple[Scene, ...]
    pictures: Pixels

    def captions(self, language: Language = "en") -> list[str]:
        """The true caption of each picture."""
        return [caption(scene, language) for scene in self.scenes]

    def changed_captions(self, language: Language = "en") -> list[str]:
        """For each picture the caption that is false in one attribute."""
        return [caption(scene, language) for scene in self.changed]


@dataclass(frozen=True)
class Conversations:
    """Scenes and what is asked about each; ``pictures`` is ``[N, 64, 64, 3] uint8``.

    The last turn of each is to be answered, given the turns before it with their true answers.
    """

    scenes: tuple[Scene, ...]
    turns: tuple[tuple[Question, ...], ...]
    pictures: Pixels

    @property
    def questions(self) -> list[Question]:
        """The last turn of each, with its true answer."""
        return [turns[-1] for turns in self.turns]


def retrieval_set(count: int = 1000, seed: int = EVALUATION_SEED) -> RetrievalSet:
    """``count`` scenes, half of one object and half of two, no two alike up to inversion."""
    rng = np.random.default_rng([seed, 0])
    scenes: list[Scene] = []
    seen: set[Scene] = set()
    while len(scenes) < count:
        scene = sample_scene(rng, objects=1 + len(scenes) % 2)
        if scene.canonical() not in seen:
            seen.add(scene.canonical())
            scenes.append(_told_either_way(scene, rng))
    return RetrievalSet(tuple(scenes), draw_all(scenes, rng))


def near_duplicate_set(count: int = 1000, seed: int = EVALUATION_SEED) -> RetrievalSet:
    """``count`` scenes in families that differ in the position, or in the relation, alone.

    A family has all nine positions of an object, or all four relations of a pair, and a picture is
    the one of many that is most like the family's first: objects stand close to where the next
    position or relation would begin. No two scenes are alike up to inversion.
    """
    rng = np.random.default_rng([seed, 200])
    scenes: list[Scene] = []
    pictures: list[Pixels] = []
    seen: set[Scene] = set()
    while len(scenes) < count:
        family = _moved(sample_scene(rng))
        if seen.isdisjoint(scene.canonical() for scene in family):
            seen.update(scene.canonical() for scene in family)
            scenes += [_told_either_way(scene, rng) for scene in family]
            first = draw(family[0], rng)
            pictures += [first, *(draw_alike(one, first, _DRAWINGS, rng) for one in family[1:])]
    return RetrievalSet(tuple(scenes[:count]), np.stack(pictures[:count]))


def _moved(scene: Scene) -> list[Scene]:
    """The scene first, then with every other position, or every other relation."""
    if scene.relation is None:
        positions = [name for name in POSITIONS if name != scene.position]
        return [scene, *(replace(scene, position=name) for name in positions)]
    relations = [name for name in RELATIONS if name != scene.relation]
    return [scene, *(replace(scene, relation=name) for name in relations)]


def attribute_pairs(key: Change, count: int = 1000, seed: int = EVALUATION_SEED) -> AttributePairs:
    """``count`` scenes and their copies that differ in ``key`` alone, told in the same order."""
    rng = np.random.default_rng([seed, 1 + CHANGES.index(key)])
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = _told_either_way(sample_scene(rng), rng)
        if key in possible_changes(scene):
            scenes.append(scene)
    changed = tuple(change(scene, key, rng) for scene in scenes)
    return AttributePairs(key, tuple(scenes), changed, draw_all(scenes, rng))


def question_set(count: int = 2000, seed: int = EVALUATION_SEED) -> Conversations:
    """``count`` single questions, as many of each type in each language, each of its own scene."""
    rng = np.random.default_rng([seed, 100])
    scenes: list[Scene] = []
    turns: list[tuple[Question, ...]] = []
    for index in range(count):
        language: Language = "zh" if index % 2 else "en"
        kind = QUESTION_TYPES[index // 2 % len(QUESTION_TYPES)]
        scene = _told_either_way(sample_scene(rng, _OBJECTS.get(kind)), rng)
        scenes.append(scene)
        turns.append((ask(scene, kind, language, rng),))
    return Conversations(tuple(scenes), tuple(turns), draw_all(scenes, rng))


def chat_set(
    count: int = 500, turns: tuple[int, int] = SHORT_CHATS, seed: int = EVALUATION_SEED
) -> Conversations:
    """``count`` chats of so many turns, from the least to the most; half of them in Chinese."""
    rng = np.random.default_rng([seed, 101])
    scenes = [_told_either_way(sample_scene(rng), rng) for _ in range(count)]
    least, most = turns
    chats = tuple(
        tuple(chat(scene, least + index % (most + 1 - least), "zh" if index % 2 else "en", rng))
        for index, scene in enumerate(scenes)
    )
    return Conversations(tuple(scenes), chats, draw_all(scenes, rng))


def recall_at_1(queries: Features, candidates: Features) -> float:
    """How often the nearest candidate of query i is candidate i; both ``[N, D]``, L2-normalised."""
    nearest = np.asarray(queries @ candidates.T).argmax(axis=1)
    return float((nearest == np.arange(len(queries))).mean())


def attribute_accuracy(pictures: Features, true: Features, false: Features) -> float:
    """How often a picture is nearer to its true than to its false caption; all ``[N, D]``."""
    return float(((pictures * true).sum(axis=1) > (pictures * false).sum(axis=1)).mean())


def _told_either_way(scene: Scene, rng: np.random.Generator) -> Scene:
    return scene.inverted() if rng.uniform() < 0.5 else scene
