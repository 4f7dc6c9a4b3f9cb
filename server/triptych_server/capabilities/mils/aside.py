"""Arithmetic that the event loop is not to wait for."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LIGHT = 4_000_000  # operations that take less than a millisecond


async def aside(operations: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work of so many operations: in a thread, unless it is light."""
    if operations <= LIGHT:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
