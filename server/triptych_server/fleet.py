"""The generators of a gateway: folders in process, and models on servers."""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from triptych_server.engines.generators.protocol import Generator
from triptych_server.engines.generators.vllm.entry import RemoteModel, Style
from triptych_server.errors import Unavailable
from triptych_server.remote_generators import MODEL_NAME, api_key
from triptych_server.settings import Settings

if TYPE_CHECKING:  # libraries that a gateway without servers does not load
    from triptych_server.engines.generators.vllm.served_models import ServedModels

# Seconds between two looks at what servers run: while they are silent, and else.
SILENT_S, PERIOD_S = 1.0, 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A generator, and the folder or the entry that it was opened from."""

    source: Path | RemoteModel
    generator: Generator


class Fleet(Collection[Generator]):
    """Every generator that the settings name; those that there are now, when it is iterated.

    A table of `remote_generators` is one. What the servers of `generator` run is found by asking
    them, again and again: a model that has a folder among `folders` continues its soft prefixes,
    any other is a chat model without pictures. The folders that are on no server run in process;
    which these are is not known before a server has answered.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path | None,
        folders: Sequence[Path],
        open_folder: Callable[[Path], Awaitable[Generator]] | None = None,
    ) -> None:
        """`directory` holds the folders; `open_folder` opens one in process, by default to compute.
        Raises `ValueError` for a key that the environment has not."""
        self._settings = settings
        self._open_folder = open_folder or self._load_folder
        self._directory = directory
        self._folders = {folder.name: folder for folder in folders}
        self._tables = {
            table.name: table.model(settings.generator, os.environ)
            for table in settings.remote_generators
        }
        self._key = api_key(settings.generator_api_key_env, os.environ)
        self._servers: ServedModels | None = None
        self._opened: dict[str, _Opened] = {}
        self._served: Sequence[str] = ()
        self._answered = False  # any server, until now
        self._silence = ""
        self._watch: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    async def load(self) -> None:
        """Open what is known, and begin to ask servers."""
        if not self._settings.generator:
            await self._open({**self._folders, **self._tables})
            return
        from triptych_server.engines.generators.vllm.served_models import ServedModels

        self._servers = ServedModels(self._settings.generator, self._key)
        await self._open(self._tables)
        await self.look()
        self._watch = asyncio.create_task(self._keep_looking())

    def __iter__(self) -> Iterator[Generator]:
        return iter([opened.generator for opened in self._opened.values()])

    def __len__(self) -> int:
        return len(self._opened)

    def __contains__(self, generator: object) -> bool:
        return any(opened.generator is generator for opened in self._opened.values())

    def silent(self) -> Mapping[str, str]:
        """The servers that have not said what they run, and why."""
        return {str(self._servers): self._silence} if self._silence else {}

    async def close(self) -> None:
        """End all generators."""
        if self._watch:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        if self._servers:
            await self._servers.close()
        await self._open({})

    async def look(self) -> None:
        """Open what the servers of `generator` run now. What they ran before is given up only
        when all have answered."""
        if self._servers is None:
            return
        async with self._looking:
            try:
                listing = await self._servers.ask()
            except Unavailable as error:
                if not self._answered:
                    if not self._silence:
                        _log.warning("%s; its models are found when it answers", error)
                    self._silence = error.message
                return
            kept = () if listing.complete else self._served
            served = list(dict.fromkeys((*listing.names, *kept)))
            if served != self._served:
                _log.info("%s: %s", self._servers, ", ".join(served) or "no models")
            await self._open({**self._folders, **self._found(served), **self._tables})
            self._served, self._answered, self._silence = served, True, ""

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S if self._answered else SILENT_S)
            try:
                await self.look()
            except Exception:  # whatever it is, it must not end the watch
                _log.exception("models of servers cannot be opened")

    def _found(self, served: Sequence[str]) -> dict[str, RemoteModel]:
        """Entries of the models that no table is about, by their names without a path."""
        urls = self._settings.generator
        shared = [table for table in self._tables.values() if table.urls == urls]
        told = {table.served_name or served[0] for table in shared if served}
        names = {name: name.rpartition("/")[2] for name in served if name not in told}
        names = {name: short for name, short in names.items() if re.fullmatch(MODEL_NAME, short)}
        return {
            name: RemoteModel(
                name=name,
                urls=urls,
                style=Style.PROMPT_EMBEDS if name in self._folders else Style.CHAT,
                served_name=served_name,
                api_key=self._key,
            )
            for served_name, name in names.items()
        }

    async def _open(self, wanted: Mapping[str, Path | RemoteModel]) -> None:
        """Open what is wanted, and close all else."""
        for name, opened in list(self._opened.items()):
            if wanted.get(name) != opened.source:
                del self._opened[name]
                await opened.generator.close()
        for name, source in wanted.items():
            if name not in self._opened:
                self._opened[name] = _Opened(source, await self._generator(source))

    async def _generator(self, source: Path | RemoteModel) -> Generator:
        """Only the libraries that it needs are imported."""
        if isinstance(source, Path):
            return await self._open_folder(source)
        from triptych_server.engines.generators.vllm.generator import VllmGenerator

        queue = self._settings.generator_queue
        vllm = VllmGenerator(source, generators=self._directory, queue=queue)
        await vllm.load()
        return vllm

    async def _load_folder(self, folder: Path) -> Generator:
        from triptych_server.engines.generators.onnx import OnnxGenerator

        settings = self._settings
        onnx = OnnxGenerator(
            folder,
            threads=settings.threads,
            queue=settings.generator_queue,
            cache_bytes=settings.generator_cache_bytes,
        )
        await onnx.load()
        return onnx
