"""Any chat model that vLLM serves, with or without pictures.

vLLM puts conversations into the model's own form, and tokenizes; texts without one go as they are.
"""

import asyncio
import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from triptych_server.engines.generators.prompts import check_length, check_unicode
from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Message,
    Part,
    Picture,
    Prompt,
    Sampling,
    Scores,
    Speaker,
)
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.engines.generators.vllm.calls import (
    CHAT,
    COMPLETIONS,
    Call,
    distinct,
    encoded,
    no_scoring,
    sampling_fields,
)
from triptych_server.engines.generators.vllm.entry import RemoteModel
from triptych_server.engines.generators.vllm.errors import RejectedError, reading
from triptych_server.engines.generators.vllm.escaping import Escaper
from triptych_server.engines.generators.vllm.server import Server
from triptych_server.engines.generators.vllm.texts import PlainReader
from triptych_server.errors import FailedPrecondition, InvalidArgument, Unavailable
from triptych_server.media.content import Text

# Seconds that a description waits for a server that has never answered.
KNOWN_S = 1.0


class Chat:
    """The dialect of such a server."""

    def __init__(self, entry: RemoteModel, server: Server) -> None:
        self._entry = entry
        self._server = server
        self._escaper = Escaper(server)

    async def spec(self) -> GeneratorSpec:
        """With a `context_length` of 0 until a server has answered, which `ready` tells of."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(KNOWN_S):
                await self._server.known()
        return GeneratorSpec(
            name=self._entry.name,
            model=self._entry.name,
            family="chat",
            source=self._server.source,
            precision="",  # vLLM does not tell
            context_length=self._server.context_length or 0,
            prefix_tokens=self._entry.picture_tokens,
            max_pictures=self._entry.pictures,
            structure=True,
            instructions=self._entry.instructions,
        )

    async def count(self, prompt: Prompt) -> int:
        _, fields = await self._prompt(prompt)
        body = await asyncio.to_thread(encoded, {**self._server.model, **fields})
        try:
            answer = await self._server.endpoints.post("/tokenize", body)
        except RejectedError as error:
            raise error.as_triptych("prompt") from None
        with reading(self._entry.name):
            return int(answer["count"])

    async def call(self, prompt: Prompt, sampling: Sampling) -> Call:
        spec = await self.spec()
        path, fields = await self._prompt(prompt)
        fields = {
            **self._server.model,
            **fields,
            **sampling_fields(sampling),
            "logprobs": True if path == CHAT else 0,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        return Call(
            path,
            await asyncio.to_thread(encoded, fields),
            [PlainReader(sampling.stop) for _ in range(distinct(sampling))],
            prompt_tokens=None,
            check=lambda chunk: _check_length(spec, chunk, sampling.max_tokens),
        )

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        raise no_scoring(await self.spec())

    async def _prompt(self, prompt: Prompt) -> tuple[str, dict[str, Any]]:
        """Where a prompt goes, and the fields that tell it."""
        if not isinstance(prompt, ChatPrompt):
            return COMPLETIONS, {"prompt": await self._text(prompt)}
        if not prompt.messages:
            raise InvalidArgument("prompt", "a conversation has no messages")
        self._check_pictures(prompt.messages)
        continued = prompt.messages[-1].speaker is Speaker.ASSISTANT
        fields: dict[str, Any] = {
            "messages": [await self._message(each) for each in prompt.messages],
            "add_generation_prompt": not continued,
            "continue_final_message": continued,
        }
        if self._entry.template_arguments:
            fields["chat_template_kwargs"] = dict(self._entry.template_arguments)
        return CHAT, fields

    def _check_pictures(self, messages: Sequence[Message]) -> None:
        count = sum(isinstance(part, Picture) for each in messages for part in each.parts)
        name, most = self._entry.name, self._entry.pictures
        if count and not most:
            raise FailedPrecondition(f"{name} takes no pictures", reason="NO_PICTURES")
        if count > most:
            raise InvalidArgument("prompt", f"{name} takes {most} pictures, not {count}")

    async def _message(self, message: Message) -> dict[str, Any]:
        """Texts alone are a string, which every chat template takes. Adjacent ones are one: a
        special token may be in two of them."""
        content: list[dict[str, Any]] = []
        for is_text, group in groupby(message.parts, lambda part: isinstance(part, Text)):
            parts = list(group)
            if is_text:
                text = "".join(part.text for part in parts if isinstance(part, Text))
                content.append({"type": "text", "text": await self._escape(text)})
            else:
                pictures = [part for part in parts if isinstance(part, Picture)]
                urls = [await asyncio.to_thread(_data_uri, picture) for picture in pictures]
                content += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        if all("text" in part for part in content):
            return {"role": message.speaker.value, "content": content[0]["text"] if content else ""}
        return {"role": message.speaker.value, "content": content}

    async def _text(self, parts: Sequence[Part]) -> str:
        texts = [part.text for part in parts if isinstance(part, Text)]
        if len(texts) < len(parts):
            message = f"{self._entry.name} takes no soft prefixes"
            raise FailedPrecondition(message, reason="NO_SOFT_PREFIXES")
        text = "".join(texts)
        if not text:
            raise InvalidArgument("prompt", f"{self._entry.name} cannot begin from nothing")
        return await self._escape(text)

    async def _escape(self, text: str) -> str:
        check_unicode(text, "prompt")
        return await self._escaper.escape(text)


def _check_length(spec: GeneratorSpec, chunk: Mapping[str, Any], tokens: int) -> None:
    """vLLM itself would cut the text short without a word."""
    check_length(spec, chunk["usage"]["prompt_tokens"], tokens, "prompt")


def _data_uri(picture: Picture) -> str:
    content = binascii.b2a_base64(picture.data, newline=False).decode()
    return f"data:{picture.media_type};base64,{content}"
