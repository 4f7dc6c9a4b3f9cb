"""Opens the engines that the settings name, and imports no other."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from triptych_server.capabilities.models import ModelCatalog
from triptych_server.capabilities.tasks import Task
from triptych_server.engines.encoders import EncoderEngine
from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.spec import SPEC_FILE
from triptych_server.fleet import Fleet
from triptych_server.settings import Settings


async def open_encoders(settings: Settings) -> EncoderEngine:
    """The engine that `settings.encoders` names; only its libraries are imported. Raises
    `ValueError`."""
    if settings.assets is not None and not settings.assets.is_dir():
        raise ValueError(f"the assets {settings.assets} are no directory")
    if settings.encoders == "onnx":
        from triptych_server.engines.encoders.onnx import OnnxEngine

        onnx = OnnxEngine(
            settings.repository, threads=settings.threads, queue_rows=settings.queue_rows
        )
        await onnx.load()
        return onnx
    from triptych_server.engines.encoders.triton import TritonEngine

    return TritonEngine(settings.encoders.removeprefix("triton://"), queue_rows=settings.queue_rows)


async def open_generators(
    settings: Settings,
    resources: AsyncExitStack,
    open_folder: Callable[[Path], Awaitable[Generator]] | None = None,
) -> Fleet:
    """Every generator that there is; `resources` will close them. Raises `ValueError`.

    `open_folder` opens those in process, by default to compute.
    """
    folders = generator_folders(settings)
    fleet = Fleet(settings, generators_directory(settings), folders, open_folder)
    resources.push_async_callback(fleet.close)
    await fleet.load()
    return fleet


def generator_folders(settings: Settings) -> list[Path]:
    """The folders of the directory of generators. Raises `ValueError`."""
    directory = generators_directory(settings)
    if directory is None:
        return []
    return sorted(path.parent for path in directory.glob(f"*/{SPEC_FILE}"))


def generators_directory(settings: Settings) -> Path | None:
    """The directory of generators that was given, or the one beside the repository if it is there;
    of a remote repository, beside the assets. Raises `ValueError` if a given one is none."""
    return _given_or_beside(settings, settings.generators, "generators")


def pools_directory(settings: Settings) -> Path | None:
    """The same for seed pools."""
    return _given_or_beside(settings, settings.pools, "seed_pools")


def _given_or_beside(settings: Settings, given: Path | None, name: str) -> Path | None:
    repository = (settings.assets or settings.repository).absolute()
    directory = given or repository.parent / name
    if directory.is_dir():
        return directory
    if given is not None:
        raise ValueError(f"the {name.replace('_', ' ')} {directory} are no directory")
    return None


def catalog_of(
    settings: Settings,
    engine: EncoderEngine,
    generators: Collection[Generator],
    silent: Callable[[], Mapping[str, str]] = dict,
) -> ModelCatalog:
    """The models of these engines and generators, as `ModelCatalog` takes them; empty until it is
    refreshed."""
    return ModelCatalog(
        engine,
        settings.assets or settings.repository,
        generators=generators,
        silent=silent,
        defaults={
            Task.EMBED: settings.default_model,
            Task.VISION_LANGUAGE: settings.default_vision_language_model,
            Task.MATCH: settings.default_matcher,
            Task.PROPOSE: settings.default_proposer,
        },
    )
