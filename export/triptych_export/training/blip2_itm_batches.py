"""Training batches of the miniature matcher: families of pictures that differ in one attribute.

Each picture is told truly and falsely. Most false texts are one attribute away: those of its
family, whose pictures are there as well, and others. Some are of strangers, and some are short:
with hard ones alone, matching does not leave chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import Pixels, draw, draw_alike
from triptych_export.miniworld.phrases import Phrase, some_of
from triptych_export.miniworld.world import Change, Language, Scene, sample_scene
from triptych_export.training.clip_batches import hard_change

LANGUAGES: tuple[Language, ...] = ("en", "zh")
CHANGED_COPIES = 2  # pictures in a family beside its first
DRAWS = 20  # of each copy, of which the one most like the first picture is kept
FALSE_TEXTS = 1  # a picture, beside that of its family and that of a stranger
PHRASES = 0.3  # how many pictures have a true and a false phrase such as "a red star"
# How often each attribute is changed: what matching learns last, most often.
_WEIGHTS: dict[Change, float] = {
    "size": 1.5,
    "texture": 0.5,
    "colour": 0.5,
    "shape": 1.5,
    "position": 5,
    "relation": 5,
    "background": 0.5,
    "swapped_colours": 2,
    "swapped_shapes": 2,
}


@dataclass(frozen=True)
class Pairs:
    """Texts, each of a picture of ``[B, 64, 64, 3] uint8``: true of it, or not.

    ``owners [N] int64`` are the pictures' indices, ``true [N] bool``. The first B texts are the
    pictures' own captions, in order, and ``same [B, B] bool`` tells which are true of which.
    """

    pictures: Pixels
    texts: list[str]
    owners: NDArray[np.int64]
    true: NDArray[np.bool_]
    same: NDArray[np.bool_]


def sample_pairs(families: int, rng: np.random.Generator) -> Pairs:
    """So many families of pictures and their texts."""
    scenes: list[Scene] = []
    pictures: list[Pixels] = []
    for _ in range(families):
        first = sample_scene(rng, objects=1 + int(rng.uniform() < 0.6))
        copies = [hard_change(first, rng, _WEIGHTS) for _ in range(CHANGED_COPIES)]
        scenes += [first, *copies]
        picture = draw(first, rng)
        pictures += [picture, *(draw_alike(copy, picture, DRAWS, rng) for copy in copies)]
    told = [(tell(scene, rng), index, True) for index, scene in enumerate(scenes)]
    for index, scene in enumerate(scenes):
        told += [(tell(false, rng), index, False) for false in _false_scenes(scenes, index, rng)]
        told += [(tell(scene, rng), index, True)]
        if rng.uniform() < PHRASES:
            told += [(text, index, true) for text, true in _phrases(scene, rng)]
    canonical = [scene.canonical() for scene in scenes]
    return Pairs(
        pictures=np.stack(pictures),
        texts=[text for text, _, _ in told],
        owners=np.array([owner for _, owner, _ in told]),
        true=np.array([true for _, _, true in told]),
        same=np.array([[one == other for other in canonical] for one in canonical]),
    )


def tell(scene: Scene, rng: np.random.Generator) -> str:
    """The caption in either language, a pair from either object."""
    told = scene.inverted() if rng.uniform() < 0.5 else scene
    return caption(told, LANGUAGES[int(rng.integers(2))])


def _false_scenes(scenes: Sequence[Scene], index: int, rng: np.random.Generator) -> list[Scene]:
    """One of the picture's family, where that is another scene, a stranger, and some not drawn."""
    start = index - index % (1 + CHANGED_COPIES)
    family = scenes[start : start + 1 + CHANGED_COPIES]
    true = scenes[index].canonical()
    others = [other for other in family if other.canonical() != true]
    chosen = [others[int(rng.integers(len(others)))]] if others else []
    strangers = [other for other in scenes if other.canonical() != true]
    chosen.append(strangers[int(rng.integers(len(strangers)))])
    return chosen + [hard_change(scenes[index], rng, _WEIGHTS) for _ in range(FALSE_TEXTS)]


def _phrases(scene: Scene, rng: np.random.Generator) -> list[tuple[str, bool]]:
    """A few words that fit an object of the scene, and a few that are near and fit none."""
    thing = scene.objects[int(rng.integers(len(scene.objects)))]
    true = some_of(thing, 4, rng)
    near = [one for one in true.neighbours() if not any(map(one.fits, scene.objects))]
    phrases = [(true, True)] + ([(near[int(rng.integers(len(near)))], False)] if near else [])
    return [(_say(phrase, rng), fits) for phrase, fits in phrases]


def _say(phrase: Phrase, rng: np.random.Generator) -> str:
    if rng.uniform() < 0.5:
        words = phrase.indefinite("en")
        templates = ["{}", "a photo of {}", "there is {}", words.split(" ", 1)[1]]
    else:
        words = phrase.indefinite("zh")
        templates = ["{}", "一个{}", "图中有一个{}"]
    return templates[int(rng.integers(len(templates)))].format(words)
