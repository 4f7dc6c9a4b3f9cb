"""Commands of the optional parts, which are imported only when they are called."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import typer

OURS = ("triptych", "triptych_server", "triptych_export")
# The mounted command reads its own options, --help among them.
PASS_ON: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
    "add_help_option": False,
}


@contextmanager
def needed_by(command: str, extra: str) -> Iterator[None]:
    """Say which extra `command` needs when importing a library fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise  # a fault of ours, not of the installation
        typer.echo(
            f"error: triptych {command} needs the {extra} extra: pip install 'triptych[{extra}]'",
            err=True,
        )
        raise typer.Exit(1) from error


def export(ctx: typer.Context) -> None:
    """Export a checkpoint into a model repository."""
    _pass_on(ctx, "triptych_export.cli")


def evaluate(ctx: typer.Context) -> None:
    """Measure the quality of a gateway's answers."""
    _pass_on(ctx, "triptych_export.evaluation.cli")


def _pass_on(ctx: typer.Context, module: str) -> None:
    command = ctx.info_name or ""
    with needed_by(command, "export"):
        app = import_module(module).app
        app(ctx.args, prog_name=f"triptych {command}")
