"""A whole BLIP-2 that vLLM serves, given a soft prefix where its own encoders would compute one.

Needs `vllm serve --enable-mm-embeds --limit-mm-per-prompt '{"image": 0}'` and the chat template of
the export, which adds nothing to a text. vLLM trusts the number of rows that it is sent: too few of
them end the server, so their shape is checked here. It tokenizes the text, too; special tokens in
it are broken up. A prompt without a prefix goes as the ids of its tokens.

vLLM's own prompt has `<image>` where the prefix stands, so a repetition penalty makes that token
less likely, which in process it does not. Trained models never say it.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from triptych_server.engines.generators.prompts import (
    Tokenized,
    check_length,
    positions,
    soon,
    token_ids,
)
from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Prompt,
    Sampling,
    Scores,
    SoftPrefix,
)
from triptych_server.engines.generators.spec import FolderSpec
from triptych_server.engines.generators.vllm.calls import (
    CHAT,
    COMPLETIONS,
    Call,
    encoded,
    no_scoring,
    sampling_fields,
    tensor,
    token_fields,
    token_readers,
)
from triptych_server.engines.generators.vllm.escaping import broken_up
from triptych_server.engines.generators.vllm.folder import Folder
from triptych_server.engines.generators.vllm.server import Server
from triptych_server.errors import InvalidArgument, Unavailable
from triptych_server.media.content import Text


class ImageEmbeds:
    """The dialect of such a server."""

    def __init__(self, folder: Folder, server: Server) -> None:
        self._folder = folder
        self._server = server
        special = map(re.escape, folder.tokenizer.special_tokens)
        self._special = re.compile("|".join(special) or "(?!)")

    async def spec(self) -> FolderSpec:
        spec = self._folder.spec
        most = min(spec.max_prefixes, 1)
        return replace(spec, max_prefixes=most, beams=False, scoring=False, structure=True)

    async def count(self, prompt: Prompt) -> int:
        return await soon(self._folder.prompts.count, prompt)

    async def call(self, prompt: Prompt, sampling: Sampling) -> Call:
        return await asyncio.to_thread(self._call, await self.spec(), prompt, sampling)

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        raise no_scoring(await self.spec())

    def _call(self, spec: FolderSpec, prompt: Prompt, sampling: Sampling) -> Call:
        parts = self._folder.tokenize(prompt)
        prefixes = [part for part in parts if isinstance(part, SoftPrefix)]
        if prefixes:
            if len(prefixes) > 1 or parts[0] is not prefixes[0]:
                raise InvalidArgument("prompt", f"{spec.name} takes one picture, before the text")
            text = self._broken_up(prompt)
            parts = self._folder.tokenize([prefixes[0], Text(text)])
            path, fields = CHAT, _messages(prefixes[0], text)
        else:
            path, fields = COMPLETIONS, {"prompt": token_ids(parts), "logprobs": 0}
        length = positions(parts)
        check_length(spec, length, sampling.max_tokens, "prompt")
        return Call(
            path,
            encoded(
                {
                    **self._server.model,
                    **fields,
                    **sampling_fields(sampling),
                    **token_fields(spec, sampling),
                }
            ),
            token_readers(self._folder.tokenizer, spec, sampling),
            prompt_tokens=length,
            check=lambda chunk: self._check(chunk, parts) if prefixes else None,
        )

    def _broken_up(self, prompt: Prompt) -> str:
        """The text of a prompt, with a space in what would become a special token."""
        assert not isinstance(prompt, ChatPrompt), "it was tokenized"
        text = "".join(part.text for part in prompt if isinstance(part, Text))
        return self._special.sub(broken_up, text)

    def _check(self, chunk: Mapping[str, Any], parts: Sequence[Tokenized]) -> None:
        """Refuse a server that made other tokens of the text, so another prompt."""
        prompt: list[int] | None = chunk.get("prompt_token_ids")
        ids = token_ids(parts)
        if (
            prompt is None
            or len(prompt) != positions(parts)
            or prompt[len(prompt) - len(ids) :] != ids
        ):
            message = f"{self._server.name}: vLLM changes prompts; it needs the export's template"
            raise Unavailable(message, reason="GENERATOR_MISCONFIGURED")


def _messages(prefix: SoftPrefix, text: str) -> dict[str, Any]:
    embedded = {"type": "image_embeds", "image_embeds": tensor(prefix.embeddings)}
    content = [embedded, {"type": "text", "text": text}]
    return {
        "messages": [{"role": "user", "content": content}],
        "add_special_tokens": True,
        "logprobs": True,
    }
