"""The command line, `triptych COMMAND`: one module for each group of commands."""

import signal
import sys
from importlib import metadata
from typing import Annotated

import typer

from triptych.cli import (
    chat,
    collections,
    doctor,
    embedding,
    extras,
    health,
    ingest,
    items,
    language,
    mils,
    models,
    search,
    serve,
)
from triptych.cli.root import Root

app = typer.Typer(
    name="triptych",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(metadata.version("triptych"))
        raise typer.Exit


@app.callback()
def triptych(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Embed, rank, search and describe pictures, ask and talk about them, and search for text.

    Commands talk to the gateway at --target, or TRIPTYCH_TARGET. With --json they print one JSON
    document. They exit with 1 when something failed and with 2 when they were not understood.
    """


app.command()(serve.serve)
app.command()(embedding.embed)
app.command()(embedding.rank)
app.command()(language.caption)
app.command()(language.ask)
app.command()(chat.chat)
app.add_typer(mils.app, name="mils")
app.add_typer(collections.app, name="collection")
app.add_typer(items.app, name="item")
app.command()(ingest.ingest)
app.command(cls=search.SearchCommand)(search.search)
app.command("models")(models.list_models)
app.command()(health.health)
app.command()(doctor.doctor)
app.command("export", **extras.PASS_ON)(extras.export)
app.command("eval", **extras.PASS_ON)(extras.evaluate)


def main() -> None:
    """Entry point of the `triptych` script."""
    # Like an interrupt, so that what a command has started or opened ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()
