"""vLLM's errors, told as Triptych's."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from triptych_server.errors import (
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

# What vLLM says of a prompt that is too long, with or without naming a parameter; the last of one
# that fills the context to the last token, for which it lowers `max_tokens` itself.
_TOO_LONG = (
    "maximum context length",
    "maximum model length",
    "max_tokens must be at least 1, got 0",
)
_LONGEST_MESSAGE = 300  # characters; some repeat the request


class EndpointError(Exception):
    """A server did not answer, or not to the end; another one may.

    It gets no requests for `pause_s` seconds, unless all others fail as well; none at all if it is
    `barred`, as it would answer none of them.
    """

    def __init__(self, message: str, *, pause_s: float = 1.0, barred: bool = False) -> None:
        super().__init__(message)
        self.pause_s = pause_s
        self.barred = barred


class RejectedError(Exception):
    """vLLM refuses a request, which would fare no better elsewhere.

    `message` is vLLM's own first line, `parameter` the one that it names, if any.
    """

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter

    def as_triptych(self, field: str) -> InvalidArgument:
        """The error about `field`, the part of the request that is to blame."""
        if any(words in self.message for words in _TOO_LONG):
            return InvalidArgument(field, self.message, reason="EXCEEDS_CONTEXT")
        return InvalidArgument(field, self.message)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Read an answer to `name`; what cannot be read is `Unavailable`, as of no vLLM."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE]
        raise unavailable(name, [f"it does not answer as vLLM does ({told})"]) from None


def error_of(status: int, body: bytes | str) -> Exception:
    """What an answer of `status` other than OK says, or an error within a stream of chunks."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    message, parameter = _told(content)
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return EndpointError("it refuses the API key")
        case HTTPStatus.NOT_FOUND:
            return EndpointError(message or "it answers 404: is it a vLLM?")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return EndpointError("it has too many requests")
        case HTTPStatus.NOT_IMPLEMENTED:
            return RejectedError(message or "vLLM lacks it", parameter)
        case _ if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return RejectedError(message or f"vLLM answers {status}", parameter)
        case _:  # what it says of a failure is in its own log, and may repeat the request
            return EndpointError(f"it answers {status}")


def stopped() -> Unavailable:
    """The error of requests after the generator's end."""
    return Unavailable("the generator has stopped", reason="GENERATOR_STOPPED")


def unavailable(name: str, causes: Sequence[str]) -> Unavailable:
    """The error when no server of `name` answers."""
    return Unavailable(f"{name}: {'; '.join(causes)}", reason="GENERATOR_UNAVAILABLE")


def queue_full(name: str, outstanding: int) -> ResourceExhausted:
    """The error of a request beyond those that may be outstanding."""
    return ResourceExhausted(f"{outstanding} requests wait for {name}")


def _told(content: Any) -> tuple[str, str]:
    """Message and parameter of an OpenAI-style error, empty when there is none."""
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return "", ""
    message = str(error.get("message") or "").partition("\n")[0][:_LONGEST_MESSAGE]
    return message, str(error.get("param") or "")
