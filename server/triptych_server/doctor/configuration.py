"""Whether the settings are understood, and the ports that they name can be had."""

import difflib
import errno
import socket
from collections.abc import Collection, Iterator, Mapping
from http.client import HTTPException
from urllib.request import urlopen

import grpc

from triptych.health import SERVICE_UNKNOWN, ask_health
from triptych_server.address import address
from triptych_server.doctor.finding import Finding

AREA = "settings"
PREFIX = "TRIPTYCH_"
_OTHERS = {"TRIPTYCH_TARGET"}  # variables that are the client's


def refused(error: ValueError, descriptions: Mapping[str, str]) -> Iterator[Finding]:
    """One finding a setting that is refused; `descriptions` are those of all that there are."""
    faults = getattr(error, "faults", None)
    if faults is None:  # the file as a whole
        remedy = "triptych doctor --config FILE  # a TOML file of settings"
        yield Finding.problem(AREA, "config", str(error), remedy)
        return
    for path, fault in faults.items():
        name = path.partition(".")[0]
        if name in descriptions:
            remedy = f"export {PREFIX}{name.upper()}=…  # {descriptions[name]}"
        else:
            remedy = f"take it out of the file of --config{_meant(name, descriptions)}"
        yield Finding.problem(AREA, path, fault, remedy)


def variables(environment: Collection[str], settings: Collection[str]) -> Iterator[Finding]:
    """Variables that look like settings and are none: they have no effect, and nobody says so."""
    known = {f"{PREFIX}{name.upper()}" for name in settings} | _OTHERS
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            detail = f"has no effect{_meant(name, known)}"
            yield Finding.warning(AREA, name, detail, f"unset {name}")


def examine_port(name: str, host: str, port: int, timeout_s: float) -> Iterator[Finding]:
    """Whether a gateway could listen there, or does; what listens has `timeout_s` to answer."""
    where = address(host, port)
    fault = _bind(host, port)
    taken = fault is not None and fault.errno == errno.EADDRINUSE
    if fault is None:
        yield Finding.ok(AREA, name, f"{where} is free" if port else "any free one")
    elif taken and name == "port" and is_gateway(host, port, timeout_s):
        detail = f"a gateway listens on {where} already"
        yield Finding.ok(AREA, name, detail, f"triptych doctor --target {where}")
    elif taken and name == "metrics_port" and _has_metrics(host, port, timeout_s):
        yield Finding.ok(AREA, name, f"a gateway tells its metrics on {where} already")
    elif taken:
        remedy = f"ss -ltnp 'sport = :{port}'  # who has it; or another {name}"
        yield Finding.problem(AREA, name, f"{where} is taken", remedy)
    elif fault.errno == errno.EACCES:
        remedy = f"export {PREFIX}{name.upper()}=50051  # below 1024 is root's"
        yield Finding.problem(AREA, name, f"this user may not listen on {where}", remedy)
    else:
        remedy = f"export {PREFIX}HOST=0.0.0.0  # or an address of this machine: ip addr"
        detail = f"cannot listen on {where}: {fault.strerror or fault}"
        yield Finding.problem(AREA, "host", detail, remedy)


def is_gateway(host: str, port: int, timeout_s: float) -> bool:
    """Whether a gateway listens there, and answers in time."""
    with grpc.insecure_channel(address(_near(host), port)) as channel:
        try:
            state = ask_health(channel, "triptych.v1.ModelService", timeout_s)
        except grpc.RpcError:
            return False
    return state != SERVICE_UNKNOWN


def _has_metrics(host: str, port: int, timeout_s: float) -> bool:
    url = f"http://{address(_near(host), port)}/metrics"
    try:
        with urlopen(url, timeout=timeout_s) as response:
            return b"triptych_" in response.read()
    except (OSError, HTTPException):
        return False


def _near(host: str) -> str:
    """Where what listens on `host` can be reached from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _bind(host: str, port: int) -> OSError | None:
    """Why gRPC could not bind; a bound socket that does not listen keeps nobody from the port."""
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(found)
    except OSError as error:
        return error
    return None


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
