"""A gateway in a process of its own: for demos, benchmarks and tests."""

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

READY = re.compile(r"is ready on (\S+:\d+)$")
METRICS = re.compile(r"metrics are on (\S+)$")


class GatewayProcess:
    """`triptych serve` on a free port of 127.0.0.1, from entering to leaving a `with` block.

    `flags` are those of the command, `log` gets its messages. Entering returns when the gateway is
    ready, and raises `RuntimeError` if it ends before. Then `target` is where it listens, and
    `metrics` the URL of its metrics, empty where there are none.
    """

    def __init__(self, *flags: str | Path, log: Path) -> None:
        self._command = [sys.executable, "-m", "triptych", "serve", "--port", "0"]
        self._command += [str(flag) for flag in flags]
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.target = ""
        self.metrics = ""

    @property
    def pid(self) -> int:
        """Of the running gateway."""
        return self._running().pid

    def send_signal(self, signum: signal.Signals) -> None:
        """Send a signal to the gateway."""
        self._running().send_signal(signum)

    def kill(self) -> None:
        """End the gateway with SIGKILL, as a crash would."""
        self._running().kill()
        self._running().wait()

    def wait(self) -> int:
        """Wait for the gateway's end; returns its exit code."""
        return self._running().wait()

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            # On a thread of its own, since an interrupt of this one would lose what is starting.
            with ThreadPoolExecutor(1) as starter:
                process = starter.submit(self._start).result()
            return self._ready(process)
        except BaseException:  # an interrupt as well: nobody else would end it
            if self._process is not None:
                self._end(self._process)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(self._running())

    def _start(self) -> "subprocess.Popen[str]":
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self._process

    def _ready(self, process: "subprocess.Popen[str]") -> Self:
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            if metrics := METRICS.search(line.strip()):
                self.metrics = metrics[1]
            if ready := READY.search(line.strip()):
                self.target = ready[1]
                return self
        code = process.wait()
        raise RuntimeError(f"the gateway ended with code {code}:\n{self._log.read_text()}")

    @staticmethod
    def _end(process: "subprocess.Popen[str]") -> None:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the gateway was not started")
        return self._process
