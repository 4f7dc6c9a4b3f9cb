"""Where the Tritons are: one name with a port, or a list of IP addresses with theirs."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Sequence
from typing import Any

from triptych_server.address import address
from triptych_server.errors import Unavailable

RESOLVE_EVERY_S = 1.0
RESOLVE_TIMEOUT_S = 5.0

Address = str  # `10.0.0.7:8001` or `[fd00::7]:8001`


class Addresses:
    """The addresses that `HOST:PORT` or `IP:PORT,IP:PORT` stands for.

    A name stands for all addresses that it resolves to, its IPv4 ones if it has such: a name with
    both kinds means the same hosts twice. Raises `ValueError` for anything else.
    """

    def __init__(self, url: str) -> None:
        parts = [_host_and_port(part) for part in url.split(",")]
        versions = [_ip_version(host) for host, _ in parts]
        if len(parts) > 1 and None in versions:
            raise ValueError(
                f"{url!r} lists a name: give the IP address of each Triton, or one name for all"
            )
        if len(set(versions)) > 1:
            raise ValueError(f"{url!r} mixes IPv4 and IPv6 addresses; gRPC balances one kind")
        self.fixed = versions[0] is not None
        self._host, self._port = parts[0]
        self._known: tuple[Address, ...] = ()
        if self.fixed:
            self._known = tuple(dict.fromkeys(address(*part) for part in parts))
        self._lookup: asyncio.Future[Any] | None = None
        self._began_at = 0.0

    async def resolve(self) -> tuple[Address, ...]:
        """The addresses now, in order. While the name cannot be resolved they are the last ones
        known; raises `Unavailable` without any."""
        if self.fixed:
            return self._known
        now = time.monotonic()
        # At most one look-up at a time: a name server that is silent holds up a thread for each.
        if self._lookup is None or (
            self._lookup.done() and now - self._began_at >= RESOLVE_EVERY_S
        ):
            looked_up = asyncio.get_running_loop().getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )
            self._lookup, self._began_at = asyncio.ensure_future(looked_up), now
        patience_s = max(self._began_at + RESOLVE_TIMEOUT_S - now, 0)
        await asyncio.wait([self._lookup], timeout=patience_s)
        fault = self._learn(self._lookup)
        if not self._known:
            raise Unavailable(f"{self._host} cannot be resolved: {fault}")
        return self._known

    def _learn(self, lookup: asyncio.Future[Any]) -> str:
        """Take what was found, or say why nothing was."""
        if not lookup.done():
            return "the name server does not answer"
        if error := lookup.exception():  # a name may also be none, which is no OSError
            return str(error)
        ipv4 = [info for info in lookup.result() if info[0] is socket.AF_INET]
        hosts = {info[4][0] for info in ipv4 or lookup.result()}
        self._known = tuple(sorted(address(host, self._port) for host in hosts))
        return ""


def target(addresses: Sequence[Address]) -> str:
    """What gRPC calls a list of addresses of one kind."""
    kind = "ipv6" if addresses[0].startswith("[") else "ipv4"
    return f"{kind}:{','.join(addresses)}"


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    valid = host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if not valid or (":" in host and not bracketed):
        raise ValueError(f"{text!r} is no HOST:PORT; IPv6 addresses are written [ADDRESS]:PORT")
    return host.strip("[]"), int(port)


def _ip_version(host: str) -> int | None:
    """4 or 6; None for a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
