"""What the gateway costs over ONNX Runtime alone, on this machine.

Throughput: 64 concurrent unary Embed calls of one raw 224x224 picture on a full-size ViT-B/32 with
random weights, as a ratio to the best of several ways to run the same graph without a gateway.
Latency: what one sequential unary Embed of a text adds over tokenising and running the session,
beside what a minimal grpc.aio server adds.
Baseline and gateway alternate, and medians are compared, since machines are noisy. `make bench`
runs it; the report is also written to build/bench/report.json.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from baseline import LAYOUTS, Layout, TextEncoder, image_throughput, text_latencies
from load import gateway_throughput, served_latencies
from parts import part_of
from rich.console import Console
from rich.table import Table

from triptych_export.pipeline import export_clip
from triptych_export.random_checkpoint import write_random_checkpoint
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY
from triptych_server.wakeup import bounded_wakeup

BUILD = Path("build/bench")
FULL_SIZE = "clip-vit-b32"
ROUNDS = 10  # in which baseline and gateway alternate
# A lone request wakes a sleeping core at each hand-over; see triptych_server.wakeup.
CORES = {"as they are": None, "kept awake": 0}
console = Console()


def main(
    runs: Annotated[int, typer.Option(help="Alternated runs of each throughput.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of one throughput run.")] = 8.0,
    calls: Annotated[int, typer.Option(help="Sequential calls of each latency run.")] = 1000,
) -> None:
    """Run both benchmarks and print them."""
    repository = full_size_repository()
    report = {
        "cores": len(os.sched_getaffinity(0)),
        "throughput": throughput(repository, runs, seconds),
        "latency": {
            name: latency(folder, calls)
            for name, folder in (("miniature", SHIPPED_REPOSITORY), (FULL_SIZE, repository))
        },
    }
    (BUILD / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"report: {BUILD / 'report.json'}")


def full_size_repository() -> Path:
    """A ViT-B/32 of random weights, exported once."""
    repository = BUILD / "models"
    if not repository.exists():
        checkpoint = BUILD / FULL_SIZE
        with (
            console.status("making and exporting a full-size checkpoint"),
            part_of(repository) as part,
        ):
            write_random_checkpoint(FULL_SIZE, checkpoint)
            export_clip(str(checkpoint), part)
    return repository


def throughput(repository: Path, runs: int, seconds: float) -> dict[str, object]:
    """Pictures a second: every layout without a gateway, and the gateway, alternated."""
    alone: dict[Layout, list[float]] = {layout: [] for layout in LAYOUTS}
    served: list[float] = []
    with gateway(repository) as process, console.status("throughput") as status:
        for run in range(runs):
            for layout in LAYOUTS:
                status.update(f"throughput: run {run + 1} of {runs}, {layout}")
                alone[layout].append(image_throughput(repository, layout, seconds))
            status.update(f"throughput: run {run + 1} of {runs}, gateway")
            served.append(asyncio.run(gateway_throughput(process.target, seconds)))
    medians = {str(layout): statistics.median(rates) for layout, rates in alone.items()}
    best = max(medians, key=medians.__getitem__)
    ratio = statistics.median(served) / medians[best]
    table = Table("ViT-B/32 fp32, raw 224x224", "pictures/s", "ratio", title="throughput")
    for name, rate in medians.items():
        table.add_row(f"ONNX Runtime, {name}", f"{rate:.1f}", f"{rate / medians[best]:.2f}")
    table.add_row("gateway, 64 callers", f"{statistics.median(served):.1f}", f"{ratio:.2f}")
    console.print(table)
    return {"alone": medians, "gateway": statistics.median(served), "ratio": ratio}


def latency(repository: Path, calls: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of one text: without a server, through a minimal one, and through the
    gateway; with the cores as they are and kept awake."""
    encoder = TextEncoder(repository)
    report = {}
    table = Table("one text, sequential", "cores", "median ms", "added", title=f"{repository}")
    for cores, microseconds in CORES.items():
        rounds: dict[str, list[float]] = {"session alone": [], "minimal server": [], "gateway": []}
        with (
            console.status(f"latency, cores {cores}"),
            bounded_wakeup(microseconds),
            minimal("minimal.py", repository) as least,
            gateway(repository) as process,
        ):
            for _ in range(ROUNDS):
                rounds["session alone"] += text_latencies(encoder, calls // ROUNDS)
                rounds["minimal server"] += served_latencies(least, calls // ROUNDS)
                rounds["gateway"] += served_latencies(process.target, calls // ROUNDS)
        medians = {name: statistics.median(each) * 1000 for name, each in rounds.items()}
        for name, median in medians.items():
            added = median - medians["session alone"]
            table.add_row(name, cores, f"{median:.2f}", f"{added:.2f}" if added else "")
        table.add_section()
        report[cores] = medians
    console.print(table)
    return report


@contextmanager
def minimal(script: str, *arguments: str | Path) -> Iterator[str]:
    """The target of a minimal server, which a script beside this one is."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def gateway(repository: Path) -> GatewayProcess:
    """A gateway of its own with this repository."""
    flags = ("--repository", repository, "--data", BUILD / "data")
    return GatewayProcess(*flags, log=BUILD / "gateway.log")


if __name__ == "__main__":
    typer.run(main)
