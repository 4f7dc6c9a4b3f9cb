"""Admission: what exceeds the bounds is refused at once instead of being queued."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from triptych_server.errors import ResourceExhausted


class Admission:
    """Bounds what is handled at once: `calls` of one request, however they are answered, and the
    bytes of those (`size`); and `streams` of requests, whose own bounds hold their bytes."""

    def __init__(self, *, calls: int, streams: int, size: int) -> None:
        self._free_calls = calls
        self._free_streams = streams
        self._size = size
        self._held = 0

    def around(
        self, request: bytes | None, context: Any, method: str
    ) -> AbstractAsyncContextManager[None]:
        """Raises `ResourceExhausted` when there is no room."""
        return self._stream() if request is None else self._call(len(request))

    @asynccontextmanager
    async def _call(self, size: int) -> AsyncIterator[None]:
        if not self._free_calls:
            raise ResourceExhausted("as many calls as allowed are being handled already")
        if self._held and self._held + size > self._size:
            raise ResourceExhausted(f"{self._held:,} bytes of requests are being handled already")
        self._free_calls -= 1
        self._held += size
        try:
            yield
        finally:
            self._free_calls += 1
            self._held -= size

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[None]:
        if not self._free_streams:
            raise ResourceExhausted("as many streams as allowed are open already")
        self._free_streams -= 1
        try:
            yield
        finally:
            self._free_streams += 1
