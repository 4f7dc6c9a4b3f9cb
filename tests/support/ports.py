"""Ports on which nobody listens."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections until the one who was told of it listens there.

    It is held by a socket that does not listen: nobody else is given it meanwhile, and whoever
    binds it with SO_REUSEADDR, as servers do, may have it beside that socket.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
