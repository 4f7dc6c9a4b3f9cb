import os
from pathlib import Path

import pytest

from triptych_server.doctor import Verdict
from triptych_server.doctor.machine import (
    GIB,
    Machine,
    examine_machine,
    read_machine,
    room_for,
    threads,
    wakeup,
)

CONTAINER = Machine(cores=64, cpu_limit=1.5, memory=4 * GIB, available=3 * GIB)


def test_this_machine_has_cores_and_memory() -> None:
    machine = read_machine()
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.memory
    assert machine.available
    assert 0 < machine.available <= machine.memory
    assert {finding.verdict for finding in examine_machine(machine)} == {Verdict.OK}


def test_threads_beyond_the_limit_of_a_container_are_told() -> None:
    [finding] = threads(CONTAINER, 64)
    assert finding.verdict is Verdict.WARNING
    assert finding.remedy == "export TRIPTYCH_THREADS=2"
    assert list(threads(CONTAINER, 2)) == []


def test_networks_larger_than_the_memory_are_told() -> None:
    [finding] = room_for(CONTAINER, 7 * GIB)
    assert "7.0 GiB" in finding.detail
    assert list(room_for(CONTAINER, GIB)) == []


def test_a_wakeup_bound_without_its_device_is_told(tmp_path: Path) -> None:
    [finding] = wakeup(0, tmp_path / "none")
    assert finding.verdict is Verdict.WARNING
    device = tmp_path / "device"
    device.touch()
    [finding] = wakeup(0, device)
    assert finding.verdict is Verdict.OK
    assert list(wakeup(None, tmp_path / "none")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_device_of_another_user_is_told(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch(0o400)
    [finding] = wakeup(0, device)
    assert "may not be written" in finding.detail
