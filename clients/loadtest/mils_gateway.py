"""A gateway in a process of its own that counts the rows of what its engines compute.

`python mils_gateway.py SETTINGS` takes them as JSON, prints its target, and then, for each line
that it reads, what was computed since the last one, as JSON.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from triptych_server.app import Gateway
from triptych_server.engines.encoders import Inference, Role, Tensors
from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.generators.running_batch import RunningBatch
from triptych_server.settings import Settings


@dataclass(slots=True)
class Counts:
    """Rows of the text encoder and of the generators, and the batches that they were in."""

    text_rows: int = 0
    text_batches: float = 0.0
    generator_rows: int = 0
    generator_steps: int = 0


def count(counts: Counts) -> None:
    """Let engines count from now on."""
    infer, step = OnnxEngine.infer, RunningBatch.step

    async def counted_infer(self: OnnxEngine, encoder: str, inputs: Tensors) -> Inference:
        inference = await infer(self, encoder, inputs)
        if (await self.spec(encoder)).role is Role.TEXT:
            rows = len(next(iter(inputs.values())))
            counts.text_rows += rows
            counts.text_batches += rows / inference.batch_size
        return inference

    def counted_step(self: RunningBatch) -> None:
        if len(self):
            counts.generator_rows += len(self)
            counts.generator_steps += 1
        step(self)

    OnnxEngine.infer = counted_infer  # type: ignore[method-assign]
    RunningBatch.step = counted_step  # type: ignore[method-assign]


async def main(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    counts = Counts()
    count(counts)
    gateway = await Gateway.start(Settings(port=0, **settings))
    print(f"127.0.0.1:{gateway.port}", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(asdict(counts)), flush=True)
        counts.__init__()  # type: ignore[misc]
    await gateway.stop()


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
