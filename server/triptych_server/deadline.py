"""When the work of an RPC loses its worth: at its deadline, or when its caller has gone.

Both go with the RPC's task and all tasks that it starts. The interceptor that sets them, and gRPC,
also stop the work then; here is what is told to other servers, and what is asked before more of it
is begun.
"""

import asyncio
import time
from contextvars import ContextVar
from typing import Any

# What an RPC runs in; None where there is no RPC.
Call = asyncio.Task[Any] | None

_end: ContextVar[float | None] = ContextVar("deadline", default=None)  # of the monotonic clock
_call: ContextVar[Call] = ContextVar("call", default=None)


def end_in(seconds: float | None) -> None:
    """Set the deadline of this task; None takes it away."""
    _end.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds to the deadline, negative when it has passed; None without one."""
    end = _end.get()
    return None if end is None else end - time.monotonic()


def work_for(call: Call) -> None:
    """Say which RPC this task works for; None: for no single one."""
    _call.set(call)


def call() -> Call:
    """The RPC that this task works for."""
    return _call.get()


def wanted(*calls: Call) -> bool:
    """Whether one of these RPCs was not told to end; of none, whether the task's own was not.

    A cancellation reaches what an RPC waits for task by task; what ends in between would go on to
    its next step.
    """
    return any(not each or not (each.cancelling() or each.done()) for each in calls or (call(),))


def check_wanted() -> None:
    """Raise `CancelledError` if the task's RPC was told to end."""
    if not wanted():
        raise asyncio.CancelledError
