"""Data sets as JSON files."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from triptych_export.evaluation.errors import EvaluationError

Record = TypeVar("Record")
Value = TypeVar("Value")


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; raises `EvaluationError`, or `OSError` if it cannot be read."""
    try:
        document = json.loads(file.read_bytes())
    except ValueError as error:  # not JSON, or not UTF-8
        raise EvaluationError(f"{file}: not a JSON file: {error}") from None
    if not isinstance(document, dict):
        raise EvaluationError(f"{file}: a JSON object is expected")
    return document


def field(record: Any, key: str, kind: type[Value]) -> Value:
    """The value of `key` in an element of a list; raises `KeyError` or `TypeError`."""
    if not isinstance(record, dict):
        raise TypeError(f"a JSON object is expected, not {record!r}")
    value = record[key]
    if not isinstance(value, kind):
        raise TypeError(f"{key!r} must be of type {kind.__name__}, not {value!r}")
    return value


def read_records(
    file: Path, document: dict[str, Any], key: str, read: Callable[[Any], Record]
) -> Iterable[Record]:
    """What `read` makes of each element of the list `document[key]`.

    A missing or malformed entry raises `EvaluationError` with its place in the file.
    """
    records = document.get(key)
    if not isinstance(records, list):
        raise EvaluationError(f"{file}: there is no list {key!r}")
    for index, record in enumerate(records):
        try:
            yield read(record)
        except (KeyError, TypeError, ValueError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise EvaluationError(f"{file}: {key}[{index}]: {what}") from None
