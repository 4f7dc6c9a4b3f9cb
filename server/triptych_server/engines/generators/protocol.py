"""What every generator does, in process or remote."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import Protocol

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.media.content import Text


@dataclass(frozen=True, slots=True, eq=False)
class SoftPrefix:
    """What an image encoder gives a language model in place of tokens.

    `embeddings` is `[Q, H]` float32: Q positions of the model's hidden size.
    """

    embeddings: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture's file as a generator that sees takes it: decoded once before, so known to be good.

    `media_type` is `image/jpeg` or `image/png`.
    """

    data: bytes
    media_type: str


class Speaker(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """What one side says, its pictures where it shows them."""

    speaker: Speaker
    parts: Sequence[Text | Picture]


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, for generators that put it into a form of their own.

    The last message is the user's, to be answered, or the assistant's, to be continued.
    """

    messages: Sequence[Message]


Part = Text | SoftPrefix

# Parts in their order, adjacent texts being one, or a conversation. Special tokens never come from
# a caller's text: `</s>` in it is four plain characters. Before parts the beginning-of-text token,
# where the model has one, stands before the first text, and last where there is none.
Prompt = Sequence[Part] | ChatPrompt


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these texts."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that matches a regular expression as a whole."""

    expression: str


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON value of this schema, itself JSON."""

    schema: str


# The form that a text is made to have.
Structure = OneOf | Pattern | JsonSchema


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; the defaults are greedy search.

    With `beams` above 1, `n` is at most `beams` and `temperature` is 0. `seed` None draws one.
    The text ends before the first of `stop`, even before `min_tokens`, which hold back the tokens
    that end a text. The repetition penalty counts the tokens of the prompt's texts. A text with a
    `structure` may break off at `max_tokens`. With `whole` a text may come in one piece, at its
    end. Numbers out of range are a `ValueError`.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    n: int = 1
    stop: Sequence[str] = ()
    seed: int | None = None
    beams: int = 1
    length_penalty: float = 1.0
    structure: Structure | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        ranges = {
            "max_tokens": self.max_tokens >= 1,
            "min_tokens": 0 <= self.min_tokens <= self.max_tokens,
            "temperature": 0 <= self.temperature < inf,
            "top_k": self.top_k >= 0,
            "top_p": 0 < self.top_p <= 1,
            "repetition_penalty": 0 < self.repetition_penalty < inf,
            "n": self.n >= 1 and (self.beams <= 1 or self.n <= self.beams),
            "stop": all(self.stop),
            "seed": self.seed is None or self.seed >= 0,
            "beams": self.beams == 1 or (self.beams > 1 and not self.temperature),
            "length_penalty": isfinite(self.length_penalty),
        }
        for name, holds in ranges.items():
            if not holds:
                raise ValueError(f"{name} is out of range: {getattr(self, name)!r}")


class Finish(StrEnum):
    """Why a text ends."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request took: nanoseconds in the queue, from there to its first token and to its
    last, and the rows of the largest batch that it was computed in. A server that tells neither of
    its queue nor of its batches leaves these at 0."""

    prompt_tokens: int
    queue_ns: int
    first_token_ns: int
    generation_ns: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of one text; the texts of a request are told apart by `index`.

    `text` is whole characters and may be empty; `tokens` were generated since the last delta of
    this text, `log_probability` is the sum of theirs (natural, before temperature, penalties and
    filters). The last delta of a text has `finish`, and the last of a request `cost`. Beams come
    whole, best first by `index`.
    """

    index: int
    text: str
    tokens: int
    log_probability: float
    finish: Finish | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """`log_probabilities` has one natural logarithm a continuation, end of text included; so have
    its `tokens`."""

    log_probabilities: Sequence[float]
    tokens: Sequence[int]
    cost: Cost


class Generator(Protocol):
    """One language model.

    All methods but `name` and `close` raise `Unavailable` when it cannot serve now. Safe to call
    from many tasks of one event loop.
    """

    @property
    def name(self) -> str:
        """Its folder among the generators, or its name on the server that runs it."""
        ...

    async def spec(self) -> GeneratorSpec:
        """What it takes and can do; known while its description can be read."""
        ...

    async def ready(self) -> None:
        """Return if it can serve; raise `Unavailable` with the cause if it cannot."""
        ...

    def check_room(self) -> None:
        """Raise `ResourceExhausted` if its queue is full now: for callers with work to do before
        they can ask."""
        ...

    async def count(self, prompt: Prompt) -> int:
        """Tokens of a prompt, soft prefixes and beginning of text included."""
        ...

    def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        """Continue a prompt, while other requests join and leave the same batch.

        Raises `InvalidArgument` about the field `prompt` when prompt and `max_tokens` exceed the
        context length or a soft prefix does not fit the spec, `FailedPrecondition` for what the
        model lacks, and `ResourceExhausted` at once when the queue is full. Closing the iterator
        (or cancelling its task) ends the generation before the next token.
        """
        ...

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        """How likely each continuation is as the whole rest of the text.

        A continuation is a text of its own after the prompt: where words are told apart by a space,
        it begins with one. Raises as `generate`, about `continuations[i]` when one is too long.
        """
        ...

    async def close(self) -> None:
        """Refuse new requests, end those that run, and release the network."""
        ...
