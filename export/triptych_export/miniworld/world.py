"""The miniature world: what a scene is, how scenes are drawn by lot, and how they differ.

A scene has one object at a position, or two objects in a relation, on a plain background. Every
attribute is one of the English words below; the tables map each to its Chinese word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Language = Literal["en", "zh"]
Change = Literal[
    "size",
    "texture",
    "colour",
    "shape",
    "position",
    "relation",
    "background",
    "swapped_colours",
    "swapped_shapes",
]

SHAPES = {
    "circle": "圆形",
    "square": "方形",
    "triangle": "三角形",
    "star": "星形",
    "cross": "十字形",
    "heart": "心形",
}
COLOURS = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "purple": "紫色",
    "orange": "橙色",
    "pink": "粉色",
    "cyan": "青色",
}
SIZES = {"small": "小", "large": "大"}
TEXTURES = {"plain": "", "striped": "条纹"}
BACKGROUNDS = {
    "grey": "灰色",
    "white": "白色",
    "black": "黑色",
    "brown": "棕色",
    "navy": "藏青色",
}
# Rows from top to bottom, columns from left to right: the index gives the cell of the 3 x 3 grid.
POSITIONS = {
    "top left": "左上",
    "top center": "上方中间",
    "top right": "右上",
    "middle left": "左侧中间",
    "middle center": "正中",
    "middle right": "右侧中间",
    "bottom left": "左下",
    "bottom center": "下方中间",
    "bottom right": "右下",
}
RELATIONS = {
    "to the left of": "左边",
    "to the right of": "右边",
    "above": "上面",
    "below": "下面",
}
INVERSE = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
CHANGES: tuple[Change, ...] = (
    "size",
    "texture",
    "colour",
    "shape",
    "position",
    "relation",
    "background",
    "swapped_colours",
    "swapped_shapes",
)
_CANONICAL_RELATIONS = ("to the left of", "above")


@dataclass(frozen=True)
class Object:
    """One object of a scene, e.g. ``Object("small", "striped", "red", "star")``."""

    size: str
    texture: str
    colour: str
    shape: str


@dataclass(frozen=True)
class Scene:
    """One object with a position, or two with the relation of the first to the second."""

    objects: tuple[Object, ...]
    background: str
    position: str | None = None
    relation: str | None = None

    def __post_init__(self) -> None:
        single = (len(self.objects), self.position is None, self.relation is None)
        if single not in ((1, False, True), (2, True, False)):
            raise ValueError("a scene is one object with a position or two with a relation")

    def inverted(self) -> Scene:
        """The same scene told from the other object; one object is returned as it is."""
        if self.relation is None:
            return self
        return replace(self, objects=self.objects[::-1], relation=INVERSE[self.relation])

    def canonical(self) -> Scene:
        """The one telling in which left comes before right and above before below."""
        if self.relation is None or self.relation in _CANONICAL_RELATIONS:
            return self
        return self.inverted()


def same(first: Scene, second: Scene) -> bool:
    """Whether two scenes are equal up to the inversion of a pair."""
    return first.canonical() == second.canonical()


def _pick(values: Sequence[str], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]


def _another(values: Sequence[str], current: str, rng: np.random.Generator) -> str:
    return _pick([value for value in values if value != current], rng)


def _sample_object(rng: np.random.Generator) -> Object:
    return Object(
        _pick(tuple(SIZES), rng),
        _pick(tuple(TEXTURES), rng),
        _pick(tuple(COLOURS), rng),
        _pick(tuple(SHAPES), rng),
    )


def _distinct(first: Object, second: Object) -> bool:
    return (first.colour, first.shape) != (second.colour, second.shape)


def sample_scene(rng: np.random.Generator, objects: int | None = None) -> Scene:
    """A canonical scene with uniform attributes; one or two objects with equal chance if not said.

    The two objects of a pair differ in (colour, shape).
    """
    if objects is None:
        objects = 1 + int(rng.integers(2))
    first = _sample_object(rng)
    background = _pick(tuple(BACKGROUNDS), rng)
    if objects == 1:
        return Scene((first,), background, position=_pick(tuple(POSITIONS), rng))
    second = _sample_object(rng)
    while not _distinct(first, second):
        second = _sample_object(rng)
    return Scene((first, second), background, relation=_pick(_CANONICAL_RELATIONS, rng))


def possible_changes(scene: Scene) -> tuple[Change, ...]:
    """The keys of ``CHANGES`` that ``change`` can apply to this scene."""
    if len(scene.objects) == 1:
        return ("size", "texture", "colour", "shape", "position", "background")
    first, second = scene.objects
    swaps: list[Change] = []
    if first.colour != second.colour:
        swaps.append("swapped_colours")
    if first.shape != second.shape:
        swaps.append("swapped_shapes")
    return ("size", "texture", "colour", "shape", "relation", "background", *swaps)


def change(scene: Scene, key: Change, rng: np.random.Generator) -> Scene:
    """The scene with exactly one attribute changed, never equal to the original up to inversion.

    Raises ValueError for a key that is not among ``possible_changes(scene)``.
    """
    if key not in possible_changes(scene):
        raise ValueError(f"{key} cannot be changed in this scene")
    if key == "background":
        return replace(scene, background=_another(tuple(BACKGROUNDS), scene.background, rng))
    if key == "position":
        assert scene.position is not None
        return replace(scene, position=_another(tuple(POSITIONS), scene.position, rng))
    if key == "relation":
        assert scene.relation is not None
        return replace(scene, relation=_another(tuple(RELATIONS), scene.relation, rng))
    if key == "swapped_colours":
        first, second = scene.objects
        swapped = replace(first, colour=second.colour), replace(second, colour=first.colour)
        return replace(scene, objects=swapped)
    if key == "swapped_shapes":
        first, second = scene.objects
        swapped = replace(first, shape=second.shape), replace(second, shape=first.shape)
        return replace(scene, objects=swapped)
    return _change_one_object(scene, key, rng)


def _change_one_object(scene: Scene, key: Change, rng: np.random.Generator) -> Scene:
    index = int(rng.integers(len(scene.objects)))
    others = scene.objects[:index] + scene.objects[index + 1 :]
    while True:
        changed = _change_object(scene.objects[index], key, rng)
        if all(_distinct(changed, other) for other in others):
            break
    objects = list(scene.objects)
    objects[index] = changed
    return replace(scene, objects=tuple(objects))


def _change_object(thing: Object, key: Change, rng: np.random.Generator) -> Object:
    if key == "size":
        return replace(thing, size=_another(tuple(SIZES), thing.size, rng))
    if key == "texture":
        return replace(thing, texture=_another(tuple(TEXTURES), thing.texture, rng))
    if key == "colour":
        return replace(thing, colour=_another(tuple(COLOURS), thing.colour, rng))
    return replace(thing, shape=_another(tuple(SHAPES), thing.shape, rng))
