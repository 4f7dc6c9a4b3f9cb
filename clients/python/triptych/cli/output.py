"""What commands print: one JSON document, or a table for people."""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from triptych.errors import TriptychError


def print_json(document: Any) -> None:
    """Print dataclasses, arrays, errors and whatever JSON has as one JSON document."""
    text = json.dumps(document, default=_plain, ensure_ascii=False, allow_nan=False)
    typer.echo(text.encode(errors="replace").decode())  # names of files need not be text


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; numbers stand to the right, nothing is cut."""
    rows = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False)
    for position, column in enumerate(columns):
        values = [row[position] for row in rows if row[position] is not None]
        numeric = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    # Text comes from callers' data: it must not be read as markup.
    Console(markup=False, highlight=False, emoji=False).print(table)


def printable(text: str) -> str:
    """The text without the characters that would steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4f}"
        case datetime():
            return value.astimezone().isoformat(" ", "seconds")
        case dict():
            return printable(", ".join(f"{key}: {_scalar(entry)}" for key, entry in value.items()))
        case _:
            return printable(str(value))


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, TriptychError):
        names = ("reason", "field", "message", "retry_after")
        return {"code": value.code.name} | {name: getattr(value, name) for name in names}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    match value:
        case np.ndarray():
            return value.tolist()
        case datetime():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")
