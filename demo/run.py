"""The main job from end to end: pictures are embedded, indexed, and found again.

Draws 2,000 pictures of the miniature world, starts a gateway, ingests them with the command line,
searches by text in English and Chinese, by picture, and by mixes of these, and writes
build/demo/index.html and build/demo/report.json. `make demo` runs it; with PICTURES=DIR and
CHECKPOINT=NAME it does the same with a user's photographs and a real checkpoint.
"""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from pictures import draw_pictures
from queries import DRAWN, Answer, answer, drawn_queries, photograph_queries, scene
from rich.console import Console
from rich.table import Table

from triptych import Client
from triptych.contact_sheet import Section, Tile, contact_sheet
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

BUILD = Path("build/demo")
PICTURES = 2_000
PRINTED = 3  # hits of each query; the page has all
console = Console()


def main(
    pictures: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of photographs.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="CLIP checkpoint, by directory or hub id.")
    ] = None,
) -> None:
    """Run the demo."""
    BUILD.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    repository = export(checkpoint) if checkpoint else SHIPPED_REPOSITORY
    folder = pictures.resolve() if pictures else draw(PICTURES)
    name = f"photographs-{digest(str(folder))}" if pictures else "drawn"
    # A collection is pinned to its model's space: each repository has data of its own.
    data = BUILD / "data" / (Path(repository).name if checkpoint else "miniature")
    console.print("starting the gateway")
    with (
        GatewayProcess("--repository", repository, "--data", data, log=BUILD / "log") as gateway,
        Client(gateway.target) as client,
    ):
        [model] = client.models.list()
        console.print(f"gateway on {gateway.target} with {model.name} ({model.dimension} numbers)")
        ingestion = ingest(gateway.target, folder, name)
        one = picture_of(client, name, folder)
        queries = photograph_queries(one) if pictures else drawn_queries()
        answers = [answer(client, name, query) for query in queries]
    for each in answers:
        show(each)
    write_page(answers, f"{ingestion['pictures']:,} pictures, {model.name}")
    report = {
        "model": asdict(model),
        "ingestion": ingestion,
        "queries": [each.summary() for each in answers],
        "seconds": round(time.monotonic() - began, 2),
    }
    (BUILD / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    console.print(
        f"\n{BUILD / 'index.html'} shows the hits, {BUILD / 'report.json'} has the figures"
    )


def export(checkpoint: str) -> Path:
    """The checkpoint as a model repository, exported once; one that was interrupted starts anew."""
    name = checkpoint.rstrip("/").rpartition("/")[2]
    repository = BUILD / "models" / f"{name}-{digest(checkpoint)}"
    if not repository.exists():
        part = repository.with_name(f"{repository.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        with console.status("exporting the checkpoint and comparing it with torch"):
            report = run_triptych("export", "clip", checkpoint, "--repository", str(part))
        part.rename(repository)
        console.print(report)
    return repository


def digest(text: str) -> str:
    """Tells apart checkpoints and folders of the same name."""
    return sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def draw(count: int) -> Path:
    """The drawn pictures, with their metadata beside the folder; drawn once."""
    folder = BUILD / "pictures"
    if len(list(folder.glob("*.jpg"))) < count:
        console.print(f"drawing {count:,} pictures")
        draw_pictures(folder, count, [scene(caption) for caption in DRAWN])
    return folder


def ingest(target: str, folder: Path, collection: str) -> dict[str, Any]:
    """Ingest with the command line, as a user would; returns its report. Pictures that cannot be
    read are told and left out."""
    command = ["ingest", str(folder), "--collection", collection, "--target", target, "--json"]
    metadata = folder.parent / f"{folder.name}.jsonl"
    if metadata.exists():
        command += ["--metadata", str(metadata)]
    with console.status("ingesting"):
        report: dict[str, Any] = json.loads(run_triptych(*command))
    written = report["created"] + report["replaced"]
    console.print(f"ingested {written:,} pictures, {report['rate']:.0f} a second")
    return report


def picture_of(client: Client, collection: str, folder: Path) -> Path:
    """A picture that was ingested; ends the demo if there is none."""
    # Pictures that were removed since an earlier demo are still in the collection.
    paths = (folder / item.id for item in client.items.list(collection))
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        print(f"no picture of {folder} could be read", file=sys.stderr)
        raise typer.Exit(1)
    return path


def run_triptych(*arguments: str) -> str:
    """Run a command of the command line; returns what it printed, and ends the demo if that is
    nothing."""
    command = [sys.executable, "-m", "triptych", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise typer.Exit(done.returncode or 1)
    return done.stdout


def show(found: Answer) -> None:
    """Print the hits of one query."""
    table = Table("score", "picture", "", title=found.query.title, title_justify="left")
    for hit in found.hits[:PRINTED]:
        table.add_row(f"{hit.score:.3f}", hit.item.id, str(hit.item.metadata.get("caption", "")))
    console.print(table)


def write_page(answers: list[Answer], title: str) -> None:
    """Write the queries with their hit pictures as one HTML page."""
    sections = [
        Section(
            title=found.query.title,
            note=f"{found.query.kind}, {found.milliseconds:.1f} ms",
            pictures=tuple(found.query.pictures),
            tiles=tuple(
                Tile(
                    label=hit.item.id,
                    picture=hit.item.content if isinstance(hit.item.content, bytes) else None,
                    score=hit.score,
                    captions=tuple(
                        str(hit.item.metadata[key])
                        for key in ("caption", "caption_zh")
                        if key in hit.item.metadata
                    ),
                )
                for hit in found.hits
            ),
        )
        for found in answers
    ]
    (BUILD / "index.html").write_text(contact_sheet(f"Triptych: {title}", sections), "utf-8")


if __name__ == "__main__":
    typer.run(main)
