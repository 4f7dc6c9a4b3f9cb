"""Objects in few words: ``the red star``, ``a large object``, ``左边的星形``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from triptych_export.miniworld.world import (
    COLOURS,
    SHAPES,
    SIZES,
    TEXTURES,
    Language,
    Object,
    Scene,
)

# Where the first and the second object of a pair are in the picture.
_PLACES = {
    "to the left of": ("on the left", "on the right"),
    "to the right of": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
}
_CHINESE_PLACES = {
    "on the left": "左边",
    "on the right": "右边",
    "at the top": "上面",
    "at the bottom": "下面",
}
_SHARES = {"size": 0.3, "texture": 0.4, "colour": 0.6, "shape": 0.75}  # how often each is named
_PLACED = 0.15  # how often the place of one of two objects is named though it need not be


@dataclass(frozen=True)
class Phrase:
    """Some attributes of an object; what is None is left unsaid, as a plain texture always is."""

    size: str | None = None
    texture: str | None = None
    colour: str | None = None
    shape: str | None = None
    place: str | None = None

    def fits(self, thing: Object) -> bool:
        """Whether all that the phrase says of an object, but its place, is true of ``thing``."""
        return all(
            value is None or value == getattr(thing, name)
            for name, value in (
                ("size", self.size),
                ("texture", self.texture),
                ("colour", self.colour),
                ("shape", self.shape),
            )
        )

    def neighbours(self) -> list[Phrase]:
        """The phrases that say something else in one attribute."""
        near = [replace(self, size=value) for value in SIZES if self.size not in (None, value)]
        near += [
            replace(self, colour=value) for value in COLOURS if self.colour not in (None, value)
        ]
        near += [replace(self, shape=value) for value in SHAPES if self.shape not in (None, value)]
        if self.texture is None:
            near.append(replace(self, texture="striped"))
        return near

    def definite(self, language: Language) -> str:
        """``the red star on the left``, ``左边的红色星形``."""
        if language == "zh":
            place = "" if self.place is None else f"{_CHINESE_PLACES[self.place]}的"
            return place + self._chinese()
        place = "" if self.place is None else f" {self.place}"
        return f"the {self._english(self.shape or 'object')}{place}"

    def indefinite(self, language: Language) -> str:
        """``a red star``, ``an orange heart``; in Chinese without an article."""
        if language == "zh":
            return self._chinese()
        english = self._english(self.shape or "object")
        return f"{'an' if english[0] in 'aeiou' else 'a'} {english}"

    def plural(self, language: Language) -> str:
        """``red stars``, ``large objects``; in Chinese the same as one."""
        if language == "zh":
            return self._chinese()
        noun = self.shape or "object"
        return self._english(noun + ("es" if noun.endswith("s") else "s"))

    def _english(self, noun: str) -> str:
        return " ".join(word for word in (self.size, self.texture, self.colour, noun) if word)

    def _chinese(self) -> str:
        size = "" if self.size is None else f"{SIZES[self.size]}的"
        texture = "" if self.texture is None else TEXTURES[self.texture]
        colour = "" if self.colour is None else COLOURS[self.colour]
        return size + texture + colour + ("物体" if self.shape is None else SHAPES[self.shape])


def pronoun(language: Language, other: bool) -> str:
    """What an object is called once it, or the other one of a pair, has been spoken of."""
    if language == "zh":
        return "另一个物体" if other else "它"
    return "the other object" if other else "it"


def place(scene: Scene, index: int, language: Language) -> str:
    """Where in the picture an object of a pair is: ``on the left``, ``左边``."""
    assert scene.relation is not None
    english = _PLACES[scene.relation][index]
    return english if language == "en" else _CHINESE_PLACES[english]


def some_of(thing: Object, most: int, rng: np.random.Generator) -> Phrase:
    """From one to ``most`` attributes of an object."""
    sayable = [name for name in _SHARES if name != "texture" or thing.texture != "plain"]
    count = 1 + int(rng.integers(most))
    return _naming(thing, {sayable[index] for index in rng.permutation(len(sayable))[:count]})


def identify(scene: Scene, index: int, hidden: str, rng: np.random.Generator) -> Phrase:
    """A phrase that fits this object alone and does not say its attribute ``hidden``.

    Where that is the relation, it does not tell the object's place.
    """
    thing = scene.objects[index]
    others = [other for other in scene.objects if other is not thing]
    named = {name for name, share in _SHARES.items() if rng.uniform() < share} - {hidden}
    phrase = _naming(thing, named)
    if any(map(phrase.fits, others)):
        phrase = _naming(thing, set(_SHARES) - {hidden})
    placed = hidden != "relation" and rng.uniform() < _PLACED
    if scene.relation is not None and (placed or any(map(phrase.fits, others))):
        phrase = replace(phrase, place=_PLACES[scene.relation][index])
    return phrase


def _naming(thing: Object, names: set[str]) -> Phrase:
    texture = thing.texture if "texture" in names and thing.texture != "plain" else None
    return Phrase(
        size=thing.size if "size" in names else None,
        texture=texture,
        colour=thing.colour if "colour" in names else None,
        shape=thing.shape if "shape" in names else None,
    )
