"""Triton's errors, told as Triptych's."""

import grpc
from grpc import StatusCode

from triptych_server.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TriptychError,
    Unavailable,
)

QUEUE_FULL = "Exceeds maximum queue size"  # Triton's words; the status is a plain UNAVAILABLE
NO_ID = "[request id: <id_unknown>] "


class Unserved(Unavailable):
    """Triton is not there, or no longer has what it was asked for."""


def translated(error: grpc.RpcError, tritons: str) -> TriptychError:
    """Why an inference on `tritons` failed."""
    message = _message(error)
    match error.code():
        case StatusCode.INVALID_ARGUMENT:
            return InvalidArgument("inputs", message)
        case StatusCode.NOT_FOUND:
            return Unserved(message, reason="ENCODER_NOT_LOADED")
        case StatusCode.UNAVAILABLE if QUEUE_FULL in message:
            return ResourceExhausted(f"Triton's queue is full: {message}")
        case StatusCode.UNAVAILABLE | StatusCode.CANCELLED:
            return unanswered(error, tritons)
        case StatusCode.DEADLINE_EXCEEDED:  # to send it once more would take as long
            return Unavailable(unanswered(error, tritons).message)
        case _:
            return Internal(f"the encoder failed: {message}", reason="ENCODER_FAILED")


def unanswered(error: grpc.RpcError, tritons: str) -> Unserved:
    """Why `tritons` do not answer, or not as a Triton would."""
    match error.code():
        case StatusCode.UNAVAILABLE | StatusCode.CANCELLED:
            state = "does not answer"
        case StatusCode.DEADLINE_EXCEEDED:
            state = "does not answer in time"
        case other:
            state = f"answers {other.name}"
    return Unserved(f"Triton at {tritons} {state}: {_message(error)}")


def not_found(encoder: str) -> NotFound:
    """The error about a model that is missing, or no encoder."""
    return NotFound(f"the repository has no encoder {encoder!r}", reason="ENCODER_NOT_FOUND")


def first_line(text: str) -> str:
    """Triton adds the stack of its Python backends below it."""
    return text.partition("\n")[0]


def _message(error: grpc.RpcError) -> str:
    return first_line((error.details() or "").removeprefix(NO_ID))
