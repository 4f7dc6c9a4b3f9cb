"""How far an evaluation is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Progress: TypeAlias = Callable[[str, int], Callable[[], None]]
"""Begins a stage of so many steps; what it returns is called after each step."""


def silent(stage: str, steps: int) -> Callable[[], None]:
    """Shows nothing."""
    return lambda: None


@contextmanager
def bars() -> Iterator[Progress]:
    """A bar for each stage on the terminal's error output, gone at the end."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown:

        def begin(stage: str, steps: int) -> Callable[[], None]:
            return partial(shown.advance, shown.add_task(stage, total=steps))

        yield begin
