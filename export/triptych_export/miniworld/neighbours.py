"""All scenes that are a few changes away from a scene.

A change gives one attribute of one object, the background, the position or the relation another
value: one word of the caption. (To swap the colours of a pair is two changes.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from triptych_export.miniworld.world import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
)

_OF_OBJECTS = {"size": SIZES, "texture": TEXTURES, "colour": COLOURS, "shape": SHAPES}
_OF_SCENES = {"background": BACKGROUNDS, "position": POSITIONS, "relation": RELATIONS}


@dataclass(frozen=True)
class Step:
    """One change: another ``value`` of an attribute; ``index`` is the object's, if it has it."""

    attribute: str
    value: str
    index: int | None = None

    @property
    def slot(self) -> tuple[str, int | None]:
        """What is changed; of two steps in one slot only one can be taken."""
        return self.attribute, self.index


def steps(scene: Scene) -> list[Step]:
    """Every single change of a scene, in a fixed order; some may not lead to a valid scene."""
    found = [
        Step(attribute, value, index)
        for index, thing in enumerate(scene.objects)
        for attribute, values in _OF_OBJECTS.items()
        for value in values
        if value != getattr(thing, attribute)
    ]
    return found + [
        Step(attribute, value)
        for attribute, values in _OF_SCENES.items()
        for value in values
        if getattr(scene, attribute) not in (None, value)
    ]


def take(scene: Scene, chosen: Iterable[Step]) -> Scene | None:
    """The scene after these steps; None if its two objects then have one colour and shape."""
    objects, others = list(scene.objects), {}
    for step in chosen:
        if step.index is None:
            others[step.attribute] = step.value
        else:
            objects[step.index] = replace(objects[step.index], **{step.attribute: step.value})
    if len({(thing.colour, thing.shape) for thing in objects}) < len(objects):
        return None
    return replace(scene, objects=tuple(objects), **others)


def combined(
    scene: Scene, given: Sequence[Step], most: int, least: int = 1
) -> Iterator[tuple[tuple[Step, ...], Scene]]:
    """From ``least`` to ``most`` of the steps taken together, with the scene that they lead to.

    The fewest come first. No scene comes twice, nor the original, up to the inversion of a pair.
    """
    seen = {scene.canonical()}
    for count in range(least, most + 1):
        for chosen in combinations(given, count):
            if len({step.slot for step in chosen}) == count:
                changed = take(scene, chosen)
                if changed is not None and changed.canonical() not in seen:
                    seen.add(changed.canonical())
                    yield chosen, changed


def neighbours(scene: Scene, changes: int = 1) -> list[Scene]:
    """Every scene within so many changes, told in the order of the original."""
    return [changed for _, changed in combined(scene, steps(scene), changes)]
