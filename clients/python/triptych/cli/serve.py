"""`triptych serve`: run a gateway in this process."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.extras import needed_by


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one. [50051]")
    ] = None,
    services: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="embedding, search, vision_language. [all]"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory of the collections. [data]")
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model repository. [the shipped one]"),
    ] = None,
    generators: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Language models. [generators, beside the repository]"),
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(metavar="onnx|triton://HOST:PORT", help="Who computes. [onnx]"),
    ] = None,
    assets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Tokenizers for a remote Triton. [the repository]"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of settings.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Worker threads of the engine. [the cores]")
    ] = None,
    default_model: Annotated[
        str | None, typer.Option(help="Model of requests that name none. [the first]")
    ] = None,
) -> None:
    """Run a gateway until it is stopped; it prints one line when it is ready.

    Settings not given here are read from TRIPTYCH_* variables and then from the file of --config.
    """
    with needed_by("serve", "server"):
        from triptych_server import app
        from triptych_server.errors import TriptychError
        from triptych_server.settings import Settings
    try:
        settings = Settings.load(
            config,
            host=host,
            port=port,
            services=services,
            data=data,
            repository=repository,
            generators=generators,
            encoders=encoders,
            assets=assets,
            threads=threads,
            default_model=default_model,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        app.run(settings)
    except (TriptychError, ValueError) as error:  # a data directory in use, a broken repository
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
