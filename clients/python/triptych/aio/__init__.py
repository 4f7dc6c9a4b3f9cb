"""The asyncio client: `triptych.Client` with `await`."""

from triptych.aio.client import Client

__all__ = ["Client"]
