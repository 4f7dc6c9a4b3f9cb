"""NVIDIA's perf_analyzer, installed from the package registry, for benchmarks.

It comes with a wheel of tritonclient, in a virtual environment of its own
(`build/engines/perf_analyzer`), and borrows two libraries from the wheel of the Triton that
tests start. Needs Linux on x86-64 with OpenSSL 3.
"""

import base64
import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonserver
from engine_venvs import ENGINES, HERE, install

REQUIREMENTS = HERE / "perf_analyzer-requirements.txt"
VENV = ENGINES / "perf_analyzer"
LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}

# It measures three windows and wants them to agree; without agreement it would report nothing.
ANY_SPREAD = 999  # percent


@dataclass(frozen=True, slots=True)
class Measurement:
    """Inferences a second and percentiles of the latency, at so many requests at a time."""

    concurrency: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class PerfAnalyzer:
    """perf_analyzer against the Triton at `url` (`host:port` of its gRPC endpoint)."""

    def __init__(self, url: str, window_ms: int) -> None:
        self._url = url
        self._window_ms = window_ms
        install(VENV, REQUIREMENTS)
        tritonserver.install()

    def measure(
        self, model: str, inputs: Mapping[str, npt.NDArray[Any]], concurrency: int
    ) -> Measurement:
        """Send the same inputs again and again, so many requests at a time.

        `inputs` are shaped as config.pbtxt says, without the axis of the batch. Raises
        `RuntimeError` with what perf_analyzer says.
        """
        with tempfile.TemporaryDirectory(prefix="perf-analyzer-") as name:
            folder = Path(name)
            report, data = folder / "report.csv", folder / "data.json"
            data.write_text(json.dumps({"data": [{n: _encoded(a) for n, a in inputs.items()}]}))
            flags = {
                "-m": model,
                "-u": self._url,
                "-i": "grpc",
                "-f": report,
                "--input-data": data,
                "--concurrency-range": concurrency,
                "--measurement-interval": self._window_ms,
                "--stability-percentage": ANY_SPREAD,
            }
            done = subprocess.run(
                [VENV / "bin/perf_analyzer", *map(str, chain.from_iterable(flags.items()))],
                env=os.environ | {"LD_LIBRARY_PATH": str(_libraries(folder / "lib"))},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"perf_analyzer ended with {done.returncode}:\n{done.stdout}")
            with report.open(newline="") as lines:
                [row] = csv.DictReader(lines)
        return Measurement(
            concurrency=concurrency,
            rate=float(row["Inferences/Second"]),
            p50_ms=float(row["p50 latency"]) / 1000,
            p95_ms=float(row["p95 latency"]) / 1000,
            p99_ms=float(row["p99 latency"]) / 1000,
        )


def _encoded(array: npt.NDArray[Any]) -> dict[str, object]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"b64": data, "shape": array.shape}


def _libraries(folder: Path) -> Path:
    """The libraries that it links to, by the names under which it looks for them."""
    folder.mkdir()
    for name, pattern in LIBRARIES.items():
        [library] = (tritonserver.SITE_PACKAGES / "nvidia_pytriton.libs").glob(pattern)
        (folder / name).symlink_to(library)
    return folder
