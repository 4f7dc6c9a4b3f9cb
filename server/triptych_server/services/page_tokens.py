"""Page tokens: a cursor bound to the request that it continues."""

import base64
import hashlib
import json
from typing import Any, TypeVar

from triptych_server.errors import InvalidArgument

T = TypeVar("T", int, str)

# Fields that may change from page to page.
_FREE = ("page_token", "page_size", "limit")


def encode(request: Any, cursor: int | str) -> str:
    """A token with which the same request continues at `cursor`."""
    token = json.dumps([cursor, _digest(request, cursor)], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(token).decode()


def decode(request: Any, kind: type[T]) -> T | None:
    """The cursor in the request's token, None without one; raises `InvalidArgument` for a token
    that is not of such a request."""
    if not request.page_token:
        return None
    try:
        cursor, digest = json.loads(base64.urlsafe_b64decode(request.page_token.encode()))
    except (ValueError, TypeError, RecursionError):
        raise InvalidArgument("page_token", "is not a token of this server") from None
    if type(cursor) is not kind or digest != _digest(request, cursor):
        raise InvalidArgument("page_token", "is of another request")
    return cursor


def _digest(request: Any, cursor: int | str) -> str:
    same = type(request)()
    same.CopyFrom(request)
    for name in _FREE:
        if name in same.DESCRIPTOR.fields_by_name:
            same.ClearField(name)
    digest = hashlib.sha256(same.SerializeToString(deterministic=True))
    digest.update(repr(cursor).encode())
    return digest.hexdigest()[:16]
