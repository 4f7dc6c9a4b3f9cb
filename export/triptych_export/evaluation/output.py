"""What the commands print."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.pictures import LeftOut


def save(document: Any, file: Path | None) -> None:
    """Write one JSON document, if there is a file to write it to."""
    if file is not None:
        file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_figures(columns: Sequence[str], rows: Iterable[tuple[str, *tuple[float, ...]]]) -> None:
    """Print named figures as a table."""
    table = Table(*columns)
    for name, *figures in rows:
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console(markup=False).print(table)


def print_left_out(left_out: LeftOut) -> None:
    """Say on the error output which pictures were left out, if any."""
    if left_out.missing or left_out.unreadable:
        Console(stderr=True, markup=False).print(f"left out: {left_out}", soft_wrap=True)


@contextmanager
def reported() -> Iterator[None]:
    """Data that cannot be evaluated end the command with one line and status 1."""
    try:
        yield
    except EvaluationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
