"""What becomes of each input of a call that has several."""

from collections.abc import Awaitable
from typing import TypeVar

from triptych_server.errors import Code, TriptychError

T = TypeVar("T")

# Errors of one input. All others say that the server cannot serve now, and fail the whole call.
_OF_ONE_INPUT = frozenset({Code.INVALID_ARGUMENT, Code.INTERNAL})


async def outcome(work: Awaitable[T]) -> T | TriptychError:
    """Do the work on one input. What is wrong with the input is returned, all else is raised."""
    try:
        return await work
    except TriptychError as error:
        if error.code not in _OF_ONE_INPUT:
            raise
        return error
