"""The two grammars of the miniature world: a scene to its caption, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from triptych_export.miniworld.world import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Language,
    Object,
    Scene,
)


def caption(scene: Scene, language: Language = "en") -> str:
    """The scene in words, a pair in the order in which the scene tells it.

    A sampled scene is canonical; ``caption(scene.inverted())`` tells a pair the other way round.
    """
    return _english(scene) if language == "en" else _chinese(scene)


def describe(thing: Object, language: Language = "en") -> str:
    """One object in words: ``a small striped red star``, ``一个小的条纹红色星形``."""
    if language == "en":
        texture = "" if thing.texture == "plain" else f"{thing.texture} "
        return f"a {thing.size} {texture}{thing.colour} {thing.shape}"
    texture = TEXTURES[thing.texture]
    return f"一个{SIZES[thing.size]}的{texture}{COLOURS[thing.colour]}{SHAPES[thing.shape]}"


def parse(text: str) -> Scene | None:
    """The scene that a caption in either language tells, in its order; None if it is not a caption.

    Case, spacing, a full-width comma and a full stop at the end do not matter.
    """
    for pattern, read in ((_ENGLISH, _read_english), (_CHINESE, _read_chinese)):
        match = pattern.fullmatch(_tidy(text, spaced=pattern is _ENGLISH))
        if match is not None:
            return read(match)
    return None


def _english(scene: Scene) -> str:
    objects = [describe(thing, "en") for thing in scene.objects]
    if scene.position is not None:
        told = f"{objects[0]} in the {scene.position}"
    else:
        told = f"{objects[0]} {scene.relation} {objects[1]}"
    return f"{told} on a {scene.background} background"


def _chinese(scene: Scene) -> str:
    objects = [describe(thing, "zh") for thing in scene.objects]
    if scene.position is not None:
        told = f"{objects[0]}在{POSITIONS[scene.position]}"
    else:
        assert scene.relation is not None
        told = f"{objects[0]}在{objects[1]}的{RELATIONS[scene.relation]}"
    return f"{told},{BACKGROUNDS[scene.background]}背景"


def _tidy(text: str, spaced: bool) -> str:
    words = text.lower().replace("\uff0c", ",").rstrip(" \t\n.\u3002").split()
    return (" " if spaced else "").join(words)


def _choice(name: str, words: Iterable[str]) -> str:
    return f"(?P<{name}>{'|'.join(words)})"


def _english_object(index: int) -> str:
    return (
        f"a {_choice(f'size{index}', SIZES)} (?P<texture{index}>striped )?"
        f"{_choice(f'colour{index}', COLOURS)} {_choice(f'shape{index}', SHAPES)}"
    )


def _chinese_object(index: int) -> str:
    return (
        f"一个{_choice(f'size{index}', SIZES.values())}的(?P<texture{index}>条纹)?"
        f"{_choice(f'colour{index}', COLOURS.values())}{_choice(f'shape{index}', SHAPES.values())}"
    )


_ENGLISH = re.compile(
    f"{_english_object(1)} (?:in the {_choice('position', POSITIONS)}"
    f"|{_choice('relation', RELATIONS)} {_english_object(2)})"
    f" on a {_choice('background', BACKGROUNDS)} background"
)
_CHINESE = re.compile(
    f"{_chinese_object(1)}在(?:{_choice('position', POSITIONS.values())}"
    f"|{_chinese_object(2)}的{_choice('relation', RELATIONS.values())})"
    f",{_choice('background', BACKGROUNDS.values())}背景"
)


def _invert(table: Mapping[str, str]) -> dict[str, str]:
    return {chinese: english for english, chinese in table.items()}


_TO_ENGLISH = {
    "size": _invert(SIZES),
    "colour": _invert(COLOURS),
    "shape": _invert(SHAPES),
    "position": _invert(POSITIONS),
    "relation": _invert(RELATIONS),
    "background": _invert(BACKGROUNDS),
}


def _read_english(match: re.Match[str]) -> Scene:
    return _scene(match.groupdict())


def _read_chinese(match: re.Match[str]) -> Scene:
    words = {
        name: value and _TO_ENGLISH.get(name.rstrip("12"), {}).get(value, value)
        for name, value in match.groupdict().items()
    }
    return _scene(words)


def _scene(words: Mapping[str, str | None]) -> Scene:
    indices = (1,) if words["relation"] is None else (1, 2)
    objects = tuple(
        Object(
            size=str(words[f"size{index}"]),
            texture="striped" if words[f"texture{index}"] else "plain",
            colour=str(words[f"colour{index}"]),
            shape=str(words[f"shape{index}"]),
        )
        for index in indices
    )
    return Scene(objects, str(words["background"]), words["position"], words["relation"])
