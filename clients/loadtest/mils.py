"""What concurrent searches share: 32 Solves at once against the same 32 one after the other.

Wall time of both, through RPCs on this machine, and the mean rows of a batch of the text encoder
and of a step of the generator. Each run has a gateway of its own, so that no text is known from
another run; the two sides alternate, and medians are compared, since machines are noisy. Models:
the shipped miniatures. The report is also written to build/bench/mils.json.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import typer
from grpc import aio
from rich.console import Console
from rich.table import Table

from triptych.v1 import media_pb2
from triptych.v1 import mils_pb2 as pb
from triptych.v1.mils_pb2_grpc import MilsServiceStub
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.draw import draw
from triptych_export.miniworld.world import sample_scene

BUILD = Path("build/bench")
SEARCHES, STEPS, CANDIDATES, SEEDS = 32, 6, 16, 64
console = Console()


@dataclass(frozen=True, slots=True)
class Run:
    """One side of a measurement: seconds for all searches, mean rows of a batch of the text encoder
    and of a step of the generator, and texts that were scored."""

    seconds: float
    encoder_rows: float
    generator_rows: float
    evaluations: int


class Counted(Protocol):
    """A gateway, and who counts what its engines compute."""

    @property
    def target(self) -> str: ...

    def counts(self) -> Mapping[str, float]:
        """What was computed since the last time, as `mils_gateway.Counts` has it."""
        ...


class Counting:
    """A gateway that counts; see `mils_gateway`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask, self._answers = process.stdin, process.stdout
        self.target = self._answers.readline().strip()

    def counts(self) -> Mapping[str, float]:
        """`Counted.counts`."""
        print(file=self._ask, flush=True)
        counts: Mapping[str, float] = json.loads(self._answers.readline())
        return counts


def main(
    runs: Annotated[int, typer.Option(min=1, help="Alternated runs of each side.")] = 5,
    generators: Annotated[
        Path | None, typer.Option(help="Directory of generators; default: the shipped ones.")
    ] = None,
) -> None:
    """Measure and print the figures."""
    settings: dict[str, object] = {"services": "mils", "data": str(BUILD / "data")}
    if generators is not None:
        settings["generators"] = str(generators)
    compare(runs, lambda: gateway(settings), BUILD / "mils.json")


def compare(
    runs: int, opened: Callable[[], AbstractContextManager[Counted]], report_file: Path
) -> None:
    """Measure both sides, each time on a gateway that is newly `opened`; print and write it."""
    requests = searches()
    sides: dict[str, list[Run]] = {"one after the other": [], "at once": []}
    with console.status("searching"):
        for _ in range(runs):
            for side, found in sides.items():
                with opened() as counted:
                    found.append(asyncio.run(measure(counted, requests, side == "at once")))
    sequence, together = sides.values()
    ratio = median(together, "seconds") / median(sequence, "seconds")
    show(sides, ratio)
    report = {
        "cores": len(os.sched_getaffinity(0)),
        "searches": SEARCHES,
        "ratio": ratio,
        "runs": {side: [asdict(run) for run in found] for side, found in sides.items()},
    }
    BUILD.mkdir(parents=True, exist_ok=True)
    report_file.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"report: {report_file}")


def searches() -> list[pb.SolveRequest]:
    """Of different pictures, from captions of other ones."""
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, objects=2) for _ in range(SEARCHES + SEEDS)]
    seeds = list(dict.fromkeys(caption(scene, "en") for scene in scenes[SEARCHES:]))
    return [
        pb.SolveRequest(
            targets=[pb.Target(terms=[pb.TargetTerm(content=content(draw(scene, rng)))])],
            seeds=pb.Seeds(texts=seeds),
            proposal=pb.Proposal(candidates=CANDIDATES),
            limits=pb.Limits(max_steps=STEPS, patience=STEPS, max_evaluations=100_000),
            seed=seed,
        )
        for seed, scene in enumerate(scenes[:SEARCHES])
    ]


def content(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> media_pb2.Content:
    height, width, _ = pixels.shape
    image = media_pb2.RawImage(height=height, width=width, data=pixels.tobytes())
    return media_pb2.Content(image=media_pb2.Image(raw=image))


@contextmanager
def gateway(settings: Mapping[str, object]) -> Iterator[Counting]:
    """A gateway in a process of its own."""
    script = str(Path(__file__).with_name("mils_gateway.py"))
    BUILD.mkdir(parents=True, exist_ok=True)
    with (
        (BUILD / "gateway.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, script, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Counting(process)
        assert process.stdin is not None
        process.stdin.close()


async def measure(counted: Counted, requests: list[pb.SolveRequest], at_once: bool) -> Run:
    """Do all searches, after one that is not counted."""
    async with aio.insecure_channel(counted.target) as channel:
        stub = MilsServiceStub(channel)
        await solve(stub, unlike(requests[0]))
        counted.counts()
        start = time.perf_counter()
        if at_once:
            evaluations = await asyncio.gather(*(solve(stub, each) for each in requests))
        else:
            evaluations = [await solve(stub, each) for each in requests]
        seconds = time.perf_counter() - start
    counts = counted.counts()
    return Run(
        seconds,
        counts["text_rows"] / counts["text_batches"],
        counts["generator_rows"] / counts["generator_steps"],
        sum(evaluations),
    )


async def solve(stub: MilsServiceStub, request: pb.SolveRequest) -> int:
    """Read a search to its end; returns how many candidates were scored."""
    evaluations = 0
    async for response in stub.Solve(request):
        if response.WhichOneof("event") == "result":
            evaluations = response.result.spending.evaluations
    assert evaluations
    return evaluations


def unlike(request: pb.SolveRequest) -> pb.SolveRequest:
    """A search whose texts are none of the others'."""
    other = pb.SolveRequest()
    other.CopyFrom(request)
    del other.seeds.texts[:]
    other.seeds.texts.append("something else")
    other.limits.max_steps = 1
    return other


def median(runs: list[Run], figure: str) -> float:
    return statistics.median(getattr(run, figure) for run in runs)


def show(sides: Mapping[str, list[Run]], ratio: float) -> None:
    """Print both sides."""
    table = Table(
        f"{SEARCHES} searches",
        "median s",
        "rows an encoder batch",
        "rows a generator step",
        "texts scored",
        title=f"wall time at once / one after the other: {ratio:.2f}",
    )
    for side, runs in sides.items():
        table.add_row(
            side,
            f"{median(runs, 'seconds'):.1f}",
            f"{median(runs, 'encoder_rows'):.1f}",
            f"{median(runs, 'generator_rows'):.1f}",
            f"{median(runs, 'evaluations'):.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
