"""The moment at which the work of an RPC loses its worth, for whoever calls other servers for it.

It goes with the RPC's task and all tasks that it starts. The interceptor that sets it also stops
the work then; here is what is told to other servers.
"""

import time
from contextvars import ContextVar

_end: ContextVar[float | None] = ContextVar("deadline", default=None)  # of the monotonic clock


def end_in(seconds: float | None) -> None:
    """Set the deadline of this task; None takes it away."""
    _end.set(None if seconds is None else time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds to the deadline, negative when it has passed; None without one."""
    end = _end.get()
    return None if end is None else end - time.monotonic()
