"""The in-process generator: a decoder on ONNX Runtime, batched over requests."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_server.engines.generators.beam_batch import BeamRequest
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.prompts import (
    PromptEncoder,
    PromptTokenizer,
    check_length,
    continuation_ids,
    soon,
)
from triptych_server.engines.generators.protocol import Delta, Prompt, Sampling, Scores
from triptych_server.engines.generators.samples import SampleRequest
from triptych_server.engines.generators.scoring import ScoreRequest
from triptych_server.engines.generators.spec import (
    NETWORK_FILE,
    FolderSpec,
    SpecError,
    asset_path,
    read_spec,
)
from triptych_server.engines.generators.text import GeneratorTokenizer
from triptych_server.engines.generators.worker import Worker, stopped
from triptych_server.errors import FailedPrecondition, TriptychError, Unavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """A generator that can serve."""

    decoder: Decoder
    tokenizer: GeneratorTokenizer
    prompts: PromptTokenizer
    encoder: PromptEncoder
    worker: Worker


class OnnxGenerator:
    """A `Generator` in this process, from a folder among the generators.

    `threads` compute a step; `queue` requests may wait; keys and values of all running texts take
    at most `cache_bytes`. Serves after `load`, on the event loop that called it.
    """

    def __init__(self, folder: Path, *, threads: int, queue: int, cache_bytes: int) -> None:
        self._folder = folder
        self._threads = threads
        self._queue = queue
        self._cache_bytes = cache_bytes
        self._spec: FolderSpec | None = None
        self._network: _Network | None = None
        self._unavailable = Unavailable(f"{self.name} is not loaded", reason="GENERATOR_NOT_LOADED")

    async def load(self) -> None:
        """Read the folder and load its network.

        What cannot be loaded is logged, and said by whatever is asked of the generator.
        """
        try:
            self._spec = await asyncio.to_thread(read_spec, self._folder)
            decoder, tokenizer = await asyncio.to_thread(self._read, self._spec)
        except Exception as error:  # ONNX Runtime has no base class of its own
            fault = str(error) if isinstance(error, SpecError) else f"{self.name}: {error}"
            _log.error("generator not loaded: %s", fault)
            self._unavailable = Unavailable(fault, reason="GENERATOR_NOT_LOADED")
            return
        tokens = self._cache_bytes // decoder.bytes_per_token
        worker = Worker(self.name, decoder, queue=self._queue, cache_tokens=tokens)
        prompts = PromptTokenizer(self._spec, tokenizer)
        encoder = PromptEncoder(prompts, decoder.embed)
        self._network = _Network(decoder, tokenizer, prompts, encoder, worker)

    @property
    def name(self) -> str:
        return self._folder.name

    async def spec(self) -> FolderSpec:
        if self._spec is None:
            raise self._unavailable
        return self._spec

    async def ready(self) -> None:
        self._serving()

    def check_room(self) -> None:
        self._serving().worker.check_room()

    async def count(self, prompt: Prompt) -> int:
        return await soon(self._serving().prompts.count, prompt)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        network, spec = self._serving(), await self.spec()
        if sampling.beams > 1 and not spec.beams:
            raise FailedPrecondition(f"{self.name} has no beam search", reason="NO_BEAMS")
        if sampling.structure:
            raise FailedPrecondition(f"{self.name} writes free texts alone", reason="NO_STRUCTURE")
        encoded = await soon(network.encoder.encode, prompt)
        check_length(spec, len(encoded), sampling.max_tokens, "prompt")
        kind = BeamRequest if sampling.beams > 1 else SampleRequest
        request = kind(encoded, sampling, spec, network.tokenizer)
        network.worker.submit(request)
        try:
            while True:
                event = await request.events.get()
                if isinstance(event, TriptychError):
                    raise event
                assert isinstance(event, Delta)
                yield event
                if event.cost:
                    return
        finally:
            network.worker.cancel(request)

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        network, spec = self._serving(), await self.spec()
        if not spec.scoring:
            raise FailedPrecondition(f"{self.name} scores no texts", reason="NO_SCORING")
        encoded = await soon(network.encoder.encode, prompt)
        ids = await asyncio.to_thread(continuation_ids, continuations, network.tokenizer, spec)
        for index, each in enumerate(ids):
            check_length(spec, len(encoded), len(each), f"continuations[{index}]")
        request = ScoreRequest(encoded, ids)
        network.worker.submit(request)
        try:
            event = await request.events.get()
        finally:
            network.worker.cancel(request)
        if isinstance(event, TriptychError):
            raise event
        assert isinstance(event, Scores)
        return event

    async def close(self) -> None:
        network, self._network = self._network, None
        self._unavailable = stopped()
        if network:
            await network.worker.close()

    def _serving(self) -> _Network:
        if self._network is None:
            raise self._unavailable
        if self._network.worker.closed:
            raise stopped()
        return self._network

    def _read(self, spec: FolderSpec) -> tuple[Decoder, GeneratorTokenizer]:
        tokenizer = GeneratorTokenizer.read(asset_path(self._folder, spec.tokenizer))
        if not (self._folder / NETWORK_FILE).is_file():
            raise SpecError(
                f"{self.name}: {NETWORK_FILE} is missing, so it cannot run in process; if a vLLM "
                f"serves it: triptych serve --generator http://HOST:8000"
            )
        return Decoder(self._folder, spec, threads=self._threads), tokenizer
