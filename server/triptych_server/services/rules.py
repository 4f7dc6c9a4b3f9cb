"""Field rules, stated as data.

A rule is a function from a value and its path to the violations found there. Each service module
composes the rules of its requests from these parts, as the comments of the protos state them, and
checks a request with `check` before any work is queued.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from triptych_server.errors import InvalidArgument, Violation

Rule = Callable[[Any, str], Iterator[Violation]]

# Of metadata. Protobuf parses 100 messages inside one another, a level takes up to three, and in
# some responses metadata lies deeper than in the request.
MAX_LEVELS = 30


def check(rule: Rule, message: Any) -> None:
    """Raise `InvalidArgument` with every violation of `rule` in `message`."""
    violations = list(rule(message, ""))
    if violations:
        raise InvalidArgument.of(violations)


def fields(**rules: Rule) -> Rule:
    """A message whose fields obey these rules. An absent sub-message is checked as an empty one."""

    def rule(message: Any, path: str) -> Iterator[Violation]:
        for name, of_field in rules.items():
            yield from of_field(getattr(message, name), f"{path}.{name}" if path else name)

    return rule


def optional(**rules: Rule) -> Rule:
    """A message whose optional fields obey these rules where they are set."""

    def rule(message: Any, path: str) -> Iterator[Violation]:
        for name, of_field in rules.items():
            if message.HasField(name):
                yield from of_field(getattr(message, name), f"{path}.{name}" if path else name)

    return rule


def one_of(oneof: str, **rules: Rule) -> Rule:
    """A message in which exactly one member of `oneof` is set, and obeys its rule."""

    def rule(message: Any, path: str) -> Iterator[Violation]:
        name = message.WhichOneof(oneof)
        if name is None:
            yield Violation(path or oneof, f"one of {', '.join(rules)} must be set")
        else:
            yield from rules[name](getattr(message, name), f"{path}.{name}" if path else name)

    return rule


def present(name: str) -> Rule:
    """A message in which the sub-message or optional field `name` is set."""

    def rule(message: Any, path: str) -> Iterator[Violation]:
        if not message.HasField(name):
            yield Violation(f"{path}.{name}" if path else name, "must be set")

    return rule


def all_of(*rules: Rule) -> Rule:
    """A value that obeys every rule."""

    def rule(value: Any, path: str) -> Iterator[Violation]:
        for each in rules:
            yield from each(value, path)

    return rule


def first_of(*rules: Rule) -> Rule:
    """A value that obeys every rule; only the first that is violated is told."""

    def rule(value: Any, path: str) -> Iterator[Violation]:
        for each in rules:
            violations = list(each(value, path))
            if violations:
                yield from violations
                return

    return rule


def distinct(values: Any, path: str) -> Iterator[Violation]:
    """Strings that are all different, also without white space at their ends; the first to repeat
    one is told."""
    seen = set()
    for position, value in enumerate(values):
        stripped = value.strip()
        if stripped in seen:
            yield Violation(f"{path}[{position}]", "must differ from those before it")
            return
        seen.add(stripped)


def each(of_element: Rule) -> Rule:
    """A repeated field whose elements obey a rule."""

    def rule(values: Any, path: str) -> Iterator[Violation]:
        for position, value in enumerate(values):
            yield from of_element(value, f"{path}[{position}]")

    return rule


def count(least: int, most: int) -> Rule:
    """A repeated field with this many elements."""

    def rule(values: Any, path: str) -> Iterator[Violation]:
        if not least <= len(values) <= most:
            yield Violation(path, f"must have {least} to {most} elements, has {len(values)}")

    return rule


def between(least: float, most: float) -> Rule:
    """A number within bounds, both included."""

    def rule(value: float, path: str) -> Iterator[Violation]:
        if not least <= value <= most:
            yield Violation(path, f"must be {least:,} to {most:,}, is {value:,}")

    return rule


def at_least(least: int) -> Rule:
    """A number of this size or larger."""

    def rule(value: int, path: str) -> Iterator[Violation]:
        if value < least:
            yield Violation(path, f"must be at least {least:,}, is {value:,}")

    return rule


def above(least: float, most: float) -> Rule:
    """A number within bounds, the upper one included."""

    def rule(value: float, path: str) -> Iterator[Violation]:
        if not least < value <= most:
            yield Violation(path, f"must be above {least:,} and at most {most:,}, is {value:,}")

    return rule


def characters(least: int, most: int) -> Rule:
    """A string of this many characters."""

    def rule(value: str, path: str) -> Iterator[Violation]:
        if not least <= len(value) <= most:
            yield Violation(path, f"must have {least:,} to {most:,} characters, has {len(value):,}")

    return rule


def not_blank(value: str, path: str) -> Iterator[Violation]:
    """A string with something besides white space."""
    if not value.strip():
        yield Violation(path, "must not be empty")


def printable(value: str, path: str) -> Iterator[Violation]:
    """A string without control characters."""
    if re.search(r"[\x00-\x1f\x7f-\x9f]", value):
        yield Violation(path, "must not hold control characters")


def matching(pattern: str, meaning: str) -> Rule:
    """A string that a regular expression matches as a whole."""
    compiled = re.compile(pattern)

    def rule(value: str, path: str) -> Iterator[Violation]:
        if not compiled.fullmatch(value):
            yield Violation(path, f"must be {meaning}")

    return rule


def finite(value: float, path: str) -> Iterator[Violation]:
    """A number that is neither infinite nor NaN."""
    if not math.isfinite(value):
        yield Violation(path, "must be a finite number")


def encoded_bytes(most: int) -> Rule:
    """A byte string that is not empty and has at most this many bytes."""

    def rule(value: bytes, path: str) -> Iterator[Violation]:
        if not value:
            yield Violation(path, "must not be empty")
        elif len(value) > most:
            yield Violation(path, f"must have at most {most:,} bytes, has {len(value):,}")

    return rule


def json_object(value: Any, path: str, levels: int = MAX_LEVELS) -> Iterator[Violation]:
    """A google.protobuf.Struct that can be stored: its values are set, its numbers finite, its
    strings without U+0000, and no more than `levels` of it nested."""
    for key, member in value.fields.items():
        yield from _no_nul(key, path)
        yield from _json_value(member, f"{path}.{key}", levels - 1)


def _json_value(value: Any, path: str, levels: int) -> Iterator[Violation]:
    if not levels and value.WhichOneof("kind") in ("struct_value", "list_value"):
        yield Violation(path, f"must not be nested deeper than {MAX_LEVELS} levels")
        return
    match value.WhichOneof("kind"):
        case None:
            yield Violation(path, "must have a value")
        case "number_value":
            yield from finite(value.number_value, path)
        case "string_value":
            yield from _no_nul(value.string_value, path)
        case "struct_value":
            yield from json_object(value.struct_value, path, levels)
        case "list_value":
            for position, element in enumerate(value.list_value.values):
                yield from _json_value(element, f"{path}[{position}]", levels - 1)


def _no_nul(value: str, path: str) -> Iterator[Violation]:
    if "\0" in value:
        yield Violation(path, "must not hold U+0000")


def vector_data(value: Any, path: str) -> Iterator[Violation]:
    """A triptych.v1.Vector whose bytes are as many finite numbers as it says."""
    if len(value.data) != 4 * value.dimension:
        yield Violation(
            f"{path}.data",
            f"must have 4 bytes for each of {value.dimension} numbers, has {len(value.data)}",
        )
    elif not np.isfinite(np.frombuffer(value.data, "<f4")).all():
        yield Violation(f"{path}.data", "must hold finite numbers only")
