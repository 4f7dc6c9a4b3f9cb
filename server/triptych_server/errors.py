"""The errors that a caller can see.

Each is raised where it is understood (media, capabilities, engines, field rules) and mapped to a
gRPC status in one place, `interceptors.errors`; inside an RPC with repeated inputs the services
turn the error of a single input into that item's `ItemError` instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self


class Code(IntEnum):
    """The values of google.rpc.Code that Triptych answers with."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14


class TriptychError(Exception):
    """Base of all errors with a canonical code.

    `reason` is the stable UPPER_SNAKE_CASE cause, `field` the path of the offending request field
    (empty when no field is at fault) and `retry_after` the seconds after which the same request may
    succeed (None when it will not).
    """

    code: ClassVar[Code]

    def __init__(
        self, message: str, *, reason: str, field: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field
        self.retry_after = retry_after

    def within(self, prefix: str) -> Self:
        """Prepend to the field path: an error about `image` becomes one about `a.image`."""
        return self.at(f"{prefix}.{self.field}" if self.field else prefix)

    def at(self, field: str) -> Self:
        """Set the field path."""
        self.field = field
        return self


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field, by its path."""

    field: str
    description: str


class InvalidArgument(TriptychError):
    """One or more fields of the request are malformed or out of range."""

    code = Code.INVALID_ARGUMENT

    def __init__(self, field: str, message: str, *, reason: str = "INVALID_FIELD") -> None:
        super().__init__(message, reason=reason, field=field)
        self.further: Sequence[Violation] = ()

    @classmethod
    def of(cls, violations: Sequence[Violation]) -> Self:
        """One error of at least one violation; `field` and `message` are the first one's."""
        error = cls(violations[0].field, violations[0].description)
        error.further = violations[1:]
        return error

    @property
    def violations(self) -> list[Violation]:
        """All that is wrong, the first one first."""
        return [Violation(self.field, self.message), *self.further]


class NotFound(TriptychError):
    """The named model, collection or item does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(TriptychError):
    """The name is taken."""

    code = Code.ALREADY_EXISTS


class FailedPrecondition(TriptychError):
    """The request is sound but the state of the server does not allow it."""

    code = Code.FAILED_PRECONDITION


class ResourceExhausted(TriptychError):
    """A bounded queue is full."""

    code = Code.RESOURCE_EXHAUSTED

    def __init__(
        self, message: str, *, reason: str = "QUEUE_FULL", retry_after: float = 0.25
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)


class Unavailable(TriptychError):
    """An engine does not answer."""

    code = Code.UNAVAILABLE

    def __init__(
        self, message: str, *, reason: str = "ENGINE_UNAVAILABLE", retry_after: float = 1.0
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)


class DeadlineExceeded(TriptychError):
    """The caller's deadline passed before an engine answered."""

    code = Code.DEADLINE_EXCEEDED

    def __init__(self, message: str = "the deadline passed before the engine answered") -> None:
        super().__init__(message, reason="DEADLINE_EXCEEDED")


class Internal(TriptychError):
    """A defect of the server; the log has the details."""

    code = Code.INTERNAL

    def __init__(self, message: str, *, reason: str = "INTERNAL") -> None:
        super().__init__(message, reason=reason)
