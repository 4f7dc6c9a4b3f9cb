"""`triptych eval mils`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from triptych import Client, SolvePolicy
from triptych.cli.options import Json, Timeout
from triptych_export.evaluation.mils.figures import MilsFigures, evaluate_mils
from triptych_export.evaluation.mils.ways import Budget
from triptych_export.evaluation.options import PATIENCE_S
from triptych_export.evaluation.output import print_figures, print_json, reported
from triptych_export.evaluation.progress import bars
from triptych_server.launch import GatewayProcess

COLUMNS = ("attribute_f1", "exact", "evaluations", "encoded_texts", "completion_tokens")


def mils(
    scenes: Annotated[int, typer.Option(min=2, help="Unseen scenes to find captions of.")] = 200,
    pool_size: Annotated[
        int, typer.Option(min=1, help="Captions of the seed pool; no truth is among them.")
    ] = 30_000,
    evaluations: Annotated[
        int, typer.Option(min=1, max=1_024, help="Captions that may be scored for a picture.")
    ] = 500,
    candidates: Annotated[
        int, typer.Option(min=1, max=256, help="Captions that a step asks for.")
    ] = 16,
    finalists: Annotated[
        int, typer.Option(min=0, max=256, help="Captions compared by image-text matching.")
    ] = 16,
    policy: Annotated[SolvePolicy, typer.Option(help="That of the loop.")] = SolvePolicy.TRIPTYCH,
    repository: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Model repository, with generators beside it; default: the shipped one.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A gateway that reads its seed pools from --pools; default: one of its own.",
        ),
    ] = None,
    pools: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Seed pools of the gateway.")
    ] = None,
    timeout: Timeout = PATIENCE_S,
    as_json: Json = False,
) -> None:
    """The MILS loop on unseen scenes of the miniature world, beside what it is measured against.

    Captions are found from a seed pool alone, scored by the gateway's default models; beside it, on
    the same scenes: the same with a scorer that knows the truth, the best of the pool, captions
    drawn blindly, the published loop's policy, the loop from BLIP-2's caption, and that caption.
    """
    if (target is None) != (pools is None):
        raise typer.BadParameter("--target and --pools go together")
    with (
        reported(),
        _gateway(target, pools, repository) as (where, folder),
        Client(where, timeout=timeout) as client,
        bars() as progress,
    ):
        figures = evaluate_mils(
            client,
            folder,
            scenes=scenes,
            pool_size=pool_size,
            budget=Budget(evaluations=evaluations, candidates=candidates, finalists=finalists),
            policy=policy,
            repository=repository,
            progress=progress,
        )
    if as_json:
        print_json(figures.to_json())
    else:
        _print(figures)


@contextmanager
def _gateway(
    target: str | None, pools: Path | None, repository: Path | None
) -> Iterator[tuple[str, Path]]:
    """Where the gateway listens, and its seed pools."""
    if target is not None and pools is not None:
        yield target, pools
        return
    with tempfile.TemporaryDirectory(prefix="triptych-eval-") as folder:
        place = Path(folder)
        (place / "pools").mkdir()
        flags: list[str | Path] = ["--pools", place / "pools", "--data", place / "data"]
        if repository is not None:
            flags += ["--repository", repository]
        with GatewayProcess(*flags, log=place / "log") as gateway:
            yield gateway.target, place / "pools"


def _print(figures: MilsFigures) -> None:
    print_figures(
        (f"{figures.scenes} scenes", *(column.replace("_", " ") for column in COLUMNS)),
        [
            (name, *(getattr(each, column) for column in COLUMNS))
            for name, each in {
                "the loop, from the seed pool": figures.mils,
                "the same, perfect scorer": figures.perfect_scorer,
                "best of the seed pool": figures.best_of_pool,
                "drawn blindly": figures.random,
                "the published loop": figures.published,
                "the loop, from BLIP-2's caption": figures.seeded,
            }.items()
        ],
    )
    print_figures(
        ("", "attribute f1", "exact"),
        [("BLIP-2's caption", figures.caption.attribute_f1, figures.caption.exact)],
    )
    pool = figures.pool
    print(f"the seed pool: {pool.captions:,} captions, built in {pool.seconds:.1f} s")
    print(f"texts encoded, of those of the published loop: 1/{1 / figures.encoded_share:.0f}")
