"""The boundary of the command line: errors become one line and an exit status."""

from typing import Any

import typer
from typer.core import TyperGroup

from triptych.errors import TriptychError


class Root(TyperGroup):
    """Reports what the caller can act on (the gateway's errors, files) without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of our output has left; typer ends quietly
        except (TriptychError, OSError) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
