"""Errors to statuses, in one place.

A `TriptychError` becomes its canonical code with google.rpc details: ErrorInfo always, BadRequest
when a field is at fault, RetryInfo and the `grpc-retry-pushback-ms` trailer when trying again makes
sense. Anything else is a defect: it is logged whole, and the caller learns only its log id.
"""

import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from triptych_server.errors import Internal, InvalidArgument, TriptychError, Violation

DOMAIN = "triptych"
# gRPC refuses trailers of more than 8 KiB, and the caller would learn of that instead.
MAX_TEXT = 200  # characters
MAX_BAD_REQUEST = 2_500  # bytes

_log = logging.getLogger(__name__)


@asynccontextmanager
async def errors(request: bytes | None, context: Any, method: str) -> AsyncIterator[None]:
    """Abort the RPC with the status of what is raised inside."""
    try:
        yield
    except TriptychError as error:
        await _abort(context, error)
    except DecodeError:
        malformed = InvalidArgument("", "the request cannot be parsed", reason="MALFORMED_REQUEST")
        await _abort(context, malformed)
    except aio.AbortError:
        raise
    except Exception:  # the boundary to the caller
        log_id = uuid.uuid4().hex[:12]
        _log.exception("%s failed (log id %s)", method, log_id)
        await _abort(context, Internal(f"the server failed; its log has the id {log_id}"))


def details(error: TriptychError) -> list[Message]:
    """The google.rpc messages that describe an error."""
    messages: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    violations: list[Violation] = []
    if isinstance(error, InvalidArgument):
        violations = [each for each in error.violations if each.field]
    elif error.field:
        violations = [Violation(error.field, error.message)]
    if violations:
        messages.append(_bad_request(violations))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        messages.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return messages


async def _abort(context: Any, error: TriptychError) -> None:
    status = status_pb2.Status(code=error.code, message=_short(_sentence(error)))
    for message in details(error):
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    converted = rpc_status.to_status(status)
    metadata = list(converted.trailing_metadata)
    if error.retry_after is not None:
        metadata.append(("grpc-retry-pushback-ms", str(int(error.retry_after * 1000))))
    await context.abort(converted.code, converted.details, tuple(metadata))


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """As many violations as there is room for."""
    message = error_details_pb2.BadRequest()
    for violation in violations:
        if message.ByteSize() > MAX_BAD_REQUEST:
            break
        message.field_violations.add(
            field=_short(violation.field), description=_short(violation.description)
        )
    return message


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def _sentence(error: TriptychError) -> str:
    """The field is part of the message too: not every caller unpacks details."""
    return f"{error.field}: {error.message}" if error.field else error.message
