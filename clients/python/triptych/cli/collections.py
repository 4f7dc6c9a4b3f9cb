"""`triptych collection`: create, get, list and delete collections."""

from collections.abc import Iterable
from typing import Annotated

import typer

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import Json, Model, Target, Timeout
from triptych.cli.output import print_json, print_table
from triptych.client import Client
from triptych.types import Collection, Index, IndexKind

app = typer.Typer(no_args_is_help=True, help="Create, get, list and delete collections.")
Name = Annotated[str, typer.Argument(help="The collection's name.")]


@app.command()
def create(
    name: Name,
    model: Model = "",
    index: Annotated[
        IndexKind, typer.Option(help="How to search: exactly, by a graph, or by size.")
    ] = IndexKind.AUTO,
    threshold: Annotated[
        int,
        typer.Option(min=0, help="With auto, the items from which it is a graph. Default: 50000."),
    ] = 0,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Make an empty collection."""
    with Client(target, timeout=timeout) as client:
        _print(client.collections.create(name, model=model, index=Index(index, threshold)), as_json)


@app.command()
def get(
    name: Name,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show one collection."""
    with Client(target, timeout=timeout) as client:
        _print(client.collections.get(name), as_json)


@app.command("list")
def list_all(
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List all collections."""
    with Client(target, timeout=timeout) as client:
        found = list(client.collections.list())
    if as_json:
        print_json({"collections": found})
    else:
        _table(found)


@app.command()
def delete(
    name: Name,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Delete a collection with all its items."""
    with Client(target, timeout=timeout) as client:
        client.collections.delete(name)
    if as_json:
        print_json({"deleted": name})


def _print(collection: Collection, as_json: bool) -> None:
    if as_json:
        print_json(collection)
    else:
        _table([collection])


def _table(collections: Iterable[Collection]) -> None:
    print_table(
        ["name", "items", "model", "dimension", "index", "created"],
        [
            (c.name, c.item_count, c.model, c.dimension, c.index.kind, c.create_time)
            for c in collections
        ],
    )
