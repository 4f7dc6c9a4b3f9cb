"""A language model that continues the embeddings of whole prompts.

Needs `vllm serve --enable-prompt-embeds`. The gateway tokenizes, so that special tokens in a text
stay the characters that they are, and looks the embeddings up. A prompt without a soft prefix goes
as the ids of its tokens.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from triptych_server.engines.generators.embedding import EmbeddingTable
from triptych_server.engines.generators.prompts import (
    PromptEncoder,
    Tokenized,
    check_length,
    continuation_ids,
    positions,
    soon,
    token_ids,
)
from triptych_server.engines.generators.protocol import Prompt, Sampling, Scores, SoftPrefix
from triptych_server.engines.generators.spec import FolderSpec
from triptych_server.engines.generators.vllm.calls import (
    COMPLETIONS,
    Call,
    encoded,
    no_scoring,
    sampling_fields,
    tensor,
    token_fields,
    token_readers,
)
from triptych_server.engines.generators.vllm.folder import Folder
from triptych_server.engines.generators.vllm.scoring import Scorer
from triptych_server.engines.generators.vllm.server import Server
from triptych_server.errors import FailedPrecondition


class PromptEmbeds:
    """The dialect of such a server."""

    def __init__(self, folder: Folder, table: EmbeddingTable, server: Server) -> None:
        self._folder = folder
        self._encoder = PromptEncoder(folder.prompts, table.rows)
        self._server = server
        self._scorer = Scorer(server)

    async def spec(self) -> FolderSpec:
        return replace(self._folder.spec, beams=False, structure=True, prefix_penalty=False)

    async def count(self, prompt: Prompt) -> int:
        return await soon(self._folder.prompts.count, prompt)

    async def call(self, prompt: Prompt, sampling: Sampling) -> Call:
        return await asyncio.to_thread(self._call, await self.spec(), prompt, sampling)

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        if not self._folder.spec.scoring:
            raise no_scoring(self._folder.spec)
        await self._server.known()
        spec = self._folder.spec
        parts = await soon(self._folder.tokenize, prompt)
        ids = await asyncio.to_thread(continuation_ids, continuations, self._folder.tokenizer, spec)
        length = positions(parts)
        for index, each in enumerate(ids):
            check_length(spec, length, len(each), f"continuations[{index}]")
        return await self._scorer.scores(
            lambda more: self._prompt([*parts, more]),
            ids,
            prompt_tokens=length,
            embedded=_has_prefix(parts),
        )

    def _call(self, spec: FolderSpec, prompt: Prompt, sampling: Sampling) -> Call:
        parts = self._folder.tokenize(prompt)
        length = positions(parts)
        check_length(spec, length, sampling.max_tokens, "prompt")
        if _has_prefix(parts) and sampling.repetition_penalty != 1:
            # vLLM knows no tokens at embedded positions; it would count those of another request,
            # which were at the same place before.
            message = f"{spec.name} has no repetition penalty for prompts with pictures"
            raise FailedPrecondition(message, reason="NO_REPETITION_PENALTY")
        fields = {
            **self._server.model,
            **self._prompt(parts),
            **sampling_fields(sampling),
            **token_fields(spec, sampling),
            "logprobs": 0,  # of the chosen token alone
        }
        return Call(
            COMPLETIONS,
            encoded(fields),
            token_readers(self._folder.tokenizer, spec, sampling),
            prompt_tokens=length,
            check=lambda _: None,
        )

    def _prompt(self, parts: Sequence[Tokenized]) -> dict[str, Any]:
        if _has_prefix(parts):
            return {"prompt_embeds": tensor(self._encoder.embed(parts).embeddings)}
        return {"prompt": token_ids(parts)}


def _has_prefix(parts: Sequence[Tokenized]) -> bool:
    return any(isinstance(part, SoftPrefix) for part in parts)
