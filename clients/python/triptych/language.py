"""What callers pass to and get from captions, answers and chats: frozen values, as in `types`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, overload

from triptych.contents import Content
from triptych.errors import TriptychError
from triptych.types import Timing


@dataclass(frozen=True, slots=True)
class Generation:
    """How tokens are chosen. All None: greedily, the likeliest token at each step.

    - `temperature` above 0, at most 2, samples; `top_k` (1 to 1,000; 0 is all) and `top_p` (above 0
      up to 1) keep the likeliest tokens only. With a `seed` the same request gives the same text.
    - `repetition_penalty`, above 0 up to 10, makes tokens that came before less likely; 1 does not.
    - `min_tokens` and `max_tokens` bound the text; None is at most 30 for captions, 16 for answers
      and 256 for chats. It ends before the first of up to 8 `stop` strings.
    - `num_beams`, up to 16, searches so many hypotheses, not with a temperature and not in chats;
      `length_penalty`, -10 to 10, favours long ones above 0 and short ones below. None is 1.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    num_beams: int | None = None
    length_penalty: float | None = None


class FinishReason(StrEnum):
    """Why a text ends: the model ended it or a stop string came, or there was no more room."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read, those of pictures included, and tokens generated, ends of text included."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


class CaptionOrder(StrEnum):
    """In which order the captions of a picture come, best first."""

    LOG_PROBABILITY = "log_probability"
    CLIP = "clip"
    ITM = "itm"


@dataclass(frozen=True, slots=True)
class Caption:
    """One text about a picture, its prompt included.

    `log_probability` is the natural logarithm of what the model gives to its `tokens` generated
    tokens, before temperature, penalties and filters. `clip_score` (a cosine) and `itm_score` (the
    probability that picture and text match) are None unless asked for. `finish_reason` is None when
    the gateway tells one that is newer than this client.
    """

    text: str
    log_probability: float
    tokens: int
    finish_reason: FinishReason | None
    clip_score: float | None = None
    itm_score: float | None = None


@dataclass(frozen=True, slots=True)
class Captioned:
    """The captions of one picture, best first; none when `error` says why."""

    captions: tuple[Caption, ...] = ()
    error: TriptychError | None = None


@dataclass(frozen=True, slots=True)
class Captions(Sequence[Captioned]):
    """One `Captioned` for each picture, in the order given."""

    results: tuple[Captioned, ...]
    model: str
    usage: Usage
    timing: Timing

    @property
    def texts(self) -> list[str]:
        """The best caption of each picture. Raises the error of the first picture that failed."""
        for position, result in enumerate(self.results):
            if result.error is not None:
                raise result.error.within(f"images[{position}]")
        return [result.captions[0].text for result in self.results]

    @overload
    def __getitem__(self, index: int) -> Captioned: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Captioned, ...]: ...
    def __getitem__(self, index: int | slice) -> Captioned | tuple[Captioned, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """How likely a choice is as the whole answer; the probabilities of all choices add up to 1."""

    choice: str
    log_probability: float
    probability: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question: of choices the likeliest, with all their scores as asked.

    `finish_reason` is None with choices.
    """

    text: str
    log_probability: float
    finish_reason: FinishReason | None
    choices: tuple[ChoiceScore, ...]
    model: str
    usage: Usage
    timing: Timing


class ChatRole(StrEnum):
    """A side of a conversation."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, eq=False)
class ChatMessage:
    """What one side said at one time: 1 to 64 texts and pictures in their order, at least one text.

    Only the user shows pictures, no more in a conversation than `Model.generator` takes.
    """

    role: ChatRole
    contents: tuple[Content, ...]

    @classmethod
    def user(cls, *contents: Content) -> "ChatMessage":
        """A message of the user."""
        return cls(ChatRole.USER, contents)

    @classmethod
    def assistant(cls, text: str) -> "ChatMessage":
        """A message of the model, as it was said in an earlier answer."""
        return cls(ChatRole.ASSISTANT, (text,))


Talk: TypeAlias = ChatMessage | Sequence[ChatMessage] | Content | Sequence[Content]
"""Messages of the user and the assistant in turn, the user's first and last; or what one holds."""


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """How a message ended and what it took.

    `trimmed_messages` are those left out, from the oldest on, because the conversation is longer
    than the model's context; a chat model's with their pictures, of others these were kept.
    """

    finish_reason: FinishReason | None
    log_probability: float
    trimmed_messages: int
    model: str
    usage: Usage
    timing: Timing
