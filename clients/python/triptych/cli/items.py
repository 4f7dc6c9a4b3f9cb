"""`triptych item`: get, list and delete the items of a collection."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import CollectionName, Filter, Json, Target, Timeout
from triptych.cli.output import print_json, print_table
from triptych.client import Client
from triptych.types import StoredItem

app = typer.Typer(no_args_is_help=True, help="Get, list and delete the items of a collection.")


@app.command()
def get(
    item_id: Annotated[str, typer.Argument(metavar="ID")],
    collection: CollectionName,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the stored picture or text.")
    ] = None,
    vector: Annotated[
        bool, typer.Option("--vector", help="With --json, print the vector.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show one item."""
    with Client(target, timeout=timeout) as client:
        item = client.items.get(
            collection, item_id, include_content=output is not None, include_vector=vector
        )
    if output is not None:
        if item.content is None:
            raise typer.BadParameter(f"no content is stored with {item_id}")
        content = item.content
        output.write_bytes(content.encode() if isinstance(content, str) else content)
    if as_json:
        print_json(_document(item))
    else:
        _table([item])


@app.command("list")
def list_some(
    collection: CollectionName,
    filter: Filter = "",
    limit: Annotated[int, typer.Option(min=1, help="Items at most.")] = 100,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List items, the least recently written first."""
    with Client(target, timeout=timeout) as client:
        found = list(islice(client.items.list(collection, filter=filter), limit))
    if as_json:
        print_json({"items": [_document(item) for item in found]})
    else:
        _table(found)


@app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    collection: CollectionName,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Delete items."""
    with Client(target, timeout=timeout) as client:
        answers = client.items.delete(collection, ids)
    if as_json:
        print_json({"results": answers})
    else:
        print_table(["id", "error"], [(answer.id, answer.error) for answer in answers])
    if any(answer.error for answer in answers):
        raise typer.Exit(1)


def _document(item: StoredItem) -> dict[str, object]:
    """The item without its content, which is for a file."""
    names = ("id", "metadata", "uri", "update_time", "has_content", "vector")
    return {name: getattr(item, name) for name in names}


def _table(items: list[StoredItem]) -> None:
    print_table(
        ["id", "metadata", "uri", "content", "written"],
        [(i.id, i.metadata, i.uri, i.has_content, i.update_time) for i in items],
    )
