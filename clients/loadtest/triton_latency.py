"""What the gateway adds to the latency of a Triton, on this machine.

One caller, with tritonclient and through Embed, and the same tensors: a raw picture of exactly the
encoder's size, which the gateway passes on as it is, and a text, which the gateway tokenises and
Triton is given as tokens. A minimal server in front of Triton shows what the second hop costs by
itself. All alternate, and what a server adds is the median difference between its calls and those
made directly about the same time, since machines are noisy. `make bench-engines` runs it; the
report is also written to build/bench/triton-latency.json.
"""

import asyncio
import json
import os
import statistics
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from baseline import TEXT, entry_of
from bench import BUILD, CORES, FULL_SIZE, full_size_repository, minimal
from google.protobuf.duration_pb2 import Duration
from grpc import aio
from load import latencies, raw_picture
from rich.console import Console
from rich.table import Table
from triton_inputs import one_row, triton_inputs
from triton_stage import gateway_on
from tritonclient.grpc.aio import InferenceServerClient
from tritonserver import TritonServer

from triptych.v1 import embedding_pb2, media_pb2
from triptych.v1.embedding_pb2_grpc import EmbeddingServiceStub
from triptych_server.engines.encoders.spec import FEATURES, EncoderSpec, Role
from triptych_server.settings import SHIPPED_REPOSITORY
from triptych_server.wakeup import bounded_wakeup

INPUTS = {"raw picture": Role.IMAGE, "text": Role.TEXT}
ROUNDS = 20  # in which the ways alternate
SAME = 1e-5  # largest difference between the features of two ways
console = Console()


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds of calls in each way, and what the gateway told of those through it."""

    direct: list[float] = field(default_factory=list)
    minimal: list[float] = field(default_factory=list)
    gateway: list[float] = field(default_factory=list)
    timings: list[media_pb2.Timing] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """Milliseconds of each way, and what two of them add to the first; in the gateway's
        process, of decoding or tokenising, and of all that it does itself."""
        times = {"direct": self.direct, "minimal": self.minimal, "gateway": self.gateway}
        for name in ("minimal", "gateway"):
            pairs = zip(times[name], self.direct, strict=True)
            times[f"{name}_adds"] = [through - direct for through, direct in pairs]
        times["preprocess"] = [seconds(t.preprocess) for t in self.timings]
        times["own"] = [seconds(t.total) - seconds(t.queue, t.inference) for t in self.timings]
        return {name: statistics.median(each) * 1000 for name, each in times.items()}


def main(
    calls: Annotated[int, typer.Option(min=ROUNDS, help="Calls of each way.")] = 1000,
) -> None:
    """Measure the miniature, and a full-size ViT-B/32 with a tenth of the calls."""
    models = {
        "miniature": (SHIPPED_REPOSITORY, calls),
        FULL_SIZE: (full_size_repository(), max(calls // 10, ROUNDS)),
    }
    report: dict[str, Any] = {"cores": len(os.sched_getaffinity(0))}
    for name, (repository, each) in models.items():
        report[name] = latency(repository, each)
        show(name, report[name])
    path = BUILD / "triton-latency.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"report: {path}")


def show(model: str, report: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the latency of Triton, and what servers in front of it add."""
    columns = ("cores", "Triton", "gateway adds", "of that, preprocessing", "minimal adds")
    table = Table("input", *columns, title=f"{model}: median ms of one caller")
    for cores, inputs in report.items():
        for kind, ways in inputs.items():
            direct, preprocess = (f"{ways[key]:.2f}" for key in ("direct", "preprocess"))
            gateway, least = (f"{ways[key]:+.2f}" for key in ("gateway_adds", "minimal_adds"))
            table.add_row(kind, cores, direct, gateway, preprocess, least)
    console.print(table)


def latency(repository: Path, calls: int) -> dict[str, dict[str, dict[str, float]]]:
    """Medians of each input, with the cores as they are and kept awake."""
    report: dict[str, dict[str, dict[str, float]]] = {}
    with (
        TritonServer(repository) as triton,
        minimal("triton_minimal.py", repository, triton.grpc) as least,
        gateway_on(triton.grpc, assets=repository) as gateway,
    ):
        targets = (triton.grpc, least, gateway.target)
        for cores, microseconds in CORES.items():
            report[cores] = {}
            for kind, role in INPUTS.items():
                spec = entry_of(repository, role).spec
                every = measure(*targets, repository, spec, calls)
                with bounded_wakeup(microseconds), console.status(f"{spec.name}, cores {cores}"):
                    report[cores][kind] = asyncio.run(every).medians()
    return report


async def measure(
    triton: str, least: str, gateway: str, repository: Path, spec: EncoderSpec, calls: int
) -> Latencies:
    """Call an encoder in every way, alternated."""
    every = Latencies()
    inputs = triton_inputs(one_row(repository, spec))
    request = embedding_pb2.EmbedRequest(model=spec.model, contents=[content(spec)])

    async def through(stub: Any) -> Any:
        response = await stub.Embed(request)
        if response.HasField("timing"):
            every.timings.append(response.timing)
        return np.frombuffer(response.results[0].embedding.vector.data, "<f4")

    async with (
        InferenceServerClient(triton) as client,
        aio.insecure_channel(least) as to_least,
        aio.insecure_channel(gateway) as to_gateway,
    ):

        async def directly() -> Any:
            return (await client.infer(spec.name, inputs)).as_numpy(FEATURES)[0]

        ways = (
            (directly, every.direct),
            (partial(through, EmbeddingServiceStub(to_least)), every.minimal),
            (partial(through, EmbeddingServiceStub(to_gateway)), every.gateway),
        )
        expected = await directly()
        for call, _ in ways:
            assert np.abs(await call() - expected).max() < SAME
        for _ in range(ROUNDS):
            for call, times in ways:
                times.extend(await latencies(call, calls // ROUNDS))
    return every


def content(spec: EncoderSpec) -> media_pb2.Content:
    """What the gateway turns into the tensors of `one_row`."""
    if spec.image is None:
        return media_pb2.Content(text=TEXT)
    return raw_picture(spec.image.height, spec.image.width)


def seconds(*durations: Duration) -> float:
    """Their sum, as a number."""
    return sum(each.seconds + each.nanos / 1e9 for each in durations)


if __name__ == "__main__":
    typer.run(main)
