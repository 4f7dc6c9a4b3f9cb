"""The bound on wake-up latency, on a file in the place of the device."""

import logging
import struct
from pathlib import Path

import pytest

from triptych_server.wakeup import bounded_wakeup


def test_bound_is_written_as_a_32_bit_integer(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    with bounded_wakeup(20, device):
        assert device.read_bytes() == struct.pack("=i", 20)


def test_no_bound_touches_nothing(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    with bounded_wakeup(None, device):
        assert device.read_bytes() == b""


def test_missing_device_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), bounded_wakeup(0, tmp_path / "none"):
        assert "not bounded" in caplog.text
