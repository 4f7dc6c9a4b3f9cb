"""What captions, answers and chats, put together without a server."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from triptych_server.capabilities.answering import Answerer
from triptych_server.capabilities.caption_scores import CaptionScorer
from triptych_server.capabilities.captioning import Captioner
from triptych_server.capabilities.chat import Chat
from triptych_server.capabilities.embedding import Embedder
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.image_prefixes import ImagePrefixes
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.sights import Sights
from triptych_server.engines.encoders import Inference, Tensors
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.generators.protocol import Generator

LONGEST_SIDE = 64


class CountingEngine(OnnxEngine):
    """Counts what it is asked for."""

    asked: Counter[str]

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        self.asked[encoder] += 1
        return await super().infer(encoder, inputs)


@dataclass(frozen=True)
class Parts:
    engine: CountingEngine
    catalog: ModelCatalog
    captioner: Captioner
    answerer: Answerer
    chat: Chat


@asynccontextmanager
async def parts(repository: Path, *generators: Generator) -> AsyncIterator[Parts]:
    """The capabilities over a model repository and generators, which are closed at the end."""
    engine = CountingEngine(repository, threads=1, queue_rows=64)
    engine.asked = Counter()
    await engine.load()
    catalog = ModelCatalog(engine, repository, generators=generators)
    await catalog.refresh()
    with ThreadPoolExecutor(1) as executor:
        encoding = Encoding(engine, catalog, executor)
        sights = Sights(ImagePrefixes(encoding), executor, longest_side=LONGEST_SIDE)
        scorer = CaptionScorer(catalog, Embedder(encoding, stream_contents=1), Matcher(encoding))
        yield Parts(
            engine,
            catalog,
            Captioner(catalog, sights, scorer, queue=8),
            Answerer(catalog, sights),
            Chat(catalog, sights),
        )
    await close_all(generators)
    await engine.close()


async def close_all(generators: Sequence[Generator]) -> None:
    for generator in generators:
        await generator.close()
