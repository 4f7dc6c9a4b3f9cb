"""`triptych serve`: run a gateway in this process."""

import typer

from triptych.cli.extras import needed_by
from triptych.cli.server_flags import ServerFlags, with_server_flags


@with_server_flags
def serve(flags: ServerFlags) -> None:
    """Run a gateway until it is stopped; it prints one line when it is ready.

    Settings not given here are read from TRIPTYCH_* variables and then from the file of --config.
    """
    with needed_by("serve", "server"):
        from triptych_server import app
        from triptych_server.errors import TriptychError
    try:
        settings = flags.load()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        app.run(settings)
    except (TriptychError, ValueError) as error:  # a data directory in use, a broken repository
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
