"""How fast a Triton serves a model repository, by NVIDIA's perf_analyzer and without a gateway.

Every encoder of the shipped repository on the Triton that tests start, one row a request: noise for
pictures and patches, the tokens of a sentence for texts. `make bench-engines` runs it; the report
is also written to build/bench/triton-perf.json.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from bench import BUILD
from perf_analyzer import PerfAnalyzer
from rich.console import Console
from rich.table import Table
from triton_inputs import one_row
from tritonserver import TritonServer

from triptych_server.engines.encoders.repository import RepositoryEntry, read_repository
from triptych_server.settings import SHIPPED_REPOSITORY

CONCURRENCIES = (1, 8, 32)
console = Console()


def main(
    repository: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Model repository.")
    ] = SHIPPED_REPOSITORY,
    window_ms: Annotated[int, typer.Option(help="Length of a window; three are measured.")] = 1500,
) -> None:
    """Measure every encoder and print the figures."""
    report: dict[str, object] = {"cores": len(os.sched_getaffinity(0))}
    columns = ("encoder", "callers", "infer/s", "p50", "p95", "p99")
    table = Table(*columns, title="perf_analyzer; latencies in ms")
    with TritonServer(repository) as triton, console.status("perf_analyzer") as status:
        analyzer = PerfAnalyzer(triton.grpc, window_ms)
        for name, entry in read_repository(repository):
            if not isinstance(entry, RepositoryEntry):
                raise entry
            inputs = one_row(repository, entry.spec)
            if entry.spec.max_batch_size:  # perf_analyzer adds the axis of the batch
                inputs = {key: array[0] for key, array in inputs.items()}
            measurements = []
            for concurrency in CONCURRENCIES:
                status.update(f"{name}: {concurrency} at a time")
                each = analyzer.measure(name, inputs, concurrency)
                measurements.append(asdict(each))
                latencies = (f"{ms:.1f}" for ms in (each.p50_ms, each.p95_ms, each.p99_ms))
                table.add_row(name, str(concurrency), f"{each.rate:.0f}", *latencies)
            table.add_section()
            report[name] = measurements
    console.print(table)
    path = BUILD / "triton-perf.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"report: {path}")


if __name__ == "__main__":
    typer.run(main)
