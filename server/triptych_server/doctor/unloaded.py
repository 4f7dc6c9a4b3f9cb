"""Engines that describe their models as those in process would, without loading a network."""

from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np

from triptych_server.engines.encoders.parameters import ConfigError
from triptych_server.engines.encoders.protocol import Inference, Tensors
from triptych_server.engines.encoders.repository import RepositoryEntry, read_repository
from triptych_server.engines.encoders.spec import EncoderSpec
from triptych_server.engines.generators.protocol import Delta, Prompt, Sampling, Scores
from triptych_server.engines.generators.spec import (
    NETWORK_FILE,
    FolderSpec,
    SpecError,
    asset_path,
    read_spec,
)
from triptych_server.errors import NotFound, Unavailable

NEEDS_TRITON = "ENCODER_NEEDS_TRITON"


class UnloadedEncoders:
    """An `EncoderEngine` that is ready where the files of an encoder are whole."""

    def __init__(self, repository: Path) -> None:
        """Raises `ValueError` when there is no such directory."""
        if not repository.is_dir():
            raise ValueError(f"the model repository {repository} is no directory")
        self._entries = dict(read_repository(repository))

    @property
    def size(self) -> int:
        """Bytes of all networks."""
        entries = (e for e in self._entries.values() if isinstance(e, RepositoryEntry))
        files = (file for entry in entries for file in entry.network.parent.glob("*"))
        return sum(file.stat().st_size for file in files if file.is_file())

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        raise _computes_nothing(encoder)

    async def spec(self, encoder: str) -> EncoderSpec:
        return self._entry(encoder).spec

    async def ready(self, encoder: str) -> None:
        entry = self._entry(encoder)
        platform, backend = entry.config.platform, entry.config.backend
        if platform not in ("", "onnxruntime_onnx") or backend not in ("", "onnxruntime"):
            kind = platform or backend
            raise Unavailable(f"{encoder}: only a Triton runs {kind}", reason=NEEDS_TRITON)
        if not entry.network.is_file() or not entry.network.stat().st_size:
            file = "/".join(entry.network.parts[-2:])
            raise Unavailable(f"{encoder}: {file} is missing or empty", reason="ENCODER_NOT_LOADED")

    async def encoders(self) -> list[str]:
        return sorted(self._entries)

    async def close(self) -> None:
        pass

    def _entry(self, encoder: str) -> RepositoryEntry:
        entry = self._entries.get(encoder)
        if entry is None:
            raise NotFound(f"the repository has no encoder {encoder!r}", reason="ENCODER_NOT_FOUND")
        if isinstance(entry, ConfigError):
            raise Unavailable(str(entry), reason="ENCODER_NOT_LOADED")
        return entry


class UnloadedGenerator:
    """A `Generator` that is ready where its folder is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def size(self) -> int:
        """Bytes of the network."""
        return sum(file.stat().st_size for file in self._folder.glob(f"{NETWORK_FILE}*"))

    async def spec(self) -> FolderSpec:
        try:
            return read_spec(self._folder)
        except SpecError as error:
            raise Unavailable(str(error), reason="GENERATOR_NOT_LOADED") from None

    async def ready(self) -> None:
        spec = await self.spec()
        try:
            asset_path(self._folder, spec.tokenizer)
            table = np.load(asset_path(self._folder, spec.embedding), mmap_mode="r")
        except (ValueError, OSError) as error:
            raise Unavailable(str(error), reason="GENERATOR_NOT_LOADED") from None
        fault = ""
        if table.shape != (spec.vocabulary, spec.hidden_size):
            fault = f"{spec.embedding.file} is no table of {spec.vocabulary} x {spec.hidden_size}"
        elif not (self._folder / NETWORK_FILE).is_file():
            fault = f"{NETWORK_FILE} is missing"
        if fault:
            raise Unavailable(f"{self.name}: {fault}", reason="GENERATOR_NOT_LOADED")

    def check_room(self) -> None:
        pass

    async def count(self, prompt: Prompt) -> int:
        raise _computes_nothing(self.name)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        raise _computes_nothing(self.name)
        yield  # which makes it a generator

    async def score(self, prompt: Prompt, continuations: object) -> Scores:
        raise _computes_nothing(self.name)

    async def close(self) -> None:
        pass


def _computes_nothing(name: str) -> Unavailable:
    return Unavailable(f"{name} was not loaded, only looked at", reason="NOT_LOADED")
