"""Answers of a chat as they come, and conversations that remember them."""

from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from triptych.contents import Content, Picture
from triptych.language import ChatEnd, ChatMessage
from triptych.language_responses import chat_end
from triptych.v1 import vision_language_pb2


class Reply:
    """What has come of an answer so far.

    `end` is None until the answer is complete, and stays so if it is cut off.
    """

    def __init__(self, asked: Sequence[ChatMessage]) -> None:
        self.end: ChatEnd | None = None
        self._asked = tuple(asked)
        self._deltas: list[str] = []

    @property
    def text(self) -> str:
        """What has been said so far; an error leaves it as it is."""
        return "".join(self._deltas)

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The conversation with what was answered, for another message of the user to go on."""
        return (*self._asked, ChatMessage.assistant(self.text))

    def _take(self, response: vision_language_pb2.ChatResponse) -> str:
        if response.HasField("end"):
            self.end = chat_end(response.end)
        else:
            self._deltas.append(response.delta.text)
        return response.delta.text


class ChatStream(Reply, Iterator[str]):
    """An answer as it is generated: iterating gives the pieces that add up to its text.

    Nothing is sent before the first piece is asked for. Leaving a `with` block or `close()` before
    the end cancels the rest.
    """

    def __init__(
        self,
        asked: Sequence[ChatMessage],
        responses: Generator[vision_language_pb2.ChatResponse, None, None],
    ) -> None:
        super().__init__(asked)
        self._responses = responses

    def __next__(self) -> str:
        for response in self._responses:
            if text := self._take(response):
                return text
        raise StopIteration

    def read(self) -> str:
        """Wait for the rest of the answer; returns all of its text."""
        for _ in self:
            pass
        return self.text

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


Stream = TypeVar("Stream", bound=Reply)


class Conversation(Generic[Stream]):
    """A chat about pictures that keeps what was said; `Client.conversation` begins one.

    An answer that was cut off is kept as far as it came. A question to which nothing was said is
    forgotten.
    """

    def __init__(
        self, chat: Callable[[Sequence[ChatMessage]], Stream], pictures: Sequence[Picture]
    ) -> None:
        self._chat = chat
        self._pictures = tuple(pictures)
        self._said: tuple[ChatMessage, ...] = ()
        self._last: Stream | None = None

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """What was said so far, question and answer in turn."""
        if self._last is not None and self._last.text.strip():
            self._said = self._last.messages
        return self._said

    def ask(self, *contents: Content) -> Stream:
        """Say something, with more pictures if the model takes them; returns the answer."""
        said = self.messages
        opening = () if said else self._pictures
        self._last = self._chat([*said, ChatMessage.user(*opening, *contents)])
        return self._last

    def reset(self) -> None:
        """Forget what was said; the pictures stay."""
        self._said, self._last = (), None
