"""Requests as vLLM's API takes them."""

import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from triptych_server.engines.generators.protocol import (
    JsonSchema,
    OneOf,
    Pattern,
    Prompt,
    Sampling,
    Scores,
    Structure,
)
from triptych_server.engines.generators.spec import FolderSpec, GeneratorSpec
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.engines.generators.vllm.tensors import torch_file
from triptych_server.engines.generators.vllm.texts import Reader, TokenReader
from triptych_server.errors import FailedPrecondition, InvalidArgument

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"

_LARGEST_SEED = 2**63
_GREEDY = 1e-5  # the temperature below which vLLM does not draw


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One request for the distinct texts: what is sent, and how each of them is read.

    `prompt_tokens` is None where vLLM counts them; `check` gets the first chunk with a text and
    may refuse to go on.
    """

    path: str
    body: bytes
    readers: Sequence[Reader]
    prompt_tokens: int | None
    check: Callable[[Mapping[str, Any]], None]


class Dialect(Protocol):
    """What differs between the styles in which a vLLM is asked. Methods raise as `Generator`'s.

    `call` comes after the server was ready, and `spec` was asked whether it serves the sampling.
    """

    async def spec(self) -> GeneratorSpec: ...

    async def count(self, prompt: Prompt) -> int: ...

    async def call(self, prompt: Prompt, sampling: Sampling) -> Call: ...

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores: ...


def distinct(sampling: Sampling) -> int:
    """Texts that differ: without drawing all are the same, and vLLM gives one alone."""
    return sampling.n if sampling.temperature >= _GREEDY else 1


def sampling_fields(sampling: Sampling) -> dict[str, Any]:
    """`sampling` as both of vLLM's APIs take it, streamed. All that a server may have other
    defaults for is told."""
    fields: dict[str, Any] = {
        "stream": True,
        "n": distinct(sampling),
        "max_tokens": sampling.max_tokens,
        "min_tokens": sampling.min_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": 0.0,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
    if sampling.seed is not None:
        fields["seed"] = sampling.seed % _LARGEST_SEED
    if sampling.stop and not sampling.min_tokens:
        # Only so that vLLM stops working on the text, which is cut here: before `min_tokens` it
        # would look for none of them.
        fields["stop"] = list(sampling.stop)
        fields["include_stop_str_in_output"] = True
    if sampling.structure:
        fields["structured_outputs"] = _structure(sampling.structure)
    return fields


def token_fields(spec: FolderSpec, sampling: Sampling) -> dict[str, Any]:
    """The fields that make vLLM give tokens, and end texts at those of `spec` alone."""
    return {
        "return_token_ids": True,
        "stop_token_ids": list(spec.end_ids),
        # A structure that is complete can end by the model's own end of text alone.
        "ignore_eos": sampling.structure is None,
    }


def token_readers(
    tokenizer: GeneratorTokenizer, spec: FolderSpec, sampling: Sampling
) -> list[TokenReader]:
    """A reader for each of the texts."""
    return [
        TokenReader(tokenizer.stream(sampling.stop), spec.end_ids)
        for _ in range(distinct(sampling))
    ]


def encoded(fields: Mapping[str, Any]) -> bytes:
    """A request's body."""
    return json.dumps(fields, separators=(",", ":")).encode()


def tensor(array: npt.NDArray[np.float32]) -> str:
    """An array as vLLM takes tensors: the base64 of a file of `torch.save`."""
    return binascii.b2a_base64(torch_file(array), newline=False).decode()


def check_served(spec: GeneratorSpec, sampling: Sampling) -> None:
    """Raise `FailedPrecondition` for what no vLLM does as the generator in process does it."""
    if sampling.beams > 1:
        # vLLM divides a beam's score by the length of prompt and text, not of the text alone.
        raise FailedPrecondition(f"{spec.name} has no beam search", reason="NO_BEAMS")


def no_scoring(spec: GeneratorSpec) -> FailedPrecondition:
    """The error of a generator that cannot tell how likely a given text is."""
    return FailedPrecondition(f"{spec.name} scores no texts", reason="NO_SCORING")


def _structure(structure: Structure) -> dict[str, Any]:
    match structure:
        case OneOf(texts):
            return {"choice": list(texts)}
        case Pattern(expression):
            return {"regex": expression}
        case JsonSchema(schema):
            try:
                content = json.loads(schema)
            except (ValueError, RecursionError) as error:
                raise InvalidArgument("structure", f"the schema is no JSON: {error}") from None
            return {"json": content}
