"""Looking at many things at once, none of which may hang or break the examination."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from triptych_server.doctor.finding import Finding


@dataclass(frozen=True, slots=True)
class Probe:
    """Looks at one thing, and may block; what it has yielded counts even if it never ends."""

    area: str
    what: str
    run: Callable[[], Iterator[Finding]]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the probes. If not `finished`, threads of probes still run."""

    findings: Sequence[Finding]
    finished: bool


@dataclass(slots=True)
class _Running:
    """A probe on a thread of its own: a daemon, since one that hangs cannot be ended."""

    probe: Probe
    findings: list[Finding] = field(default_factory=list)

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=self.probe.what, daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            for finding in self.probe.run():
                self.findings.append(finding)
        except Exception as error:  # whatever a broken installation raises
            cause = f"{type(error).__name__}: {error}".partition("\n")[0]
            self.findings.append(
                Finding.problem(
                    self.probe.area,
                    self.probe.what,
                    f"could not be examined: {cause}",
                    "mend the other problems first; if it stays, report it with this line",
                )
            )


def run(probes: Sequence[Probe]) -> Report:
    """Run all probes at once, each for its timeout at most."""
    started_s = time.monotonic()
    running = [_Running(probe) for probe in probes]
    threads = [each.start() for each in running]
    findings: list[Finding] = []
    for each, thread in zip(running, threads, strict=True):
        thread.join(max(started_s + each.probe.timeout_s - time.monotonic(), 0))
        findings += list(each.findings)
        if thread.is_alive():
            findings.append(_unfinished(each.probe))
    return Report(findings, not any(thread.is_alive() for thread in threads))


def _unfinished(probe: Probe) -> Finding:
    return Finding.problem(
        probe.area,
        probe.what,
        f"did not answer within {probe.timeout_s:g} s",
        "look for a file system or a network that hangs, or give it longer: --timeout SECONDS",
    )
