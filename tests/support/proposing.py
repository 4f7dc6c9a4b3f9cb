"""A tiny language model that proposes texts, on the real decoder."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from catalogs import catalog
from generators import VOCABULARY, TinyGenerator, write_tiny_generator

from triptych_server.capabilities.language_models import LanguageModel
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import Delta, Generator, Prompt, Sampling
from triptych_server.media.content import Text

CONTEXT = 512
# So many tokens end a text that most are short.
END_IDS = list(range(2, VOCABULARY, 6))
TEMPLATES = {
    "example": "{percent} {text}",
    "separator": "\n",
    "ending": "\n100",
    "subject": "a {subject}",
    "examples": 6,
}


def write_writer(directory: Path) -> TinyGenerator:
    """Write a generator that proposes texts to `directory/writer`, in seconds."""
    tiny = write_tiny_generator(directory, name="writer", space="", max_position_embeddings=CONTEXT)
    changed(tiny.folder, tiny.folder, end_ids=END_IDS, proposals=TEMPLATES)
    return tiny


def changed(folder: Path, copy: Path, **changes: object) -> Path:
    """The same generator, as another generator.json describes it."""
    if copy != folder:
        shutil.copytree(folder, copy)
    path = copy / "generator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return copy


@dataclass(frozen=True)
class Asked:
    """A request for texts."""

    prompt: Prompt
    sampling: Sampling

    @property
    def text(self) -> str:
        assert isinstance(self.prompt, list), "who continues text is asked in parts"
        [part] = self.prompt
        assert isinstance(part, Text)
        return part.text


class NotingGenerator(OnnxGenerator):
    """Notes what it is asked, and how many requests it had at once; `wrote` tells that some text
    has begun."""

    def __init__(self, folder: Path, *, queue: int = 100, cache_bytes: int = 2**26) -> None:
        super().__init__(folder, threads=1, queue=queue, cache_bytes=cache_bytes)
        self.asked: list[Asked] = []
        self.running = self.most_running = 0
        self.wrote = asyncio.Event()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        self.asked.append(Asked(prompt, sampling))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            in_pieces = replace(sampling, whole=False)  # of which the first tells
            async with aclosing(super().generate(prompt, in_pieces)) as deltas:
                async for delta in deltas:
                    self.wrote.set()
                    yield delta
        finally:
            self.running -= 1


@asynccontextmanager
async def language_of(generator: Generator) -> AsyncIterator[LanguageModel]:
    """The model of a generator that is loaded; it is closed at the end."""
    with TemporaryDirectory() as no_encoders:
        async with catalog(Path(no_encoders), generators=[generator]) as found:
            yield LanguageModel.named(found, "", Task.PROPOSE)
    await generator.close()
