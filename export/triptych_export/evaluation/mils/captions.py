"""Captions drawn from the grammar: seed pools, and proposals made blindly."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

import numpy as np

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.evalset import EVALUATION_SEED
from triptych_export.miniworld.world import Scene, sample_scene

_POOL, _BLIND = 300, 301  # apart from the numbers of the sets in `evalset`


def seed_pool(count: int, truths: Collection[Scene]) -> list[str]:
    """``count`` captions, no two alike up to inversion, and none that is true of the ``truths``."""
    rng = np.random.default_rng([EVALUATION_SEED, _POOL])
    return _distinct(count, rng, {scene.canonical() for scene in truths})


def blind_proposals(count: int, picture: int) -> list[str]:
    """``count`` captions drawn without a look at picture number ``picture``; one may be true."""
    rng = np.random.default_rng([EVALUATION_SEED, _BLIND, picture])
    return _distinct(count, rng, set())


def _distinct(count: int, rng: np.random.Generator, seen: set[Scene]) -> list[str]:
    return [caption(scene) for scene in islice(_new(rng, seen), count)]


def _new(rng: np.random.Generator, seen: set[Scene]) -> Iterator[Scene]:
    while True:
        scene = sample_scene(rng)
        if scene.canonical() not in seen:
            seen.add(scene.canonical())
            yield scene.inverted() if rng.uniform() < 0.5 else scene
