"""What batching gains where texts are generated, through RPCs on this machine.

Throughput: tokens a second of 32 concurrent Captions against one at a time, greedy, 30 forced
tokens each. Latency: the median of short Answers while a forced text of 400 tokens is generated,
against an idle gateway. The two sides of a measurement alternate, and medians of the runs are
compared, since machines are noisy. Models: the shipped miniature, and a decoder of OPT-125M's
size with random weights behind small encoders. The report is also written to
build/bench/generation.json.
"""

import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from grpc import aio
from parts import part_of
from rich.console import Console
from rich.table import Table

from triptych.v1 import media_pb2
from triptych.v1 import vision_language_pb2 as pb
from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceStub
from triptych_export.pipeline import export_blip2
from triptych_export.random_blip2 import BLIP2_OPT_125M, TINY_BLIP2
from triptych_export.random_checkpoint import write_random_checkpoint
from triptych_server.engines.encoders.spec import Role
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

if TYPE_CHECKING:  # the stubs have it for type checkers alone
    from triptych.v1.vision_language_pb2_grpc import VisionLanguageServiceAsyncStub as Stub

BUILD = Path("build/bench")
OPT_125M = "blip2-opt-125m"
CALLERS, CAPTION_TOKENS = 32, 30
LONG_TOKENS, ANSWER_TOKENS, ANSWERS = 400, 4, 20
SIDE = 64
console = Console()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides of a measurement: the runs of each, and the ratio of their medians."""

    before: list[float]
    after: list[float]
    ratio: float

    @classmethod
    def of(cls, before: list[float], after: list[float]) -> "Comparison":
        return cls(before, after, statistics.median(after) / statistics.median(before))


def main(
    runs: Annotated[int, typer.Option(min=1, help="Alternated runs of each side.")] = 5,
) -> None:
    """Measure both models and print the figures."""
    report: dict[str, object] = {"cores": len(os.sched_getaffinity(0))}
    repositories = {"miniature": SHIPPED_REPOSITORY, OPT_125M: full_size_decoder()}
    for name, repository in repositories.items():
        flags = ("--repository", repository, "--data", BUILD / "data")
        with (
            console.status(name),
            GatewayProcess(*flags, log=BUILD / "gateway.log") as process,
        ):
            throughput, latency = asyncio.run(measure(process.target, runs))
        report[name] = {"tokens_per_second": asdict(throughput), "answer_ms": asdict(latency)}
        show(f"{name}: tokens/s of Captions", "one caller", f"{CALLERS} callers", throughput)
        show(f"{name}: ms of a short Answer", "idle", "beside a long text", latency)
    path = BUILD / "generation.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"report: {path}")


def full_size_decoder() -> Path:
    """The repository of a BLIP-2 of which the language model alone has full size; made once."""
    folder = BUILD / OPT_125M
    if not folder.exists():
        size = replace(
            TINY_BLIP2,
            queries=BLIP2_OPT_125M.queries,
            text_width=BLIP2_OPT_125M.text_width,
            text_layers=BLIP2_OPT_125M.text_layers,
            text_heads=BLIP2_OPT_125M.text_heads,
            text_vocabulary=BLIP2_OPT_125M.text_vocabulary,
            text_context=BLIP2_OPT_125M.text_context,
        )
        with (
            console.status("making and exporting a checkpoint with a full-size decoder"),
            part_of(folder) as part,
        ):
            write_random_checkpoint(OPT_125M, part / "checkpoint", size=size)
            export_blip2(
                part / "checkpoint",
                part / "model_repository",
                generators=part / "generators",
                graphs=[Role.IMAGE_PREFIX],
                name=OPT_125M,
            )
    return folder / "model_repository"


async def measure(target: str, runs: int) -> tuple[Comparison, Comparison]:
    """Tokens a second of one caller and of many; milliseconds of an Answer, idle and busy."""
    one, many, idle, busy = [], [], [], []
    async with aio.insecure_channel(target) as channel:
        stub: Stub = VisionLanguageServiceStub(channel)
        await tokens_per_second(stub, CALLERS, captions=1)
        for _ in range(runs):
            one.append(await tokens_per_second(stub, 1, captions=6))
            many.append(await tokens_per_second(stub, CALLERS, captions=3))
            idle.append(await idle_latency(stub))
            busy.append(await busy_latency(stub))
    return Comparison.of(one, many), Comparison.of(idle, busy)


async def tokens_per_second(stub: "Stub", callers: int, *, captions: int) -> float:
    """Generated tokens a second, each caller asking for one caption after the other."""
    request = pb.CaptionRequest(images=[picture()], generation=forced(CAPTION_TOKENS))

    async def call() -> None:
        for _ in range(captions):
            response = await stub.Caption(request)
            assert response.usage.completion_tokens == CAPTION_TOKENS, response

    start = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return callers * captions * CAPTION_TOKENS / (time.perf_counter() - start)


async def idle_latency(stub: "Stub") -> float:
    """Median milliseconds of Answers, one after the other."""
    return statistics.median([await answer_ms(stub) for _ in range(ANSWERS)])


async def busy_latency(stub: "Stub") -> float:
    """The same while a long text is generated; as many as one such text has time for, at least."""
    latencies: list[float] = []
    while len(latencies) < ANSWERS:
        responses = aiter(stub.Chat(long_chat()))
        await anext(responses)
        end = asyncio.create_task(read_to_end(responses))
        while not end.done():
            latency = await answer_ms(stub)
            if not end.done():
                latencies.append(latency)
        assert await end == LONG_TOKENS
    return statistics.median(latencies)


async def answer_ms(stub: "Stub") -> float:
    """Milliseconds of one short Answer."""
    generation = forced(ANSWER_TOKENS)
    request = pb.AnswerRequest(image=picture(), question="what is it?", generation=generation)
    start = time.perf_counter()
    await stub.Answer(request)
    return (time.perf_counter() - start) * 1000


async def read_to_end(responses: AsyncIterator[pb.ChatResponse]) -> int:
    """Tokens of a streamed text, once it has ended."""
    tokens = 0
    async for response in responses:
        tokens = response.end.usage.completion_tokens
    return tokens


def long_chat() -> pb.ChatRequest:
    """A question with a long answer."""
    contents = [
        media_pb2.Content(image=picture()),
        media_pb2.Content(text="what is in the picture?"),
    ]
    message = pb.ChatMessage(role=pb.CHAT_ROLE_USER, contents=contents)
    return pb.ChatRequest(messages=[message], generation=forced(LONG_TOKENS))


def forced(tokens: int) -> pb.Generation:
    """Greedily, exactly so many tokens."""
    return pb.Generation(min_tokens=tokens, max_tokens=tokens)


def picture() -> media_pb2.Image:
    """Noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    raw = media_pb2.RawImage(height=SIDE, width=SIDE, data=pixels.tobytes())
    return media_pb2.Image(raw=raw)


def show(title: str, before: str, after: str, comparison: Comparison) -> None:
    """Print both sides of a measurement, which are called `before` and `after`."""
    table = Table("", "median", "least", "most", title=f"{title}: ratio {comparison.ratio:.2f}")
    for name, values in ((before, comparison.before), (after, comparison.after)):
        figures = (statistics.median(values), min(values), max(values))
        table.add_row(name, *(f"{figure:.1f}" for figure in figures))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
