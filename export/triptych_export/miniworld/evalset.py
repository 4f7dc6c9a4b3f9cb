"""Evaluation sets of the miniature world, and the figures computed on their features.

The sets are drawn from ``EVALUATION_SEED``, which no training uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import Pixels, draw_all
from triptych_export.miniworld.world import (
    CHANGES,
    Change,
    Language,
    Scene,
    change,
    possible_changes,
    sample_scene,
)

EVALUATION_SEED = 20_260_117
Features = NDArray[np.floating]


@dataclass(frozen=True)
class RetrievalSet:
    """Scenes that differ pairwise up to inversion; ``pictures`` is ``[N, 64, 64, 3] uint8``.

    Half of the scenes have one object, and each pair is told from either object.
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


def recall_at_1(queries: Features, candidates: Features) -> float:
    """How often the nearest candidate of query i is candidate i; both ``[N, D]``, L2-normalised."""
    nearest = np.asarray(queries @ candidates.T).argmax(axis=1)
    return float((nearest == np.arange(len(queries))).mean())


def attribute_accuracy(pictures: Features, true: Features, false: Features) -> float:
    """How often a picture is nearer to its true than to its false caption; all ``[N, D]``."""
    return float(((pictures * true).sum(axis=1) > (pictures * false).sum(axis=1)).mean())


def _told_either_way(scene: Scene, rng: np.random.Generator) -> Scene:
    return scene.inverted() if rng.uniform() < 0.5 else scene
