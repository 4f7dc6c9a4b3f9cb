"""Chats about scenes: the last answer, for which the questions before must be remembered."""

from dataclasses import dataclass

from triptych import ChatMessage, Client, Generation
from triptych_export.evaluation.calls import in_parallel
from triptych_export.evaluation.miniworld.vqa import MAX_TOKENS, accuracy
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.miniworld.draw import Pixels
from triptych_export.miniworld.evalset import LONG_CHATS, SHORT_CHATS, chat_set
from triptych_export.miniworld.questions import Question

CHATS_AT_ONCE = 32  # each is a stream, of which a gateway opens fewer than it takes calls


@dataclass(frozen=True, slots=True)
class ChatFigures:
    """The share of right last answers, by the language of the last question: of chats of a few
    turns, and of long ones that still fit the context."""

    accuracy: float
    zh_accuracy: float
    long_accuracy: float
    zh_long_accuracy: float


def evaluate_chat(
    client: Client, *, model: str = "", chats: int = 500, progress: Progress = silent
) -> ChatFigures:
    """Ask the last question of so many chats, given the true answers to those before it, and of
    as many long ones."""
    generation = Generation(max_tokens=MAX_TOKENS)

    def ask(asked: tuple[Pixels, tuple[Question, ...]]) -> str:
        return client.chat(_messages(*asked), generation=generation, model=model).read()

    figures: list[float] = []
    for stage, turns in (("chats", SHORT_CHATS), ("long chats", LONG_CHATS)):
        drawn = chat_set(chats, turns)
        answers = in_parallel(
            ask,
            zip(drawn.pictures, drawn.turns, strict=True),
            concurrency=CHATS_AT_ONCE,
            advance=progress(stage, chats),
        )
        told = list(zip(drawn.questions, answers, strict=True))
        figures += [accuracy(told, "en"), accuracy(told, "zh")]
    return ChatFigures(*figures)


def _messages(picture: Pixels, turns: tuple[Question, ...]) -> list[ChatMessage]:
    """The conversation up to the last question; the picture comes before the first."""
    messages: list[ChatMessage] = []
    for turn in turns:
        messages += [ChatMessage.user(turn.text), ChatMessage.assistant(turn.answer)]
    messages[0] = ChatMessage.user(picture, turns[0].text)
    return messages[:-1]
