"""What the gateway costs over ONNX Runtime alone, on this machine.

Throughput: 64 concurrent unary Embed calls of one raw 224x224 picture on a full-size ViT-B/32 with
random weights, as a ratio to the best of several ways to run the same graph without a gateway.
Latency: what one sequential unary Embed of a text adds over tokenising and running the session.
Baseline and gateway alternate, and medians are compared, since machines are noisy. `make bench`
runs it; the report is also written to build/bench/report.json.
"""

import asyncio
import json
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from baseline import LAYOUTS, Layout, image_throughput, text_latencies
from load import gateway_latencies, gateway_throughput
from rich.console import Console
from rich.table import Table

from triptych_export.pipeline import export_clip
from triptych_export.random_checkpoint import write_random_checkpoint
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

BUILD = Path("build/bench")
FULL_SIZE = "clip-vit-b32"
ROUNDS = 10  # in which baseline and gateway alternate
# A lone request wakes a sleeping core at each hand-over; see triptych_server.wakeup.
CORES = {"as they are": {}, "kept awake": {"TRIPTYCH_WAKEUP_LATENCY_US": "0"}}
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
        with console.status("making and exporting a full-size checkpoint"):
            write_random_checkpoint(FULL_SIZE, checkpoint)
            export_clip(str(checkpoint), repository)
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
    """Median milliseconds of one text: without a gateway, through it, and the difference; with the
    cores as they are and kept awake."""
    report = {}
    table = Table("one text, sequential", "cores", "median ms", title=f"latency, {repository}")
    for cores, environment in CORES.items():
        alone: list[float] = []
        served: list[float] = []
        with gateway(repository, environment) as process, console.status(f"latency, {cores}"):
            for _ in range(ROUNDS):
                alone += text_latencies(repository, calls // ROUNDS)
                served += gateway_latencies(process.target, calls // ROUNDS)
        figures = {
            "alone_ms": statistics.median(alone) * 1000,
            "gateway_ms": statistics.median(served) * 1000,
        }
        figures["added_ms"] = figures["gateway_ms"] - figures["alone_ms"]
        table.add_row("tokenise and run the session", cores, f"{figures['alone_ms']:.2f}")
        table.add_row("unary Embed", cores, f"{figures['gateway_ms']:.2f}")
        table.add_row("added by the gateway", cores, f"{figures['added_ms']:.2f}", end_section=True)
        report[cores] = figures
    console.print(table)
    return report


def gateway(repository: Path, environment: Mapping[str, str] | None = None) -> GatewayProcess:
    """A gateway of its own with this repository."""
    flags = ("--repository", repository, "--data", BUILD / "data")
    return GatewayProcess(*flags, log=BUILD / "gateway.log", environment=environment)


if __name__ == "__main__":
    typer.run(main)
