"""A gateway in this process whose engines are counted: the real ones, and what is asked of them."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from triptych_server import app, opening
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec, Inference, Tensors
from triptych_server.engines.generators.onnx import OnnxGenerator
from triptych_server.engines.generators.protocol import (
    Delta,
    Generator,
    Prompt,
    Sampling,
    Scores,
)
from triptych_server.engines.generators.spec import GeneratorSpec
from triptych_server.fleet import Fleet
from triptych_server.services.mils import MilsService
from triptych_server.settings import Settings

_servicer: ContextVar[asyncio.Task[Any] | None] = ContextVar("servicer", default=None)


class Calls:
    """What was asked of engines: `started` so often, `running` now. `late` began after their
    search was told to end, or had ended. `began` is called with the number of each; all wait for
    `holding`."""

    def __init__(self) -> None:
        self.started = 0
        self.running = 0
        self.late: list[str] = []
        self._rows: Counter[str] = Counter()
        self._batches: dict[str, float] = defaultdict(float)
        self.began: Callable[[int], None] = lambda _: None
        self.holding = asyncio.Event()
        self.holding.set()
        self.ended = asyncio.Condition()
        self.searches: list[asyncio.Task[Any]] = []

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]

    def computed(self, encoder: str, rows: int, batch_size: int) -> None:
        """Rows of one call, and those of the batch that they were computed in."""
        self._rows[encoder] += rows
        self._batches[encoder] += rows / batch_size

    def rows_of_a_batch(self, encoder: str) -> float:
        """The mean over its batches."""
        return self._rows[encoder] / self._batches[encoder]

    async def quiet(self) -> None:
        """Until no call runs."""
        async with asyncio.timeout(60), self.ended:
            await self.ended.wait_for(lambda: not self.running)

    @asynccontextmanager
    async def call(self, what: str) -> AsyncIterator[None]:
        """One call of an engine."""
        servicer = _servicer.get()
        if servicer and (servicer.cancelling() or servicer.done()):
            self.late.append(what)
        self.started += 1
        self.running += 1
        self.began(self.started)
        try:
            await self.holding.wait()
            yield
        finally:
            self.running -= 1
            async with self.ended:
                self.ended.notify_all()


class CountedEngine:
    """An `EncoderEngine`."""

    def __init__(self, engine: EncoderEngine, calls: Calls) -> None:
        self._engine = engine
        self._calls = calls

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        async with self._calls.call(encoder):
            inference = await self._engine.infer(encoder, inputs)
        rows = len(next(iter(inputs.values())))
        self._calls.computed(encoder, rows, inference.batch_size or rows)
        return inference

    async def spec(self, encoder: str) -> EncoderSpec:
        return await self._engine.spec(encoder)

    async def ready(self, encoder: str) -> None:
        await self._engine.ready(encoder)

    async def encoders(self) -> list[str]:
        return await self._engine.encoders()

    async def close(self) -> None:
        await self._engine.close()


class CountedGenerator:
    """A `Generator`."""

    def __init__(self, generator: Generator, calls: Calls) -> None:
        self._generator = generator
        self._calls = calls
        self.name = generator.name
        self.spec: Callable[[], Awaitable[GeneratorSpec]] = generator.spec
        self.ready, self.close = generator.ready, generator.close
        self.check_room, self.count = generator.check_room, generator.count

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        async with (
            self._calls.call(self.name),
            aclosing(self._generator.generate(prompt, sampling)) as deltas,
        ):
            async for delta in deltas:
                yield delta

    async def score(self, prompt: Prompt, continuations: list[str]) -> Scores:
        async with self._calls.call(self.name):
            return await self._generator.score(prompt, continuations)


@asynccontextmanager
async def counted_gateway(settings: Settings, calls: Calls) -> AsyncIterator[app.Gateway]:
    """A gateway of these settings, its generators in process."""

    async def encoders(settings: Settings) -> EncoderEngine:
        return CountedEngine(await opening.open_encoders(settings), calls)

    async def generators(settings: Settings, resources: AsyncExitStack) -> Fleet:
        async def opened(folder: Path) -> Generator:
            generator = OnnxGenerator(
                folder,
                threads=settings.threads,
                queue=settings.generator_queue,
                cache_bytes=settings.generator_cache_bytes,
            )
            await generator.load()
            return CountedGenerator(generator, calls)

        return await opening.open_generators(settings, resources, opened)

    class Servicer(MilsService):
        @override
        async def Solve(self, request: Any, context: Any) -> AsyncIterator[Any]:
            task = asyncio.current_task()
            assert task is not None
            _servicer.set(task)
            calls.searches.append(task)
            async with aclosing(super().Solve(request, context)) as responses:
                async for response in responses:
                    yield response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "open_encoders", encoders)
        patch.setattr(app, "open_generators", generators)
        patch.setattr(app, "MilsService", Servicer)
        gateway = await app.Gateway.start(settings)
    try:
        yield gateway
    finally:
        await gateway.stop()
