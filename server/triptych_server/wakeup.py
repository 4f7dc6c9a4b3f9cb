"""How long a sleeping core may take to wake (Linux PM QoS).

A lone request passes from thread to thread, and each hand-over may have to wake a core. On virtual
machines that takes some 0.1 ms each time, which adds up to more than the gateway's own work.
"""

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEVICE = Path("/dev/cpu_dma_latency")

_log = logging.getLogger(__name__)


@contextmanager
def bounded_wakeup(microseconds: int | None, device: Path = DEVICE) -> Iterator[None]:
    """Let no core sleep so deep that it takes longer to wake, as long as the block lasts.

    None asks for nothing. Needs a device that may be written, usually by root only; without it a
    warning is logged and nothing changes. The smaller the bound, the more power an idle machine
    draws; with 0 its cores never sleep.
    """
    if microseconds is None:
        yield
        return
    try:
        descriptor = os.open(device, os.O_WRONLY)
    except OSError as error:
        _log.warning("wake-up latency is not bounded: %s: %s", device, error.strerror)
        yield
        return
    try:
        os.write(descriptor, struct.pack("=i", microseconds))
        yield
    finally:
        os.close(descriptor)  # which withdraws the bound
