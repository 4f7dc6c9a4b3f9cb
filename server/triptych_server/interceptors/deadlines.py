"""Deadlines: every RPC of one request has one, and work stops when it has passed. Engines learn of
it, and all who begin work of whom it is for, through `triptych_server.deadline`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from triptych_server import deadline
from triptych_server.errors import DeadlineExceeded
from triptych_server.interceptors.wrapping import Around


def deadlines(longest_s: float) -> Around:
    """Cancel an RPC of one request, however it is answered, at its caller's deadline, or after
    `longest_s` if that is sooner.

    Streams of requests live as long as their caller's deadline allows; gRPC ends them.
    """

    @asynccontextmanager
    async def around(request: bytes | None, context: Any, method: str) -> AsyncIterator[None]:
        deadline.work_for(asyncio.current_task())
        remaining = context.time_remaining()
        if request is None:
            deadline.end_in(remaining)
            yield
            return
        limit = longest_s if remaining is None else min(remaining, longest_s)
        deadline.end_in(limit)
        try:
            async with asyncio.timeout(limit) as scope:
                yield
        except TimeoutError:
            if not scope.expired():  # of a file or a socket
                raise
            raise DeadlineExceeded from None

    return around
