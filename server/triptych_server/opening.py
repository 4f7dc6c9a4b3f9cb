"""Opens the engines that the settings name, and imports no other."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders import EncoderEngine
from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.spec import SPEC_FILE
from triptych_server.settings import Settings


async def open_encoders(settings: Settings) -> EncoderEngine:
    """The engine that `settings.encoders` names; only its libraries are imported."""
    if settings.encoders == "onnx":
        from triptych_server.engines.encoders.onnx import OnnxEngine

        onnx = OnnxEngine(
            settings.repository, threads=settings.threads, queue_rows=settings.queue_rows
        )
        await onnx.load()
        return onnx
    from triptych_server.engines.encoders.triton import TritonEngine

    return TritonEngine(settings.encoders.removeprefix("triton://"), queue_rows=settings.queue_rows)


async def open_generators(settings: Settings, resources: AsyncExitStack) -> list[Generator]:
    """Every generator that there is; `resources` will close them."""
    folders = generator_folders(settings)
    if not folders:
        return []
    from triptych_server.engines.generators.onnx import OnnxGenerator

    generators: list[Generator] = []
    for folder in folders:
        generator = OnnxGenerator(
            folder,
            threads=settings.threads,
            queue=settings.generator_queue,
            cache_bytes=settings.generator_cache_bytes,
        )
        resources.push_async_callback(generator.close)
        await generator.load()
        generators.append(generator)
    return generators


def generator_folders(settings: Settings) -> list[Path]:
    """The folders of a directory that was given, or of one beside the repository if it is there;
    of a remote repository, beside the assets. Raises `ValueError` if a given one is none."""
    repository = (settings.assets or settings.repository).absolute()
    directory = settings.generators or repository.parent / "generators"
    if directory.is_dir():
        return sorted(path.parent for path in directory.glob(f"*/{SPEC_FILE}"))
    if settings.generators is not None:
        raise ValueError(f"the generators {directory} are no directory")
    return []


def catalog_of(
    settings: Settings, engine: EncoderEngine, generators: Sequence[Generator]
) -> ModelCatalog:
    """The models of these engines; empty until it is refreshed."""
    return ModelCatalog(
        engine,
        settings.assets or settings.repository,
        generators=generators,
        defaults={
            Task.EMBED: settings.default_model,
            Task.VISION_LANGUAGE: settings.default_vision_language_model,
            Task.MATCH: settings.default_matcher,
        },
    )
