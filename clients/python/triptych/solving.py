"""Searches for text as they go on."""

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Self

import grpc

from triptych.errors import TriptychError
from triptych.mils import ScoredText, SolveResult, SolveStep
from triptych.mils_responses import solve_event
from triptych.v1 import mils_pb2


class Found:
    """What a search has found so far; an error leaves it as it is.

    `best` by score is None while there is none, `result` until the search has ended.
    """

    def __init__(self) -> None:
        self.best: ScoredText | None = None
        self.result: SolveResult | None = None

    def _take(self, response: mils_pb2.SolveResponse) -> SolveStep | SolveResult | None:
        event = solve_event(response)
        if event is not None:
            self.best = event.best
        if isinstance(event, SolveResult):
            self.result = event
        return event

    def _ended(self) -> SolveResult:
        if self.result is None:
            raise TriptychError(
                grpc.StatusCode.CANCELLED, "the search was left before it had a result"
            )
        return self.result


class SolveStream(Found, Iterator[SolveStep | SolveResult]):
    """A search as it goes on: iterating gives a `SolveStep` for the seeds, one for each step, and
    at last the `SolveResult`.

    Nothing is sent before the first is asked for. Leaving a `with` block or `close()` before the
    end cancels the search.
    """

    def __init__(self, responses: Generator[mils_pb2.SolveResponse, None, None]) -> None:
        super().__init__()
        self._responses = responses

    def __next__(self) -> SolveStep | SolveResult:
        for response in self._responses:
            if (event := self._take(response)) is not None:
                return event
        raise StopIteration

    def run(self) -> SolveResult:
        """Wait for the end of the search; returns its result."""
        for _ in self:
            pass
        return self._ended()

    def close(self) -> None:
        """Cancel what has not come yet."""
        self._responses.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
