"""What a model says of the picture files of a data set, some of which may be missing or damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from triptych.contents import check
from triptych.errors import InvalidArgumentError
from triptych_export.evaluation.calls import in_parallel
from triptych_export.evaluation.errors import EvaluationError


class OfPicture(Protocol):
    """A record of a data set that is about one picture file."""

    @property
    def file(self) -> Path: ...


Record = TypeVar("Record", bound=OfPicture)


@dataclass(frozen=True, slots=True)
class Said:
    """A text, and the model that gave it."""

    text: str
    model: str


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


def ask_about_each(
    records: Sequence[Record],
    ask: Callable[[Record, bytes], Said],
    *,
    concurrency: int,
    advance: Callable[[], None],
) -> tuple[list[tuple[Record, Said]], LeftOut]:
    """What `ask` returns for each record and its picture, and the pictures that cannot be used.

    Raises `EvaluationError` when none can be used, and what `ask` raises for other reasons.
    """

    def call(record: Record) -> Said | Unusable:
        return _ask_about(record.file, lambda picture: ask(record, picture))

    answers = in_parallel(call, records, concurrency=concurrency, advance=advance)
    left_out = LeftOut.of(answer for answer in answers if isinstance(answer, Unusable))
    pairs = zip(records, answers, strict=True)
    said = [(record, answer) for record, answer in pairs if isinstance(answer, Said)]
    if not said:
        raise EvaluationError(f"no picture can be used: {left_out}")
    return said, left_out


def _ask_about(file: Path, ask: Callable[[bytes], Said]) -> Said | Unusable:
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
