"""A real Triton on the CPU, installed from the package registry, for tests and benchmarks.

    python tests/engines/tritonserver.py --repository model_repository --grpc-port 8001

The server comes from the nvidia-pytriton wheel, which carries NVIDIA's tritonserver with the Python
backend; `backends/onnxruntime` is a stand-in for the backend that ONNX models name. It
lives in a virtual environment of its own (`build/engines/triton`): its numpy must be older than 2.
Needs Linux and Python 3.11 or 3.12.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

import engine_venvs
from engine_venvs import ENGINES, HERE

REQUIREMENTS = HERE / "tritonserver-requirements.txt"
VENV = ENGINES / "triton"
SHARED_MEMORY = Path("/dev/shm")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = VENV / "lib" / f"python{PYTHON}" / "site-packages"
TRITON = SITE_PACKAGES / "pytriton/tritonserver"

READY_POLL_S = 0.1
READY_POLLS = 600  # a minute
STOP_S = 20.0


@dataclass(frozen=True)
class Statistics:
    """What Triton counted for one model, over all its versions."""

    inferences: int  # rows
    executions: int  # batches
    requests: int

    @property
    def mean_batch(self) -> float:
        """Rows in a batch, on average."""
        return self.inferences / self.executions

    def __sub__(self, earlier: "Statistics") -> "Statistics":
        """What was counted since `earlier`."""
        return Statistics(
            inferences=self.inferences - earlier.inferences,
            executions=self.executions - earlier.executions,
            requests=self.requests - earlier.requests,
        )


def install() -> None:
    """Create its virtual environment, unless it is there with the pinned versions."""
    engine_venvs.install(VENV, REQUIREMENTS)


class TritonServer:
    """A tritonserver process on free ports of 127.0.0.1; a context manager.

    Entering installs what is missing, starts the process and returns once all models are ready and
    every port answers, or raises `RuntimeError` with the errors of the server's log. Models are
    under explicit control: clients may load and unload them.
    """

    def __init__(self, repository: Path, *, grpc_port: int = 0) -> None:
        self.repository = repository.resolve()
        self._ports = dict(zip(("grpc", "http", "metrics"), _free_ports(3), strict=True))
        if grpc_port:
            self._ports["grpc"] = grpc_port

    @property
    def grpc(self) -> str:
        """`host:port` of the gRPC endpoint."""
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def http(self) -> str:
        """`host:port` of the HTTP endpoint."""
        return f"127.0.0.1:{self._ports['http']}"

    @property
    def metrics(self) -> str:
        """`host:port` of the Prometheus endpoint."""
        return f"127.0.0.1:{self._ports['metrics']}"

    def __enter__(self) -> Self:
        install()
        self._folder = Path(tempfile.mkdtemp(prefix="triton-"))
        # A `model.py` in the working directory would shadow the backend's: an empty one.
        (self._folder / "work").mkdir()
        self._backends = _lay_out_backends(self._folder / "backends")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the process, after `stop` or `kill` on the same ports; return once all models are
        ready."""
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [TRITON / "bin/tritonserver", *self._flags()],
                cwd=self._folder / "work",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that the processes of its models can be found
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut the server down with SIGTERM, or kill it if that takes too long."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would, and then what it had no chance to end."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for region in SHARED_MEMORY.glob(f"{self._folder.name}*"):
            region.unlink(missing_ok=True)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """For as long as the block lasts it keeps its connections and does nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Return when the process has ended."""
        self._process.wait()

    def statistics(self, model: str) -> Statistics:
        """What the server counted since the model was loaded."""
        status, body = _get(self.http, f"/v2/models/{model}/stats")
        if status != HTTPStatus.OK:
            raise RuntimeError(body)
        versions = json.loads(body)["model_stats"]
        return Statistics(
            inferences=sum(v["inference_count"] for v in versions),
            executions=sum(v["execution_count"] for v in versions),
            requests=sum(v["inference_stats"]["success"]["count"] for v in versions),
        )

    def _flags(self) -> Iterator[str]:
        yield f"--model-repository={self.repository}"
        yield f"--backend-directory={self._backends}"
        yield f"--backend-config=python,shm-region-prefix-name={self._folder.name}"
        yield from ("--model-control-mode=explicit", "--load-model=*")
        yield from ("--disable-auto-complete-config", "--exit-timeout-secs=5")
        yield from ("--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0")
        for protocol, port in self._ports.items():
            yield from (f"--{protocol}-address=127.0.0.1", f"--{protocol}-port={port}")

    def _wait_until_ready(self) -> None:
        for _ in range(READY_POLLS):
            with contextlib.suppress(OSError):
                if self._is_ready():
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(READY_POLL_S)
                break
        log = (self._folder / "log").read_text(errors="replace").splitlines()
        errors = [line for line in log if line.lower().startswith("e")]
        raise RuntimeError("\n".join(["Triton did not become ready:", *errors]))

    def _is_ready(self) -> bool:
        # The port of the metrics is opened last, after the server says that it is ready.
        pages = [(self.http, "/v2/health/ready"), (self.metrics, "/metrics")]
        return all(_get(address, path)[0] == HTTPStatus.OK for address, path in pages)


def _get(address: str, path: str) -> tuple[int, str]:
    with contextlib.closing(HTTPConnection(address, timeout=5)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def _lay_out_backends(folder: Path) -> Path:
    """Lay out a backend directory: Triton's Python backend, and the stand-in that runs in it.

    Copies, because Triton refuses links that lead out of the directory.
    """
    stub = folder / "python/triton_python_backend_stub"
    shutil.copytree(TRITON / "backends", folder)
    shutil.copy(TRITON / "python_backend_stubs" / PYTHON / stub.name, stub)
    stub.chmod(0o755)
    shutil.copytree(HERE / "backends", folder, dirs_exist_ok=True)
    return folder


def _environment() -> Mapping[str, str]:
    """The stub finds its interpreter on PATH and libpython through the loader's path."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
    }
    libraries = [SITE_PACKAGES / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}"
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    return environment


def _free_ports(count: int) -> Sequence[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> None:
    """Serve a model repository until interrupted."""
    parser = argparse.ArgumentParser(description="Serve a model repository with Triton on the CPU.")
    parser.add_argument("--repository", type=Path, required=True, help="model repository")
    parser.add_argument("--grpc-port", type=int, default=0, help="default: a free port")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with (
        contextlib.suppress(KeyboardInterrupt),
        TritonServer(arguments.repository, grpc_port=arguments.grpc_port) as server,
    ):
        print(f"grpc {server.grpc}  http {server.http}  metrics {server.metrics}", flush=True)
        server.wait()


if __name__ == "__main__":
    main()
