"""Prompts as the network takes them: embeddings of their tokens and soft prefixes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.protocol import ChatPrompt, Prompt, SoftPrefix
from triptych_server.engines.generators.spec import FolderSpec
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.errors import FailedPrecondition, InvalidArgument
from triptych_server.media.content import Text

Floats = npt.NDArray[np.float32]
Embed = Callable[[Sequence[int]], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPrompt:
    """`embeddings` is `[L, H]` float32, `ids` are the tokens among its positions."""

    embeddings: Floats
    ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.embeddings)


class PromptEncoder:
    """Encodes the prompts of one generator. Safe to use from many threads if `embed` is."""

    def __init__(self, spec: FolderSpec, tokenizer: GeneratorTokenizer, embed: Embed) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._embed = embed

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Raises `InvalidArgument`, and `FailedPrecondition` for a conversation, or for prefixes
        where it takes none."""
        parts = self._tokenized(prompt)
        ids = [token for part in parts if not isinstance(part, SoftPrefix) for token in part]
        positions = [
            part.embeddings if isinstance(part, SoftPrefix) else self._embed(part) for part in parts
        ]
        return EncodedPrompt(np.concatenate(positions), ids)

    def count(self, prompt: Prompt) -> int:
        """Positions of a prompt. Raises as `encode`."""
        lengths = (
            len(part.embeddings) if isinstance(part, SoftPrefix) else len(part)
            for part in self._tokenized(prompt)
        )
        return sum(lengths)

    def _tokenized(self, prompt: Prompt) -> list[list[int] | SoftPrefix]:
        if isinstance(prompt, ChatPrompt):
            message = f"{self._spec.name} continues texts, not conversations"
            raise FailedPrecondition(message, reason="NO_CONVERSATIONS")
        self._check([part for part in prompt if isinstance(part, SoftPrefix)])
        begin = [] if self._spec.begin_id is None else [self._spec.begin_id]
        parts: list[list[int] | SoftPrefix] = []
        for is_text, group in groupby(prompt, lambda part: isinstance(part, Text)):
            if is_text:
                text = "".join(part.text for part in group if isinstance(part, Text))
                parts.append(begin + self._tokenizer.encode(text))
                begin = []
            else:
                parts += [part for part in group if isinstance(part, SoftPrefix)]
        if begin:
            parts.append(begin)
        if not any(
            len(part.embeddings if isinstance(part, SoftPrefix) else part) for part in parts
        ):
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
