"""A real encoder engine whose work is seen and can be held back."""

import asyncio
from dataclasses import dataclass

from triptych_server import deadline
from triptych_server.engines.encoders import EncoderEngine, EncoderSpec, Inference, Tensors
from triptych_server.errors import ResourceExhausted


@dataclass(frozen=True)
class Run:
    """What an engine computed: `rows` of one request in a batch of `batch_size`."""

    encoder: str
    rows: int
    batch_size: int


class WatchedEngine:
    """An `EncoderEngine`: another one, and what is asked of it.

    Requests wait while `gate` is closed; `asked` is released by each that comes.
    """

    def __init__(self, engine: EncoderEngine) -> None:
        self._engine = engine
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Semaphore(0)
        self.runs: list[Run] = []
        self.most_rows = 0
        self.refused = 0
        self.given_up = 0
        self.deadlines: list[float | None] = []
        self._rows = 0

    async def infer(self, encoder: str, inputs: Tensors) -> Inference:
        rows = len(next(iter(inputs.values())))
        self.deadlines.append(deadline.remaining())
        self._rows += rows
        self.most_rows = max(self.most_rows, self._rows)
        self.asked.release()
        try:
            await self.gate.wait()
            inference = await self._engine.infer(encoder, inputs)
        except ResourceExhausted:
            self.refused += 1
            raise
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self._rows -= rows
        self.runs.append(Run(encoder, rows, inference.batch_size))
        return inference

    async def spec(self, encoder: str) -> EncoderSpec:
        return await self._engine.spec(encoder)

    async def ready(self, encoder: str) -> None:
        await self._engine.ready(encoder)

    async def encoders(self) -> list[str]:
        return await self._engine.encoders()

    async def close(self) -> None:
        await self._engine.close()

    async def wait_for(self, requests: int) -> None:
        """Until so many requests more have come."""
        async with asyncio.timeout(60):
            for _ in range(requests):
                await self.asked.acquire()

    def rows(self, encoder: str) -> int:
        """Rows that an encoder computed."""
        return sum(run.rows for run in self.runs if run.encoder == encoder)
