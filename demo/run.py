"""The main job from end to end: pictures are embedded, found again, described and talked about.

Draws 2,000 pictures of the miniature world, starts a gateway, ingests them with the command line,
searches by text in English and Chinese, by picture, and by mixes of these; describes pictures, asks
about them and chats about them; and finds captions of three by search, with no training. Writes
build/demo/index.html and build/demo/report.json.
`make demo` runs it; with PICTURES=DIR and CHECKPOINT=NAME it does what they allow of the same with
a user's photographs and a real checkpoint.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Annotated, Any

import typer
from found import CAPTIONS_A_SUBJECT, POOL, Found, find, subjects
from page import page
from pictures import draw_pictures
from queries import (
    DRAWN,
    Answer,
    answer,
    drawn_queries,
    photograph_queries,
    reranked_queries,
    scene,
)
from rich.console import Console
from rich.table import Column, Table
from talk import Discussed, Talk, talk_about, talk_about_drawn

from triptych import Client, Model
from triptych_server.launch import GatewayProcess
from triptych_server.settings import SHIPPED_REPOSITORY

BUILD = Path("build/demo")
PICTURES = 2_000
PRINTED = 3  # hits of each query; the page has all
DESCRIBED = 5  # photographs
console = Console(markup=False, emoji=False)  # texts hold brackets


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
    pools = BUILD / "pools"
    pools.mkdir(exist_ok=True)
    flags = ["--repository", repository, "--data", data, "--pools", pools]
    console.print("starting the gateway")
    with (
        GatewayProcess(*flags, log=BUILD / "log") as gateway,
        Client(gateway.target) as client,
    ):
        models = [model for model in client.models.list() if model.ready]
        names = ", ".join(model.name for model in models)
        console.print(f"gateway on {gateway.target} with {names}")
        writes, matches = can_write(models), can_match(models)
        ingestion = ingest(gateway.target, folder, name)
        if pictures:
            photographs = pictures_of(client, name, folder)
            queries = photograph_queries(photographs[0])
        else:
            queries = [*drawn_queries(), *(reranked_queries() if matches else [])]
        answers = [answer(client, name, query) for query in queries]
        talk = Talk()
        if writes and pictures:
            files = {str(path.relative_to(folder)): path.read_bytes() for path in photographs}
            talk = talk_about(client, files, itm=matches)
        elif writes:
            talk = talk_about_drawn(client, itm=matches)
        found: list[Found] = []
        if can_propose(models) and not pictures:
            build_pool(gateway.target, pools)
            found = find(client, matching=matches)
    for each in answers:
        show(each)
    show_talk(talk)
    show_found(found)
    title = f"Triptych: {ingestion['pictures']:,} pictures, {names}"
    (BUILD / "index.html").write_text(page(title, answers, talk, found), "utf-8")
    report = {
        "models": [asdict(model) for model in models],
        "ingestion": ingestion,
        "queries": [each.summary() for each in answers],
        "language": talk.summary(),
        "found": [each.summary() for each in found],
        "seconds": round(time.monotonic() - began, 2),
    }
    (BUILD / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    console.print(f"\n{BUILD / 'index.html'} shows it all, {BUILD / 'report.json'} has the figures")


def can_write(models: list[Model]) -> bool:
    """Whether there is a model that describes pictures."""
    return any(model.generator is not None for model in models)


def can_propose(models: list[Model]) -> bool:
    """Whether there is a model that proposes texts which score higher than others."""
    return any(model.generator is not None and model.generator.proposals for model in models)


def can_match(models: list[Model]) -> bool:
    """Whether there is a model that tells if a text matches a picture."""
    return any(encoder.role == "itm" for model in models for encoder in model.encoders)


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


def build_pool(target: str, pools: Path) -> None:
    """Build the seed pool with the command line: captions that the language model writes about
    kinds of objects."""
    command = ["mils", "build-pool", POOL, "--pools", str(pools), "--target", target, "--json"]
    command += ["--subjects", str(subjects(BUILD / "subjects.txt"))]
    command += ["--count", str(CAPTIONS_A_SUBJECT), "--seed", "1"]
    with console.status("building the seed pool"):
        report: dict[str, Any] = json.loads(run_triptych(*command))
    console.print(f"built a seed pool of {report['pool']['count']:,} captions")


def pictures_of(client: Client, collection: str, folder: Path) -> list[Path]:
    """Some pictures that were ingested; ends the demo if there are none."""
    # Pictures that were removed since an earlier demo are still in the collection.
    paths = (folder / item.id for item in client.items.list(collection))
    found = list(islice((path for path in paths if path.exists()), DESCRIBED))
    if not found:
        print(f"no picture of {folder} could be read", file=sys.stderr)
        raise typer.Exit(1)
    return found


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
    shown = table(found.query.title, "score", "picture", "")
    for hit in found.hits[:PRINTED]:
        score = hit.score if hit.itm_score is None else hit.itm_score
        shown.add_row(f"{score:.3f}", hit.item.id, str(hit.item.metadata.get("caption", "")))
    console.print(shown)


def show_talk(talk: Talk) -> None:
    """Print captions, answers and chats."""
    if talk.described:
        shown = table("Captions", "picture", "caption", "cosine")
        for each in talk.described:
            labels = chain([each.label], repeat(""))
            for label, caption in zip(labels, each.captions, strict=False):
                shown.add_row(label, caption.text, f"{caption.clip_score:.3f}")
            shown.add_section()
        console.print(shown)
    show_turns("Questions", talk.answered)
    show_turns("Chats", talk.discussed)


def show_turns(title: str, discussed: Sequence[Discussed]) -> None:
    """Print questions and answers, picture by picture."""
    if not discussed:
        return
    shown = table(title, "picture", "question", "answer")
    for each in discussed:
        labels = chain([each.label], repeat(""))
        for label, turn in zip(labels, each.turns, strict=False):
            shown.add_row(label, turn.question, turn.answer)
        shown.add_section()
    console.print(shown)


def show_found(found: Sequence[Found]) -> None:
    """Print the captions that were found by search."""
    if not found:
        return
    shown = table("Found by search", "picture", "found", "score", "proposals", "steps", "ms")
    for each in found:
        spent = each.result.spending.evaluations
        best = each.result.texts[0]
        shown.add_row(
            each.label,
            best.text,
            f"{best.score:.3f}",
            f"{spent}",
            f"{each.result.steps}",
            f"{each.milliseconds:.0f}",
        )
    console.print(shown)


def table(title: str, *columns: str) -> Table:
    """An empty table in which nothing will be cut."""
    return Table(
        *(Column(column, overflow="fold") for column in columns),
        title=title,
        title_justify="left",
    )


if __name__ == "__main__":
    typer.run(main)
