"""`triptych health`: what grpc.health.v1 says, as an exit status, for probes and scripts."""

import time
from typing import Annotated

import grpc
import typer

from triptych.channel import DEFAULT_TARGET
from triptych.cli.options import Target, Timeout
from triptych.errors import TriptychError, from_rpc_error
from triptych.health import SERVING, ask_health

TIMEOUT_S = 5.0
PAUSE_S = 0.25  # between two questions of --wait


def health(
    target: Target = DEFAULT_TARGET,
    service: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Such as triptych.v1.SearchService; empty is the whole gateway."
        ),
    ] = "",
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait until it serves.")
    ] = 0.0,
    timeout: Timeout = TIMEOUT_S,
) -> None:
    """Tell in one line whether the gateway serves; the exit status is 0 only if it does."""
    until = time.monotonic() + wait
    while (status := _status(target, service, timeout)) != SERVING and time.monotonic() < until:
        time.sleep(PAUSE_S)
    if isinstance(status, TriptychError):
        raise status
    typer.echo(f"{service or target}: {status}")
    raise typer.Exit(status != SERVING)


def _status(target: str, service: str, timeout: float) -> str | TriptychError:
    """What it answers, or why it does not."""
    # A channel of its own: one that could not connect would wait longer each time.
    with grpc.insecure_channel(target) as channel:
        try:
            return ask_health(channel, service, timeout)
        except grpc.RpcError as error:
            return from_rpc_error(error)
