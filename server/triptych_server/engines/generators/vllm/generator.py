"""The remote generator: a model that one or more vLLMs serve, through their OpenAI-compatible API.

vLLM batches. This generator translates prompts, samplings and answers, checks what vLLM trusts, and
spreads requests over the servers (`endpoints`). How prompts reach the model is told by the
entry's style: `prompt_embeds`, `image_embeds`, `chat`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from triptych_server.engines.generators.embedding import EmbeddingTable
from triptych_server.engines.generators.protocol import Delta, Prompt, Sampling, Scores
from triptych_server.engines.generators.spec import GeneratorSpec, SpecError
from triptych_server.engines.generators.vllm.calls import Dialect, check_served
from triptych_server.engines.generators.vllm.chat import Chat
from triptych_server.engines.generators.vllm.entry import RemoteModel, Style
from triptych_server.engines.generators.vllm.errors import (
    RejectedError,
    queue_full,
    reading,
    stopped,
    unavailable,
)
from triptych_server.engines.generators.vllm.folder import Folder
from triptych_server.engines.generators.vllm.image_embeds import ImageEmbeds
from triptych_server.engines.generators.vllm.prompt_embeds import PromptEmbeds
from triptych_server.engines.generators.vllm.server import Server
from triptych_server.engines.generators.vllm.texts import Texts, copies
from triptych_server.engines.generators.vllm.trial import embeddings_trial
from triptych_server.errors import Unavailable

_log = logging.getLogger(__name__)


class VllmGenerator:
    """A `Generator` on the servers of `entry`; create it on the event loop that uses it.

    `generators` is the folder of generators, in which those of the embeds styles have theirs;
    `queue` requests may be outstanding. Serves after `load`, whenever a server answers.

    Costs tell the time since a request was sent, and neither queue nor batch, which vLLM keeps to
    itself. Under a `structure` log-probabilities are those among the tokens that it allows.
    """

    def __init__(self, entry: RemoteModel, *, generators: Path | None, queue: int) -> None:
        self._entry = entry
        self._generators = generators
        self._queue = queue
        self._outstanding = 0
        self._server = Server(entry)
        self._dialect: Dialect | None = None
        self._unavailable = Unavailable(f"{self.name} is not loaded", reason="GENERATOR_NOT_LOADED")

    async def load(self) -> None:
        """Read the files that the style needs.

        What cannot be read is logged, and said by whatever is asked of the generator.
        """
        try:
            self._dialect = await asyncio.to_thread(self._read)
        except (OSError, ValueError) as error:
            fault = str(error) if isinstance(error, SpecError) else f"{self.name}: {error}"
            _log.error("generator not loaded: %s", fault)
            self._unavailable = Unavailable(fault, reason="GENERATOR_NOT_LOADED")

    @property
    def name(self) -> str:
        return self._entry.name

    async def spec(self) -> GeneratorSpec:
        return await self._serving().spec()

    async def ready(self) -> None:
        self._serving()
        await self._server.ready()

    def check_room(self) -> None:
        self._serving()
        if self._outstanding >= self._queue:
            raise queue_full(self.name, self._outstanding)

    async def count(self, prompt: Prompt) -> int:
        return await self._serving().count(prompt)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        with self._room() as dialect:
            await self._server.known()
            check_served(await dialect.spec(), sampling)
            call = await dialect.call(prompt, sampling)
            texts = Texts(call.readers, prompt_tokens=call.prompt_tokens, check=call.check)
            try:
                async with aclosing(self._server.endpoints.stream(call.path, call.body)) as chunks:
                    async for chunk in chunks:
                        with reading(self.name):
                            deltas = list(texts.take(chunk))
                        for delta in deltas:
                            for copy in copies(delta, sampling.n // len(call.readers)):
                                yield copy
                        if texts.cut_short:
                            return
            except RejectedError as error:
                raise error.as_triptych("structure" if sampling.structure else "prompt") from None
            except Unavailable:
                if not texts.finished:
                    raise
            if not texts.finished:
                raise unavailable(self.name, ["vLLM ended its answer before the texts"])

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> Scores:
        with self._room() as dialect:
            try:
                return await dialect.score(prompt, continuations)
            except RejectedError as error:
                raise error.as_triptych("prompt") from None

    async def close(self) -> None:
        self._dialect, self._unavailable = None, stopped()
        await self._server.endpoints.close()

    @contextmanager
    def _room(self) -> Iterator[Dialect]:
        dialect = self._serving()
        self.check_room()
        self._outstanding += 1
        try:
            yield dialect
        finally:
            self._outstanding -= 1

    def _serving(self) -> Dialect:
        if self._dialect is None:
            raise self._unavailable
        return self._dialect

    def _read(self) -> Dialect:
        if self._entry.style is Style.CHAT:
            return Chat(self._entry, self._server)
        if self._generators is None:
            raise SpecError(f"{self.name}: the style {self._entry.style} needs its folder")
        path = self._generators / self.name
        folder = Folder(path, self._server)
        if self._entry.style is Style.IMAGE_EMBEDS:
            return ImageEmbeds(folder, self._server)
        self._server.trial = embeddings_trial(folder.spec, self._server.model)
        return PromptEmbeds(folder, EmbeddingTable(path, folder.spec), self._server)
