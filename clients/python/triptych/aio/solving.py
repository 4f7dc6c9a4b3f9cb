"""Searches for text as they go on: `triptych.solving.SolveStream` with `async for`."""

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

from triptych.mils import SolveResult, SolveStep
from triptych.solving import Found
from triptych.v1 import mils_pb2


class SolveStream(Found, AsyncIterator[SolveStep | SolveResult]):
    """A search as it goes on: iterating gives a `SolveStep` for the seeds, one for each step, and
    at last the `SolveResult`.

    Nothing is sent before the first is asked for. Leaving an `async with` block or `aclose()`
    before the end cancels the search.
    """

    def __init__(self, responses: AsyncGenerator[mils_pb2.SolveResponse, None]) -> None:
        super().__init__()
        self._responses = responses

    async def __anext__(self) -> SolveStep | SolveResult:
        async for response in self._responses:
            if (event := self._take(response)) is not None:
                return event
        raise StopAsyncIteration

    async def run(self) -> SolveResult:
        """Wait for the end of the search; returns its result."""
        async for _ in self:
            pass
        return self._ended()

    async def aclose(self) -> None:
        """Cancel what has not come yet."""
        await self._responses.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
