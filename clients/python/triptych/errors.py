"""The errors of calls, and of single inputs within calls.

`TriptychError` is raised when a call fails as a whole, and stands in the `error` attribute of a
result when one input of several failed. Inputs that cannot be put into a request raise `TypeError`
or `ValueError` before anything is sent.
"""

from dataclasses import dataclass
from typing import Self, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from triptych.v1 import media_pb2


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request, as a path such as `contents[3].image.encoded`, and what is wrong."""

    field: str
    description: str


class TriptychError(Exception):
    """A canonical gRPC code with its details.

    `reason` is the stable UPPER_SNAKE_CASE cause to branch on (empty when the failure did not come
    from a gateway, such as a refused connection), `fields` the request's fields at fault, and
    `retry_after` the seconds after which the same request may succeed (None when it will not).
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        fields: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, reason, fields, retry_after)
        self.code = code
        self.message = message
        self.reason = reason
        self.fields = fields
        self.retry_after = retry_after

    @property
    def field(self) -> str:
        """Path of the first field at fault; empty when none is."""
        return self.fields[0].field if self.fields else ""

    def within(self, prefix: str) -> Self:
        """The same error about a field of `prefix`: `image` becomes `contents[3].image`."""
        violations = self.fields or (FieldViolation("", self.message),)
        moved = tuple(
            FieldViolation(f"{prefix}.{v.field}" if v.field else prefix, v.description)
            for v in violations
        )
        return type(self)(self.code, self.message, self.reason, moved, self.retry_after)

    def __str__(self) -> str:
        # The gateway's own sentence about a whole call begins with the field already.
        field = "" if self.message.startswith(self.field) else self.field
        return ": ".join(part for part in (self.code.name, field, self.message) if part)


class InvalidArgumentError(TriptychError):
    """A field of the request is malformed or out of range."""


class NotFoundError(TriptychError):
    """The named model, collection or item does not exist."""


class AlreadyExistsError(TriptychError):
    """The name is taken."""


class FailedPreconditionError(TriptychError):
    """The request is sound but the state of the gateway does not allow it."""


class ResourceExhaustedError(TriptychError):
    """A queue of the gateway is full, or a message is too large."""


class UnavailableError(TriptychError):
    """The gateway, or the engine behind it, does not answer."""


class DeadlineExceededError(TriptychError):
    """The timeout passed before the answer came."""


_CLASSES: dict[grpc.StatusCode, type[TriptychError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.RpcError) -> TriptychError:
    """The error of a call that failed, of the blocking or of the asyncio API."""
    call = cast(grpc.Call, error)  # both kinds of error have code(), details(), trailing_metadata()
    code = call.code()
    reason, retry_after = "", None
    violations: tuple[FieldViolation, ...] = ()
    status = rpc_status.from_call(call)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad_request):
            violations = tuple(
                FieldViolation(v.field, v.description) for v in bad_request.field_violations
            )
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    kind = _CLASSES.get(code, TriptychError)
    return kind(code, call.details() or "", reason, violations, retry_after)


def from_item_error(error: media_pb2.ItemError) -> TriptychError:
    """The error of one input of several."""
    code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
    violations = (FieldViolation(error.field, error.message),) if error.field else ()
    retry_after = (
        error.retry_after.ToTimedelta().total_seconds() if error.HasField("retry_after") else None
    )
    kind = _CLASSES.get(code, TriptychError)
    return kind(code, error.message, error.reason, violations, retry_after)
