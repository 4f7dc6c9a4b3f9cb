"""The flags that name a gateway's settings, for every command that reads these."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

if TYPE_CHECKING:
    from triptych_server.settings import Settings

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFlags:
    """The settings that can be given as flags; None where one was not."""

    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = (
        None
    )
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one. Default: 50051.")
    ] = None
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of Prometheus' metrics; 0 takes one. Default: none."
        ),
    ] = None
    services: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="embedding, mils, search, vision_language. Default: all."
        ),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of the collections. Default: data."),
    ] = None
    repository: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model repository. Default: the shipped one."),
    ] = None
    generators: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Language models. Default: generators, beside the repository."
        ),
    ] = None
    generator: Annotated[
        str | None,
        typer.Option(
            metavar="http://HOST:PORT", help="A vLLM, or several of one, by commas. Default: none."
        ),
    ] = None
    pools: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Seed pools. Default: seed_pools, beside the repository."),
    ] = None
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="onnx|triton://HOST:PORT",
            help="Who computes; several Tritons by commas. Default: onnx.",
        ),
    ] = None
    assets: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Tokenizers for a remote Triton. Default: the repository."
        ),
    ] = None
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of settings.")] = (
        None
    )
    threads: Annotated[
        int | None, typer.Option(min=1, help="Worker threads of the engine. Default: the cores.")
    ] = None
    default_model: Annotated[
        str | None, typer.Option(help="Model of requests that name none. Default: the first.")
    ] = None

    def load(self) -> "Settings":
        """The settings: these flags, then TRIPTYCH_* variables, then the file of --config.

        Needs the server extra. Raises `ValueError`.
        """
        from triptych_server.settings import Settings

        flags = {each.name: getattr(self, each.name) for each in fields(self)}
        return Settings.load(flags.pop("config"), **flags)


def with_server_flags(command: Callable[Concatenate[ServerFlags, P], None]) -> Callable[..., None]:
    """The command with these flags as options before its own, for typer to read."""
    shared = signature(ServerFlags).parameters
    _, *own = signature(command).parameters.values()

    def run(**values: Any) -> None:
        flags = ServerFlags(**{name: values.pop(name) for name in shared})
        command(flags, **values)  # type: ignore[call-arg]  # typer gives all that it was told of

    parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*shared.values(), *own)]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
