"""Catalogs of a repository's models, and generators for them that only describe themselves."""

import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tiny_blip2 import HIDDEN, PREFIX, SPACE

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import Generator


@asynccontextmanager
async def catalog(
    repository: Path,
    *,
    defaults: Mapping[Task, str] | None = None,
    generators: Collection[Generator] = (),
    silent: Mapping[str, str] | None = None,
) -> AsyncIterator[ModelCatalog]:
    engine = OnnxEngine(repository, threads=1, queue_rows=8)
    await engine.load()
    found = ModelCatalog(
        engine,
        repository,
        generators=generators,
        silent=lambda: silent or {},
        defaults=defaults,
    )
    await found.refresh()
    yield found
    await engine.close()


async def generator(folder: Path, **changes: object) -> OnnxGenerator:
    """One that says what it is, and whose network cannot be loaded."""
    write_generator(folder, changes)
    found = OnnxGenerator(folder, threads=1, queue=1, cache_bytes=2**20)
    await found.load()
    return found


def write_generator(folder: Path, changes: Mapping[str, object]) -> None:
    asset = {"file": "none", "sha256": "0" * 64}
    fields = {
        "model": "reader",
        "family": "opt",
        "source": "tests",
        "precision": "fp32",
        "space": SPACE,
        "prefix_tokens": PREFIX,
        "max_prefixes": 1,
        "context_length": 64,
        "vocabulary": 100,
        "hidden_size": HIDDEN,
        "layers": 1,
        "key_value_heads": 1,
        "head_size": 8,
        "begin_id": 0,
        "end_ids": [0],
        "beams": True,
        "scoring": True,
        "tokenizer": asset,
        "embedding": asset,
    }
    folder.mkdir(parents=True)
    (folder / "generator.json").write_text(json.dumps(fields | dict(changes)))
