"""Answers of a chat as they come: `triptych.chat.ChatStream` with `async for`."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType
from typing import Self

from triptych.chat import Reply
from triptych.language import ChatMessage
from triptych.v1 import vision_language_pb2


class ChatStream(Reply, AsyncIterator[str]):
    """An answer as it is generated: iterating gives the pieces that add up to its text.

    Nothing is sent before the first piece is asked for. Leaving an `async with` block or `aclose()`
    before the end cancels the rest.
    """

    def __init__(
        self,
        asked: Sequence[ChatMessage],
        responses: AsyncGenerator[vision_language_pb2.ChatResponse, None],
    ) -> None:
        super().__init__(asked)
        self._responses = responses

    async def __anext__(self) -> str:
        async for response in self._responses:
            if text := self._take(response):
                return text
        raise StopAsyncIteration

    async def read(self) -> str:
        """Wait for the rest of the answer; returns all of its text."""
        async for _ in self:
            pass
        return self.text

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
