"""Metadata of items: JSON objects to google.protobuf.Struct and back.

A Struct keeps every number as a double. Whole numbers up to 2^53 come back as `int`, all others as
`float`; integers that a double cannot hold are refused rather than rounded.
"""

import math
import numbers
from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

# Each level of nesting takes three levels of messages, and parsers stop at 100 of those.
MAX_DEPTH = 30
_EXACT = 2**53


def to_message(metadata: Mapping[str, Any], where: str) -> struct_pb2.Struct:
    """Pack a JSON object; `TypeError` and `ValueError` name the path of the value at fault."""
    if not isinstance(metadata, Mapping):
        raise TypeError(f"{where}: metadata is a mapping, not {type(metadata).__name__}")
    message = struct_pb2.Struct()
    _fill_object(message, metadata, where, MAX_DEPTH)
    return message


def from_message(message: struct_pb2.Struct) -> dict[str, Any]:
    """Unpack to dictionaries (keys sorted: a Struct has no order), lists and scalars."""
    return {key: _value(message.fields[key]) for key in sorted(message.fields)}


def _fill_object(
    message: struct_pb2.Struct, metadata: Mapping[str, Any], where: str, depth: int
) -> None:
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise TypeError(f"{where}: keys are strings, not {type(key).__name__}")
        _fill(message.fields[key], value, f"{where}.{key}", depth - 1)


def _fill(message: struct_pb2.Value, value: Any, where: str, depth: int) -> None:
    if depth < 0:
        raise ValueError(f"{where}: metadata is nested more than {MAX_DEPTH} levels deep")
    match value:
        case None:
            message.null_value = struct_pb2.NULL_VALUE
        case bool():
            message.bool_value = value
        case str():
            message.string_value = value
        case numbers.Real():
            message.number_value = _number(value, where)
        case Mapping():
            message.struct_value.SetInParent()
            _fill_object(message.struct_value, value, where, depth)
        case list() | tuple():
            message.list_value.SetInParent()
            for position, element in enumerate(value):
                _fill(message.list_value.values.add(), element, f"{where}[{position}]", depth - 1)
        case _:
            raise TypeError(f"{where}: {type(value).__name__} has no JSON form")


def _number(value: numbers.Real, where: str) -> float:
    if isinstance(value, numbers.Integral) and abs(int(value)) > _EXACT:
        raise ValueError(
            f"{where}: {value} is beyond 2^53 and would be rounded; pass it as a string"
        )
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{where}: {number} has no JSON form")
    return number


def _value(message: struct_pb2.Value) -> Any:
    match message.WhichOneof("kind"):
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "struct_value":
            return from_message(message.struct_value)
        case "list_value":
            return [_value(element) for element in message.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(message, kind)
