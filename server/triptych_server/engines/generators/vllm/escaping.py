"""Keeps special tokens out of texts that vLLM tokenizes.

The gateway has no tokenizer of a chat model. It asks vLLM what it makes of anything in a text that
has the form of a special token, remembers the answer, and breaks those up by a space.
"""

import re

from triptych_server.engines.generators.vllm.calls import encoded
from triptych_server.engines.generators.vllm.errors import RejectedError
from triptych_server.engines.generators.vllm.server import Server

# `</s>`, `<image>`, `<|im_end|>`, `[INST]`, and what is in use besides.
_FORM = re.compile(r"<[^<>\n]{1,48}>|\[/?[A-Z_]{1,24}\]")
# Beyond these a text is hostile: then all that looks like a special token counts as one.
MOST_QUESTIONS = 16
REMEMBERED = 4096


class Escaper:
    """Breaks special tokens up, for the model of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._special: dict[str, bool] = {}

    async def escape(self, text: str) -> str:
        """`text` without special tokens. Raises `Unavailable`."""
        found = set(_FORM.findall(text))
        unknown = found - self._special.keys()
        if len(unknown) <= MOST_QUESTIONS:
            for each in unknown:
                self._remember(each, await self._is_one_token(each))
        for each in found:
            if self._special.get(each, True):
                text = text.replace(each, f"{each[:1]} {each[1:]}")
        return text

    def _remember(self, text: str, special: bool) -> None:
        if len(self._special) >= REMEMBERED:
            self._special.clear()
        self._special[text] = special

    async def _is_one_token(self, text: str) -> bool:
        body = encoded({**self._server.model, "prompt": text, "add_special_tokens": False})
        try:
            answer = await self._server.endpoints.post("/tokenize", body)
        except RejectedError:
            return True
        return bool(answer["count"] == 1)
