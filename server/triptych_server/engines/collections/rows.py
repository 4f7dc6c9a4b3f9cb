"""Items as the database writes them, checked before a transaction begins."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych_server.engines.collections.filter_sql import json_text
from triptych_server.engines.collections.protocol import Item, StoredContent
from triptych_server.errors import InvalidArgument

MAX_METADATA_DEPTH = 200


@dataclass(frozen=True, slots=True)
class Row:
    """An item to write. `vector` is `[D]` float32, contiguous; `metadata` is JSON text."""

    id: str
    vector: npt.NDArray[np.float32]
    metadata: str
    uri: str
    content: StoredContent | None


def rows(items: Sequence[Item], dimension: int) -> list[Row]:
    """Check and encode items; raises `InvalidArgument` with the field of the item at fault."""
    return [_row(item, dimension) for item in items]


def _row(item: Item, dimension: int) -> Row:
    vector = np.ascontiguousarray(item.vector, dtype=np.float32)
    if vector.shape != (dimension,):
        raise InvalidArgument(
            "vector",
            f"the collection has vectors of {dimension} numbers, not of shape {vector.shape}",
            reason="DIMENSION_MISMATCH",
        )
    metadata = json_text(_canonical(item.metadata, "metadata", 0))
    uri = checked_text(item.uri, "uri")
    return Row(checked_text(item.id, "id"), vector, metadata, uri, item.content)


def _canonical(value: Any, field: str, depth: int) -> Any:
    """What SQLite's JSON can hold exactly: strings without U+0000, finite numbers, integers of 64
    bits (larger ones become floats, as in filters), lists and objects."""
    if depth > MAX_METADATA_DEPTH:
        raise InvalidArgument("metadata", f"is nested deeper than {MAX_METADATA_DEPTH} levels")
    match value:
        case None | bool():
            return value
        case str():
            return checked_text(value, field)
        case int():
            return value if -(2**63) <= value < 2**63 else _number(value, field)
        case float():
            return _number(value, field)
        case Mapping():
            return {
                _key(key, field): _canonical(each, f"{field}.{key}", depth + 1)
                for key, each in value.items()
            }
        case list() | tuple():
            return [
                _canonical(each, f"{field}[{position}]", depth + 1)
                for position, each in enumerate(value)
            ]
    raise InvalidArgument(field, f"is no JSON value but {type(value).__name__}")


def _key(key: object, field: str) -> str:
    if not isinstance(key, str):
        raise InvalidArgument(field, f"has a key that is no string: {key!r}")
    return checked_text(key, field)


def checked_text(text: str, field: str) -> str:
    """The text, if SQLite can hold it; raises `InvalidArgument`."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidArgument(field, "has a string with U+0000 or half a surrogate pair")
    return text


def _number(number: float, field: str) -> float:
    try:
        real = float(number)
    except OverflowError:
        real = math.inf
    if not math.isfinite(real):
        raise InvalidArgument(field, "has a number that is not finite")
    return real
