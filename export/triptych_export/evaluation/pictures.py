"""The picture files of a data set, some of which may be missing or damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from triptych.contents import check
from triptych.errors import InvalidArgumentError

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Unusable:
    """A picture file that is not there (`fault` is empty), or what is wrong with it."""

    file: Path
    fault: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Names of picture files that are missing, and of unreadable ones with what is wrong."""

    missing: tuple[str, ...]
    unreadable: dict[str, str]

    @classmethod
    def of(cls, pictures: Iterable[Unusable]) -> LeftOut:
        """Of several questions about one picture it is counted once."""
        faults = {str(picture.file): picture.fault for picture in pictures}
        return cls(
            tuple(name for name, fault in faults.items() if not fault),
            {name: fault for name, fault in faults.items() if fault},
        )

    def __str__(self) -> str:
        """One line for people: how many, and the first of each kind."""
        told = []
        if self.missing:
            told.append(f"{len(self.missing)} missing, such as {self.missing[0]}")
        if self.unreadable:
            name, fault = next(iter(self.unreadable.items()))
            told.append(f"{len(self.unreadable)} unreadable, such as {name} ({fault})")
        return "; ".join(told)


def ask_about(file: Path, ask: Callable[[bytes], Answer]) -> Answer | Unusable:
    """What `ask` returns for the picture in a file, or what is wrong with the file."""
    try:
        check(file, file.name)
        picture = file.read_bytes()
    except FileNotFoundError:
        return Unusable(file, "")
    except (OSError, ValueError) as error:
        return Unusable(file, str(error))
    try:
        return ask(picture)
    except InvalidArgumentError as error:
        if error.field.startswith("image"):
            return Unusable(file, error.message)
        raise
