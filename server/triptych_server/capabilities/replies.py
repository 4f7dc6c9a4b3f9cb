"""What is read from the replies of a model that was asked for new texts.

Replies are the model's, so nothing in them is trusted: what is not exactly in the form that was
asked for is not understood, which costs one text and nothing else.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from triptych_server.engines.generators.protocol import JsonSchema, Structure

LONGEST_TEXT = 1_000  # characters

_LONGEST_WRITTEN = 12 * LONGEST_TEXT  # in JSON, where one character may be two escapes of six
_LONGEST_FRAME = 1_000  # what JSON needs around texts, white space included
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of characters, ends of lines, paragraphs


class Reply(Protocol):
    """How texts stand in a reply: `most` of them at most. `structure` is what the reply is made to
    be, `stop` what ends it."""

    @property
    def most(self) -> int: ...

    @property
    def structure(self) -> Structure | None: ...

    @property
    def stop(self) -> Sequence[str]: ...

    def read(self, reply: str) -> Sequence[str | None]:
        """Up to `most` texts of a reply that has ended, None in place of what is not understood.
        White space within them is single spaces."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """The reply is a text of one line, or what goes on after its `beginning`."""

    beginning: str = ""
    stop: Sequence[str] = ()
    structure: None = None
    most: int = 1

    def read(self, reply: str) -> Sequence[str | None]:
        return [_understood(self.beginning + reply)]


@dataclass(frozen=True, slots=True)
class Lines:
    """Each line of the reply is a text; empty ones are nothing."""

    most: int
    stop: Sequence[str] = ()
    structure: None = None

    def read(self, reply: str) -> Sequence[str | None]:
        lines = [line for line in reply.split("\n") if line.strip()]
        return [_understood(line) for line in lines[: self.most]] or [None]


@dataclass(frozen=True, slots=True)
class Caption:
    """The reply is JSON, `{"caption": TEXT}`."""

    stop: Sequence[str] = ()
    most: int = 1

    @property
    def structure(self) -> JsonSchema:
        return _schema("caption", {"type": "string"})

    def read(self, reply: str) -> Sequence[str | None]:
        return [_understood(_value(reply, "caption", self.most))]


@dataclass(frozen=True, slots=True)
class Captions:
    """The reply is JSON, `{"captions": [TEXT, ...]}`."""

    most: int
    stop: Sequence[str] = ()

    @property
    def structure(self) -> JsonSchema:
        texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": self.most}
        return _schema("captions", texts)

    def read(self, reply: str) -> Sequence[str | None]:
        texts = _value(reply, "captions", self.most)
        if not isinstance(texts, list) or not texts:
            return [None]
        return [_understood(text) for text in texts[: self.most]]


def _schema(key: str, value: object) -> JsonSchema:
    schema = {
        "type": "object",
        "properties": {key: value},
        "required": [key],
        "additionalProperties": False,
    }
    return JsonSchema(json.dumps(schema))


def _value(reply: str, key: str, texts: int) -> object:
    """What a JSON object has under its only key; None where the reply is no such object."""
    if len(reply) > texts * _LONGEST_WRITTEN + _LONGEST_FRAME:
        return None
    try:
        content = json.loads(reply, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    match content:
        # An object is a tuple of its pairs, a key that comes twice being in it twice.
        case ((str(only), value),) if isinstance(content, tuple) and only == key:
            return value
    return None


def _understood(text: object) -> str | None:
    """A text as it is used, None for what is none."""
    if not isinstance(text, str):
        return None
    stripped = text.strip()
    if not 0 < len(stripped) <= LONGEST_TEXT:
        return None
    if not stripped.isprintable() and _has_controls(stripped):
        return None
    return " ".join(stripped.split())


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(character) in _CONTROLS for character in text)
