"""Cores and memory that this process may use, and how fast its cores wake."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triptych_server.doctor.finding import Finding

AREA = "machine"
GIB = 1024**3
CGROUPS = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use: `cores` of which `cpu_limit` at a time (None: all of them), and
    bytes of memory (None: unknown)."""

    cores: int
    cpu_limit: float | None
    memory: int | None
    available: int | None


def read_machine() -> Machine:
    """The machine, within the limits of the control group."""
    memory = _meminfo()
    total, available = memory.get("MemTotal"), memory.get("MemAvailable")
    limit, used = _number("memory.max"), _number("memory.current")
    if limit is not None and (total is None or limit < total):
        total = limit
        room = max(limit - (used or 0), 0)
        available = room if available is None else min(room, available)
    return Machine(_cores(), _cpu_limit(), total, available)


def examine_machine(machine: Machine) -> Iterator[Finding]:
    """Cores and memory, without regard to what they are for."""
    limit = machine.cpu_limit
    held = f", of which {limit:g} at a time" if limit and limit < machine.cores else ""
    yield Finding.ok(AREA, "cores", f"{machine.cores}{held}")
    if machine.memory is not None and machine.available is not None:
        detail = f"{gib(machine.available)} available of {gib(machine.memory)}"
        yield Finding.ok(AREA, "memory", detail)


def threads(machine: Machine, wanted: int) -> Iterator[Finding]:
    """Threads beyond the limit of a container do not add to its speed: they take turns at it."""
    if machine.cpu_limit is not None and wanted > math.ceil(machine.cpu_limit):
        detail = f"{wanted} worker threads share {machine.cpu_limit:g} cores of this container"
        most = math.ceil(machine.cpu_limit)
        yield Finding.warning(AREA, "threads", detail, f"export TRIPTYCH_THREADS={most}")


def room_for(machine: Machine, needed: int) -> Iterator[Finding]:
    """Whether the networks fit; `needed` are the bytes of their files."""
    if machine.available is not None and needed > machine.available:
        detail = f"the networks take {gib(needed)}; {gib(machine.available)} are available"
        remedy = "triptych export … --precision int8, or serve them from a Triton elsewhere"
        yield Finding.warning(AREA, "memory", detail, remedy)


def wakeup(microseconds: int | None, device: Path) -> Iterator[Finding]:
    """Whether a bound on the time that cores take to wake can be had."""
    if microseconds is None:
        return
    if os.access(device, os.W_OK):
        yield Finding.ok(AREA, "wake-up latency", f"can be held to {microseconds} us")
    elif device.exists():
        detail = f"wakeup_latency_us has no effect: {device} may not be written"
        yield Finding.warning(AREA, "wake-up latency", detail, f"sudo chown $USER {device}")
    else:
        detail = f"wakeup_latency_us has no effect: there is no {device}"
        remedy = f"docker run --device {device} …, or unset TRIPTYCH_WAKEUP_LATENCY_US"
        yield Finding.warning(AREA, "wake-up latency", detail, remedy)


def gib(size: float) -> str:
    """Bytes for people."""
    return f"{size / GIB:.1f} GiB"


def mib(size: float) -> str:
    """Fewer bytes for people."""
    return f"{size / 1024**2:.0f} MiB"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _meminfo() -> dict[str, int]:
    """Bytes by name, as Linux tells; empty elsewhere."""
    if not _MEMINFO.is_file():
        return {}
    lines = (line.split() for line in _MEMINFO.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def _cpu_limit() -> float | None:
    words = _control("cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _number(name: str) -> int | None:
    text = _control(name).strip()
    return int(text) if text.isdecimal() else None


def _control(name: str) -> str:
    """A file of this process's control group (version 2); empty if there is none."""
    try:
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition(":")[2]
    except (OSError, IndexError):
        return ""
    for folder in (CGROUPS / group.lstrip("/"), CGROUPS):
        if (folder / name).is_file():
            return (folder / name).read_text()
    return ""
