"""A chat model that sees, in process and without a server: a tiny decoder behind a template."""

import io
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import numpy as np
from language import FUSED, write_variant
from PIL import Image

from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import (
    ChatPrompt,
    Delta,
    Part,
    Picture,
    Prompt,
    Sampling,
    Scores,
    SoftPrefix,
    Speaker,
)
from triptych_server.engines.generators.spec import FolderSpec, GeneratorSpec, Instructions
from triptych_server.errors import FailedPrecondition
from triptych_server.media.content import Text

INSTRUCTIONS = Instructions("Describe it.", "{question} Be brief.")


async def talker(
    repository: Path, folder: Path, *, pictures: int, scoring: bool = False, **changes: object
) -> "TemplateChat":
    """A chat model of the name of `folder`, which is written: the decoder of the models beside
    `repository`, which `language.write_models` wrote."""
    common: dict[str, object] = {"model": folder.name, "max_prefixes": 8}
    write_variant(repository.parent / "generators" / FUSED, folder, common | changes)
    chat = TemplateChat(folder, pictures=pictures, scoring=scoring)
    await chat.load()
    return chat


class TemplateChat:
    """A `Generator` of conversations over a folder that `language.write_models` wrote.

    Messages become `user: ...` lines, a picture the soft prefix of its mean colour. Like a server
    elsewhere, it tells nobody before how many tokens a picture takes.
    """

    def __init__(self, folder: Path, *, pictures: int, scoring: bool = False) -> None:
        self._inner = OnnxGenerator(folder, threads=1, queue=8, cache_bytes=2**22)
        self._pictures = pictures
        self._scoring = scoring

    async def load(self) -> None:
        await self._inner.load()

    @property
    def name(self) -> str:
        return self._inner.name

    async def spec(self) -> GeneratorSpec:
        inner = await self._inner.spec()
        return GeneratorSpec(
            name=inner.name,
            model=inner.model,
            family=inner.family,
            source=inner.source,
            precision=inner.precision,
            context_length=inner.context_length,
            max_pictures=self._pictures,
            scoring=self._scoring,
            instructions=INSTRUCTIONS,
        )

    async def ready(self) -> None:
        await self._inner.ready()

    def check_room(self) -> None:
        self._inner.check_room()

    async def count(self, prompt: Prompt) -> int:
        return await self._inner.count(await self.rendered(prompt))

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        async for delta in self._inner.generate(await self.rendered(prompt), sampling):
            yield delta

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        if not self._scoring:
            raise FailedPrecondition(f"{self.name} scores no texts", reason="NO_SCORING")
        return await self._inner.score(await self.rendered(prompt), continuations)

    async def close(self) -> None:
        await self._inner.close()

    async def rendered(self, prompt: Prompt) -> Sequence[Part]:
        """A conversation as the decoder takes it."""
        assert isinstance(prompt, ChatPrompt), "a chat model is asked in messages"
        return list(_parts(prompt, await self._inner.spec()))


def _parts(prompt: ChatPrompt, spec: FolderSpec) -> Iterator[Part]:
    for position, message in enumerate(prompt.messages):
        yield Text(f"\n{message.speaker}: " if position else f"{message.speaker}: ")
        for part in message.parts:
            yield _prefix(part, spec) if isinstance(part, Picture) else part
    if prompt.messages[-1].speaker is not Speaker.ASSISTANT:
        yield Text(f"\n{Speaker.ASSISTANT}: ")


def _prefix(picture: Picture, spec: FolderSpec) -> SoftPrefix:
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.get_format_mimetype() == picture.media_type
        colour = np.asarray(image.convert("RGB"), np.float32).mean((0, 1)) / 255
    row = np.resize(colour, spec.hidden_size)
    return SoftPrefix(np.tile(row, (spec.prefix_tokens, 1)).astype(np.float32))
