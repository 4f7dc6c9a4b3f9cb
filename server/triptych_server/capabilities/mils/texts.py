"""When two texts are one."""

import unicodedata
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def normalised(text: str) -> str:
    """What equal texts have in common: NFC, any white space as one space and none at the ends, no
    case."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def distinct(things: Iterable[T], text_of: Callable[[T], str]) -> dict[str, T]:
    """The first thing of each text, by its normalised text, in their order."""
    first: dict[str, T] = {}
    for thing in things:
        first.setdefault(normalised(text_of(thing)), thing)
    return first
