"""Keeps special tokens out of texts that vLLM tokenizes.

The gateway has no tokenizer of a chat model. It asks vLLM which tokens it makes of what has the
form of a special one in a text, remembers the answer, and breaks special tokens up by a space.
"""

import asyncio
import re
from collections.abc import Iterable, Set

from triptych_server.engines.generators.prompts import SHORT_PROMPT
from triptych_server.engines.generators.vllm.calls import encoded
from triptych_server.engines.generators.vllm.errors import RejectedError, reading
from triptych_server.engines.generators.vllm.server import Server

# `</s>`, `<image>`, `<|im_end|>`, `[INST]`, and what is in use besides.
_FORM = re.compile(r"<[^<>\n]{1,48}>|\[/?[A-Z_]{1,24}\]")
# Beyond these a text is hostile: then all that looks like a special token counts as one.
MOST_ASKED = 1024
REMEMBERED = 4096


class Escaper:
    """Breaks special tokens up, for the model of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._special: dict[str, bool] = {}

    async def escape(self, text: str) -> str:
        """`text` without special tokens. Raises `Unavailable`."""
        if len(text) <= SHORT_PROMPT:
            return _without(text, await self._special_among(_forms(text)))
        special = await self._special_among(await asyncio.to_thread(_forms, text))
        return await asyncio.to_thread(_without, text, special)

    async def _special_among(self, found: Set[str]) -> Set[str]:
        known = {each for each in found if self._special.get(each)}
        unknown = found - self._special.keys()
        if not unknown:
            return known
        if len(unknown) > MOST_ASKED:
            return known | unknown
        special = await self._tokens_among(unknown)
        if len(self._special) + len(unknown) > REMEMBERED:
            self._special.clear()
        self._special.update({each: each in special for each in unknown})
        return known | special

    async def _tokens_among(self, unknown: Set[str]) -> Set[str]:
        """Those that are one token; all, where vLLM does not tell."""
        fields = {
            **self._server.model,
            "prompt": "\n".join(unknown),
            "add_special_tokens": False,
            "return_token_strs": True,
        }
        try:
            answer = await self._server.endpoints.post("/tokenize", encoded(fields))
        except RejectedError:
            return unknown
        with reading(self._server.name):
            tokens: Iterable[str] | None = answer.get("token_strs")
            return unknown if tokens is None else unknown & set(tokens)


def broken_up(found: re.Match[str]) -> str:
    """What looks like a special token, with a space in it."""
    return f"{found[0][:1]} {found[0][1:]}"


def _forms(text: str) -> Set[str]:
    return set(_FORM.findall(text))


def _without(text: str, special: Set[str]) -> str:
    if not special:
        return text
    return _FORM.sub(lambda found: broken_up(found) if found[0] in special else found[0], text)
