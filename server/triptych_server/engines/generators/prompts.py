"""Prompts as the network takes them: embeddings of their tokens and soft prefixes."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.protocol import ChatPrompt, Prompt, SoftPrefix
from triptych_server.engines.generators.spec import FolderSpec, GeneratorSpec
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.errors import FailedPrecondition, InvalidArgument
from triptych_server.media.content import Text

# Characters of a prompt that is encoded sooner (some 100 us) than handed to a thread.
SHORT_PROMPT = 256

Floats = npt.NDArray[np.float32]
Embed = Callable[[Sequence[int]], Floats]
T = TypeVar("T")


# A part of a prompt: the ids of its tokens, or a prefix.
Tokenized = list[int] | SoftPrefix


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPrompt:
    """`embeddings` is `[L, H]` float32, `ids` are the tokens among its positions."""

    embeddings: Floats
    ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.embeddings)


class PromptTokenizer:
    """Checks and tokenizes the prompts of one generator. Safe to use from many threads."""

    def __init__(self, spec: FolderSpec, tokenizer: GeneratorTokenizer) -> None:
        self._spec = spec
        self._tokenizer = tokenizer

    def count(self, prompt: Prompt) -> int:
        """Positions of a prompt. Raises as `tokenize`."""
        return positions(self.tokenize(prompt))

    def tokenize(self, prompt: Prompt) -> list[Tokenized]:
        """The tokens of its texts, and its prefixes where they stand.

        Raises `InvalidArgument`, and `FailedPrecondition` for a conversation, or for prefixes where
        it takes none.
        """
        if isinstance(prompt, ChatPrompt):
            message = f"{self._spec.name} continues texts, not conversations"
            raise FailedPrecondition(message, reason="NO_CONVERSATIONS")
        self._check([part for part in prompt if isinstance(part, SoftPrefix)])
        begin = [] if self._spec.begin_id is None else [self._spec.begin_id]
        parts: list[Tokenized] = []
        for is_text, group in groupby(prompt, lambda part: isinstance(part, Text)):
            if is_text:
                text = "".join(part.text for part in group if isinstance(part, Text))
                parts.append(begin + tokens_of(text, self._tokenizer, "prompt"))
                begin = []
            else:
                parts += [part for part in group if isinstance(part, SoftPrefix)]
        if begin:
            parts.append(begin)
        if not positions(parts):
            raise InvalidArgument("prompt", f"{self._spec.name} cannot begin from nothing")
        return parts

    def _check(self, prefixes: Sequence[SoftPrefix]) -> None:
        spec = self._spec
        if prefixes and not spec.max_prefixes:
            raise FailedPrecondition(f"{spec.name} takes no pictures", reason="NO_SOFT_PREFIXES")
        if len(prefixes) > spec.max_prefixes:
            raise InvalidArgument("prompt", f"{spec.name} takes {spec.max_prefixes} pictures")
        shape = (spec.prefix_tokens, spec.hidden_size)
        for prefix in prefixes:
            array = prefix.embeddings
            if array.shape != shape or array.dtype != np.float32:
                message = f"{spec.name} takes soft prefixes of {list(shape)} float32"
                raise InvalidArgument(
                    "prompt", f"{message}, not of {list(array.shape)} {array.dtype}"
                )
            if not np.isfinite(array).all():
                raise InvalidArgument("prompt", "a soft prefix has a number that is not finite")


class PromptEncoder:
    """Embeds the prompts of one generator. Safe to use from many threads if `embed` is."""

    def __init__(self, tokenizer: PromptTokenizer, embed: Embed) -> None:
        self._tokenizer = tokenizer
        self._embed = embed

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Raises as `PromptTokenizer.tokenize`."""
        return self.embed(self._tokenizer.tokenize(prompt))

    def embed(self, parts: Sequence[Tokenized]) -> EncodedPrompt:
        """Embed a prompt that is tokenized."""
        embeddings = [
            part.embeddings if isinstance(part, SoftPrefix) else self._embed(part) for part in parts
        ]
        return EncodedPrompt(np.concatenate(embeddings), token_ids(parts))


def token_ids(parts: Sequence[Tokenized]) -> list[int]:
    """All tokens of a prompt."""
    return [token for part in parts if not isinstance(part, SoftPrefix) for token in part]


def positions(parts: Sequence[Tokenized]) -> int:
    """Positions of a prompt, prefixes included."""
    return sum(len(part.embeddings if isinstance(part, SoftPrefix) else part) for part in parts)


def tokens_of(text: str, tokenizer: GeneratorTokenizer, field: str) -> list[int]:
    """The tokens of `text`. Raises `InvalidArgument` about `field` if it is no Unicode text."""
    check_unicode(text, field)
    return tokenizer.encode(text)


def check_unicode(text: str, field: str) -> None:
    """Raise `InvalidArgument` about `field` for half a character: a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(field, f"character {error.start} is no Unicode character") from None


def continuation_ids(
    texts: Sequence[str], tokenizer: GeneratorTokenizer, spec: FolderSpec
) -> list[list[int]]:
    """The tokens of each text, and the end of text. Raises `InvalidArgument` about
    `continuations[i]`."""
    if not texts:
        raise ValueError("there is nothing to score")
    ids = []
    for index, text in enumerate(texts):
        field = f"continuations[{index}]"
        ids.append([*tokens_of(text, tokenizer, field), *spec.end_ids[:1]])
        if not ids[-1]:
            raise InvalidArgument(field, "has no tokens")
    return ids


def check_size(spec: GeneratorSpec, tokenizer: GeneratorTokenizer, prompt: Prompt) -> None:
    """Raise `InvalidArgument` for texts that exceed the context by their characters alone."""
    parts = () if isinstance(prompt, ChatPrompt) else prompt
    characters = sum(len(part.text) for part in parts if isinstance(part, Text))
    if characters > spec.context_length * tokenizer.longest_token:
        message = f"{characters} characters exceed the context of {spec.name}"
        raise InvalidArgument("prompt", message, reason="EXCEEDS_CONTEXT")


def check_length(spec: GeneratorSpec, prompt: int, tokens: int, field: str) -> None:
    """Raise `InvalidArgument` about `field` if a prompt of so many positions and a text of so many
    tokens exceed the context."""
    if prompt + tokens > spec.context_length:
        message = f"{prompt} tokens of prompt and {tokens} of text exceed the context"
        raise InvalidArgument(
            field, f"{message} of {spec.name}, {spec.context_length}", reason="EXCEEDS_CONTEXT"
        )


async def soon(work: Callable[[Prompt], T], prompt: Prompt) -> T:
    """Do work on a prompt, on a thread if it would hold up the event loop."""
    parts = () if isinstance(prompt, ChatPrompt) else prompt
    if sum(len(part.text) for part in parts if isinstance(part, Text)) <= SHORT_PROMPT:
        return work(prompt)
    return await asyncio.to_thread(work, prompt)
