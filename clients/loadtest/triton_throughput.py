"""The throughput of a gateway against calling its Triton directly, on this machine.

64 callers of a full-size ViT-B/32 with random weights, a raw 224x224 picture each, on a Triton with
an instance a core: through unary Embed calls, and with tritonclient in several ways, of which the
best counts. The load comes from one process in every case, and shares the cores with the rest.
All alternate, and the ratio is the median of those of neighbouring runs, since machines are noisy.
`make bench-engines` runs it; the report is also written to build/bench/triton-throughput.json.
"""

import asyncio
import json
import multiprocessing
import operator
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import typer
from baseline import entry_of
from bench import BUILD
from load import CALLERS, gateway_throughput
from rich.console import Console
from rich.table import Table
from triton_inputs import one_row
from triton_load import WAYS, Target, several_clients
from triton_stage import full_size_on_every_core, gateway_on
from tritonserver import TritonServer

from triptych_server.engines.encoders.spec import Role

WARM_UP_S = 3.0  # each instance of Triton's is slow at first
console = Console()


def main(
    runs: Annotated[int, typer.Option(min=1, help="Alternated runs of each way.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of one run.")] = 8.0,
) -> None:
    """Measure and print."""
    cores = len(os.sched_getaffinity(0))
    repository = full_size_on_every_core(cores)
    spec = entry_of(repository, Role.IMAGE).spec
    direct: dict[str, list[float]] = {way: [] for way in WAYS}
    served: list[float] = []
    with (
        TritonServer(repository) as triton,
        gateway_on(triton.grpc, assets=repository) as gateway,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as load,
        console.status("throughput") as status,
    ):
        target = Target(triton.grpc, spec.name, one_row(repository, spec))
        load.submit(several_clients, target, WARM_UP_S).result()
        for run in range(runs):
            for name, way in WAYS.items():
                status.update(f"throughput: run {run + 1} of {runs}, {name}")
                direct[name].append(load.submit(way, target, seconds).result())
            status.update(f"throughput: run {run + 1} of {runs}, gateway")
            served.append(load.submit(through_gateway, gateway.target, seconds).result())
    report(cores, direct, served)


def through_gateway(target: str, seconds: float) -> float:
    """Pictures a second through Embed."""
    return asyncio.run(gateway_throughput(target, seconds))


def report(cores: int, direct: dict[str, list[float]], served: list[float]) -> None:
    """Print the medians and write them down."""
    medians = {name: statistics.median(rates) for name, rates in direct.items()}
    best = max(medians, key=medians.__getitem__)
    ratio = statistics.median(map(operator.truediv, served, direct[best]))
    table = Table("ViT-B/32 fp32, raw 224x224", "pictures/s", "ratio", title="throughput")
    for name, rate in medians.items():
        table.add_row(f"tritonclient, {name}", f"{rate:.1f}", f"{rate / medians[best]:.2f}")
    table.add_row(f"gateway, {CALLERS} callers", f"{statistics.median(served):.1f}", f"{ratio:.2f}")
    console.print(table)
    path = BUILD / "triton-throughput.json"
    values = {"cores": cores, "direct": direct, "gateway": served, "ratio": ratio}
    path.write_text(json.dumps(values, indent=2) + "\n")
    console.print(f"report: {path}")


if __name__ == "__main__":
    typer.run(main)
