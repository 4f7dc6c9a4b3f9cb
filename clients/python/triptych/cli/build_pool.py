"""`triptych mils build-pool`: captions of a file, or about subjects, into a seed pool."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from triptych import seed_pool
from triptych.channel import DEFAULT_TARGET
from triptych.cli.generation import Seed
from triptych.cli.options import Json, Model, Target, Timeout
from triptych.cli.output import print_json
from triptych.cli.progress import progress_bar
from triptych.client import Client
from triptych.mils import Proposed
from triptych.pool_building import Built, build
from triptych.seed_pool import SeedPool, one_line, select

COUNT = 8  # captions of a subject
CALL_COUNT = 64  # of them that one call gives
CALL_SUBJECTS = 16
TIMEOUT_S = 120.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Report:
    """What building a pool did.

    Left out were captions that are `duplicates`, `excluded`, `refused` (no text or too long) or
    `truncated` (longer than the model reads); `unparsed` replies of the model that wrote were not
    understood. `rate` is captions embedded a second.
    """

    name: str
    path: str
    pool: SeedPool
    duplicates: int
    excluded: int
    refused: int
    truncated: int
    unparsed: int
    writing_seconds: float
    embedding_seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class _Texts:
    texts: list[str]
    source: str
    unparsed: int = 0


def build_pool(
    name: Annotated[str, typer.Argument(help="The pool's name, for --pool.")],
    pools: Annotated[
        Path,
        typer.Option(
            metavar="DIR", envvar="TRIPTYCH_POOLS", help="Where the gateway has its pools."
        ),
    ],
    captions: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE", help="Captions, one a line, as they are."
        ),
    ] = None,
    subjects: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Classes or attributes, one a line, to write captions about.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, max=4096, help="With --subjects, captions of each.")
    ] = COUNT,
    exclude: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="Leave out these captions."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first so many captions. Default: all.")
    ] = None,
    proposal_model: Annotated[
        str, typer.Option(help="With --subjects, the model that writes.")
    ] = "",
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="With --subjects. Default: 1.")
    ] = None,
    guidance: Annotated[
        str, typer.Option(help="With --subjects, what is wanted, in words; for chat models.")
    ] = "",
    seed: Seed = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Build a seed pool: captions with their vectors of --model.

    A pool of that name is replaced as a whole, when the new one is complete; running gateways read
    it then.
    """
    if not _NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r} is no name: letters, digits, '.', '_' and '-'")
    if (captions is None) == (subjects is None):
        raise typer.BadParameter("give either --captions or --subjects")
    unwanted = [] if exclude is None else _lines(exclude)
    folder = pools / name
    seed_pool.check_place(folder)
    with Client(target, timeout=timeout) as client, progress_bar(as_json) as progress:
        began = time.monotonic()
        if captions is not None:
            texts = _Texts(_lines(captions), captions.name)
        else:
            assert subjects is not None, "one of the two is given"
            write = partial(
                client.propose, model=proposal_model, temperature=temperature, guidance=guidance
            )
            about = list(dict.fromkeys(filter(None, map(one_line, _lines(subjects)))))
            if not about:
                raise typer.BadParameter(f"{subjects}: there is nothing to write about")
            texts = _write(write, about, subjects.name, count, seed, progress)
        writing = time.monotonic() - began
        chosen = select(texts.texts, unwanted, limit)
        if not chosen.captions:
            raise typer.BadParameter("no captions are left")
        built = _embed(client, folder, chosen.captions, model, texts.source, progress)
    embedded = built.pool.count + built.truncated
    _print(
        Report(
            name=name,
            path=str(folder.resolve()),
            pool=built.pool,
            duplicates=chosen.duplicates,
            excluded=chosen.excluded,
            refused=chosen.refused,
            truncated=built.truncated,
            unparsed=texts.unparsed,
            writing_seconds=writing,
            embedding_seconds=built.seconds,
            rate=embedded / built.seconds,
        ),
        as_json,
    )


def _write(
    write: Callable[..., Proposed],
    subjects: Sequence[str],
    file_name: str,
    count: int,
    seed: int | None,
    progress: Progress,
) -> _Texts:
    """`count` captions of each subject, by as many calls as that takes."""
    task = progress.add_task("writing", total=count * len(subjects))
    texts: list[str] = []
    unparsed = 0
    author = ""
    for call, first_caption in enumerate(range(0, count, CALL_COUNT)):
        share = min(CALL_COUNT, count - first_caption)
        call_seed = None if seed is None else (seed + call) % 2**64
        for first in range(0, len(subjects), CALL_SUBJECTS):
            about = subjects[first : first + CALL_SUBJECTS]
            proposed = write(about, count=share, seed=call_seed)
            texts += [text for written in proposed for text in written]
            unparsed += proposed.unparsed
            author = proposed.model
            progress.advance(task, share * len(about))
    return _Texts(texts, f"{len(subjects)} subjects of {file_name}, by {author}", unparsed)


def _embed(
    client: Client,
    folder: Path,
    captions: Sequence[str],
    model: str,
    source: str,
    progress: Progress,
) -> Built:
    task = progress.add_task("embedding", total=len(captions))
    return build(
        client,
        folder,
        captions,
        model=model,
        source=source,
        progress=lambda done: progress.update(task, completed=done),
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path}: not UTF-8 at byte {error.start:,}") from error


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    typer.echo(
        f"pool {report.name}: {report.pool.count:,} captions, as vectors of {report.pool.model}, "
        f"{report.rate:,.0f} a second"
    )
    names = ("duplicates", "excluded", "refused", "truncated", "unparsed")
    left_out = [f"{name} {getattr(report, name):,}" for name in names if getattr(report, name)]
    if left_out:
        typer.echo(f"left out: {', '.join(left_out)}")
