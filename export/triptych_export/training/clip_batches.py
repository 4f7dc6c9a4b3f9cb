"""Training batches of the miniature CLIP: pictures, their captions, and hard negatives of both.

Some scenes are followed by a copy with one attribute changed, so their pictures are hard negatives
of each other; every picture also gets captions that are false in one attribute. What the model
confuses most (shapes, relations, swaps) is changed most often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import Pixels, draw_all
from triptych_export.miniworld.world import (
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    Change,
    Language,
    Object,
    Scene,
    change,
    possible_changes,
    sample_scene,
)

LANGUAGES: tuple[Language, ...] = ("en", "zh")
CHANGED_COPIES = 0.8  # how many scenes are followed by a copy with one attribute changed
_WEIGHTS: dict[Change, float] = {
    "size": 2,
    "texture": 2,
    "colour": 0.5,
    "shape": 5,
    "position": 2.5,
    "relation": 5,
    "background": 0.5,
    "swapped_colours": 2,
    "swapped_shapes": 4,
}


@dataclass(frozen=True)
class Captions:
    """Texts of one language: the captions in the order of the pictures, then the false ones.

    ``clashes`` is ``[B, B + N] bool``: texts that are true of a picture and not its own caption.
    """

    texts: list[str]
    clashes: NDArray[np.bool_]


@dataclass(frozen=True)
class Phrases:
    """Short texts such as ``a red star``, each of one picture: ``matches`` is ``[P, B] bool``."""

    texts: list[str]
    owners: NDArray[np.int64]
    matches: NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """``pictures`` is ``[B, 64, 64, 3] uint8``; captions in both languages, phrases in either."""

    pictures: Pixels
    captions: dict[Language, Captions]
    phrases: Phrases


def sample_batch(size: int, negatives: int, phrases: int, rng: np.random.Generator) -> Batch:
    """A batch of new scenes, with ``negatives`` false captions a picture and language."""
    scenes = sample_scenes(size, rng)
    captions = {
        language: tell(
            tell_either_way(scenes, rng),
            tell_either_way(changed_scenes(scenes, negatives, rng), rng),
            language,
        )
        for language in LANGUAGES
    }
    return Batch(draw_all(scenes, rng), captions, sample_phrases(scenes, phrases, rng))


def tell(true: Sequence[Scene], false: Sequence[Scene], language: Language) -> Captions:
    """The captions of the pictures of ``true``, then the others, each as its scene tells it."""
    told = [*true, *false]
    codes: dict[Scene, int] = {}
    ids = np.array([codes.setdefault(scene.canonical(), len(codes)) for scene in told])
    clashes = ids[: len(true), None] == ids[None, :]
    np.fill_diagonal(clashes, False)
    return Captions([caption(scene, language) for scene in told], clashes)


def tell_either_way(scenes: Sequence[Scene], rng: np.random.Generator) -> list[Scene]:
    """The same scenes, each pair told from either object by lot."""
    either = rng.uniform(size=len(scenes)) < 0.5
    pairs = zip(scenes, either, strict=True)
    return [scene.inverted() if inverted else scene for scene, inverted in pairs]


def sample_scenes(size: int, rng: np.random.Generator) -> list[Scene]:
    """So many scenes by lot, most of them followed by a copy with one attribute changed."""
    scenes: list[Scene] = []
    while len(scenes) < size:
        scenes.append(sample_scene(rng))
        if rng.uniform() < CHANGED_COPIES:
            scenes.append(hard_change(scenes[-1], rng))
    return scenes[:size]


def changed_scenes(scenes: Sequence[Scene], copies: int, rng: np.random.Generator) -> list[Scene]:
    """So many copies of every scene, each with one attribute changed."""
    return [hard_change(scene, rng) for scene in scenes for _ in range(copies)]


def hard_change(
    scene: Scene, rng: np.random.Generator, weights: Mapping[Change, float] = _WEIGHTS
) -> Scene:
    """The scene with one attribute changed, more often one that is hard to see."""
    keys = possible_changes(scene)
    shares = np.cumsum([weights[key] for key in keys])
    index = int(np.searchsorted(shares, rng.uniform(0, shares[-1]), side="right"))
    return change(scene, keys[min(index, len(keys) - 1)], rng)


def sample_phrases(scenes: Sequence[Scene], count: int, rng: np.random.Generator) -> Phrases:
    """So many phrases, each of an object of another picture."""
    owners = rng.choice(len(scenes), size=count, replace=False).astype(np.int64)
    texts: list[str] = []
    matches = np.zeros((count, len(scenes)), bool)
    for row, owner in enumerate(owners):
        objects = scenes[owner].objects
        thing = objects[int(rng.integers(len(objects)))]
        size, striped = rng.uniform() < 0.4, thing.texture == "striped" and rng.uniform() < 0.8
        texts.append(_phrase(thing, size, striped, rng))
        matches[row] = [_has(scene, thing, size, striped) for scene in scenes]
    return Phrases(texts, owners, matches)


def _has(scene: Scene, wanted: Object, size: bool, striped: bool) -> bool:
    return any(
        thing.colour == wanted.colour
        and thing.shape == wanted.shape
        and (not size or thing.size == wanted.size)
        and (not striped or thing.texture == "striped")
        for thing in scene.objects
    )


def _phrase(thing: Object, size: bool, striped: bool, rng: np.random.Generator) -> str:
    if rng.uniform() < 0.5:
        named = [thing.size] if size else []
        named += ["striped"] if striped else []
        text = " ".join([*named, thing.colour, thing.shape])
        templates = ["{}", "a {}", "a photo of a {}", "a picture of a {}", "there is a {}"]
    else:
        text = SIZES[thing.size] + "的" if size else ""
        text += (TEXTURES["striped"] if striped else "") + COLOURS[thing.colour]
        text += SHAPES[thing.shape]
        templates = ["{}", "一个{}", "一张{}的图片", "图中有一个{}"]
    return templates[int(rng.integers(len(templates)))].format(text)
