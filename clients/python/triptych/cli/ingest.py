"""`triptych ingest`: the pictures of a directory into a collection."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from triptych import contents, metadata
from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import CollectionName, Json, Model, Target, Timeout
from triptych.cli.output import print_json, printable
from triptych.cli.pictures import walk
from triptych.cli.progress import progress_bar
from triptych.client import Client
from triptych.errors import AlreadyExistsError, InvalidArgumentError, TriptychError
from triptych.types import Item, Upserted


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingestion did. `rate` is pictures a second; `failures` have an error each."""

    collection: str
    pictures: int
    created: int
    replaced: int
    seconds: float
    rate: float
    failures: list[Upserted]


def ingest(
    directory: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Searched with all its folders.")
    ],
    collection: CollectionName,
    create: Annotated[
        bool, typer.Option("--create/--no-create", help="Make the collection if it is missing.")
    ] = True,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep the pictures beside their vectors.")
    ] = True,
    metadata_file: Annotated[
        Path | None,
        typer.Option(
            "--metadata",
            exists=True,
            dir_okay=False,
            metavar="FILE.jsonl",
            help='One object a line: "id" or "path" (below DIRECTORY) and the metadata to keep.',
        ),
    ] = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Write the pictures of a directory into a collection; ids are paths below the directory.

    Ingesting again replaces the items of the same paths.
    """
    rows = {} if metadata_file is None else _read_rows(metadata_file)
    paths = list(walk(directory))
    with Client(target, timeout=timeout) as client:
        if create:
            with suppress(AlreadyExistsError):
                client.collections.create(collection, model=model)
        report = _write(client, collection, _Source(directory, paths, rows, store), as_json)
    _print(report, as_json)
    if report.failures:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Source:
    directory: Path
    paths: list[Path]
    rows: Mapping[str, Mapping[str, Any]]
    store: bool

    def items(self, failures: list[Upserted]) -> Iterator[Item]:
        """Read the files one by one; those that cannot be read are added to `failures`."""
        for path in self.paths:
            item_id = path.relative_to(self.directory).as_posix()
            try:
                item_id.encode()  # a name that is no text cannot be an id
                contents.check(path, "file")
                picture = path.read_bytes()
            except (OSError, ValueError) as error:
                reason = InvalidArgumentError(
                    grpc.StatusCode.INVALID_ARGUMENT, str(error), "FILE_UNREADABLE"
                )
                failures.append(Upserted(item_id, error=reason))
                continue
            yield Item(
                item_id,
                content=picture,
                metadata=self.rows.get(item_id, {}),
                uri=path.resolve().as_uri(),
                store=self.store,
            )


def _write(client: Client, collection: str, source: _Source, quiet: bool) -> Report:
    unread: list[Upserted] = []
    failures: list[Upserted] = []
    written = created = 0
    began = time.monotonic()
    with progress_bar(quiet) as progress:
        task = progress.add_task("ingesting", total=len(source.paths))
        try:
            for answer in client.upsert(collection, source.items(unread)):
                if answer.error is None:
                    written += 1
                    created += answer.created
                else:
                    failures.append(answer)
                progress.update(task, completed=written + len(failures) + len(unread))
        except TriptychError:
            typer.echo(f"{written} of {len(source.paths)} pictures are in {collection}", err=True)
            raise
        progress.update(task, completed=written + len(failures) + len(unread))
    seconds = time.monotonic() - began
    return Report(
        collection=collection,
        pictures=len(source.paths),
        created=created,
        replaced=written - created,
        seconds=seconds,
        rate=written / seconds,
        failures=[*unread, *failures],
    )


def _read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The metadata of a JSON-lines file, by item id."""
    rows = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
                metadata.to_message(row, where)
            except (TypeError, ValueError) as error:
                raise typer.BadParameter(f"{where}: {error}") from error
            key = row.pop("id", None) or row.pop("path", None)
            if not isinstance(key, str):
                raise typer.BadParameter(f'{where}: neither "id" nor "path" names a picture')
            rows[key] = row
    return rows


def _print(report: Report, as_json: bool) -> None:
    for failure in report.failures:
        typer.echo(f"failed: {printable(failure.id)}: {printable(str(failure.error))}", err=True)
    if as_json:
        print_json(report)
    else:
        typer.echo(
            f"{report.created} created, {report.replaced} replaced, {len(report.failures)} failed "
            f"of {report.pictures} pictures in {report.seconds:.1f} s ({report.rate:.0f} a second)"
        )
