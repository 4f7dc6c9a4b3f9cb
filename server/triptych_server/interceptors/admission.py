"""Admission: what exceeds the bounds is refused at once instead of being queued."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from triptych_server.errors import ResourceExhausted


class Admission:
    """Bounds the RPCs handled at once, and the bytes of their requests.

    A stream counts as one RPC; its own bounds hold its bytes.
    """

    def __init__(self, rpcs: int, size: int) -> None:
        self._rpcs = rpcs
        self._size = size
        self._running = 0
        self._held = 0

    @asynccontextmanager
    async def around(self, request: Any, context: Any, method: str) -> AsyncIterator[None]:
        size = 0 if request is None else request.ByteSize()
        if self._running >= self._rpcs:
            raise ResourceExhausted(f"{self._running} calls are being handled already")
        if self._held and self._held + size > self._size:
            raise ResourceExhausted(f"{self._held:,} bytes of requests are being handled already")
        self._running += 1
        self._held += size
        try:
            yield
        finally:
            self._running -= 1
            self._held -= size
