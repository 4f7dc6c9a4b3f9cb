"""The models of a repository that score texts, on an engine that is watched."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from watched_engine import WatchedEngine

from triptych_server.capabilities.embedding import Embedder
from triptych_server.capabilities.encoding import Encoding
from triptych_server.capabilities.matching import Matcher
from triptych_server.capabilities.mils.text_vectors import TextVectors
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders.onnx import OnnxEngine

CLIP = "miniworld-clip"
TEXT = "miniworld-clip-text"
QUEUE_ROWS = 64


@dataclass(frozen=True)
class Models:
    """What scorers are made of. `onnx` computes for `engine`."""

    onnx: OnnxEngine
    engine: WatchedEngine
    catalog: ModelCatalog
    encoding: Encoding
    embedder: Embedder
    matcher: Matcher

    @property
    def clip(self) -> Model:
        """The default that embeds."""
        return self.catalog.get("", Task.EMBED)

    @property
    def itm(self) -> Model:
        """The default that matches."""
        return self.catalog.get("", Task.MATCH)

    def vectors(self, *, capacity_bytes: int = 2**20, rows: int = QUEUE_ROWS) -> TextVectors:
        return TextVectors(self.encoding, capacity_bytes=capacity_bytes, rows=rows)


@asynccontextmanager
async def open_models(repository: Path, *, queue_rows: int = QUEUE_ROWS) -> AsyncIterator[Models]:
    """With one worker: what comes while it works is batched."""
    onnx = OnnxEngine(repository, threads=1, queue_rows=queue_rows)
    await onnx.load()
    engine = WatchedEngine(onnx)
    catalog = ModelCatalog(engine, repository)
    await catalog.refresh()
    with ThreadPoolExecutor(2) as executor:
        encoding = Encoding(engine, catalog, executor)
        embedder = Embedder(encoding, stream_contents=queue_rows)
        yield Models(onnx, engine, catalog, encoding, embedder, Matcher(encoding))
    await engine.close()
