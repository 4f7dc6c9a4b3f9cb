"""Messages of a chat, and what comes back."""

from collections.abc import Iterator, Sequence

from triptych.v1 import media_pb2
from triptych.v1.vision_language_pb2 import (
    CHAT_ROLE_ASSISTANT,
    CHAT_ROLE_USER,
    ChatMessage,
    ChatResponse,
)

Contents = Sequence[media_pb2.Content]


def conversation(*messages: Contents) -> list[ChatMessage]:
    """Messages of the user and the assistant in turn."""
    roles = (CHAT_ROLE_USER, CHAT_ROLE_ASSISTANT)
    return [ChatMessage(role=roles[i % 2], contents=each) for i, each in enumerate(messages)]


def reply(responses: Iterator[ChatResponse]) -> tuple[str, int]:
    """A reply to its end, and the messages that were left out for it."""
    *deltas, last = responses
    assert last.HasField("end")
    return "".join(each.delta.text for each in deltas), last.end.trimmed_messages
