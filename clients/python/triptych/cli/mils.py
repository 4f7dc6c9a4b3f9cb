"""`triptych mils`: search for the text that fits pictures best, and build pools to begin with."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from triptych import mils
from triptych.channel import DEFAULT_TARGET
from triptych.cli.build_pool import build_pool
from triptych.cli.default_group import DefaultGroup
from triptych.cli.extras import needed_by
from triptych.cli.generation import Seed, TopP
from triptych.cli.mils_view import print_best, print_result, showing
from triptych.cli.options import Json, Model, Target
from triptych.cli.output import print_json, printable
from triptych.cli.pictures import open_picture
from triptych.client import Client
from triptych.errors import TriptychError
from triptych.mils import SolvePolicy, SolveStep, TargetAggregation
from triptych.solving import SolveStream

FINALISTS = 16  # where the gateway has image-text matching
TIMEOUT_S = 300.0
INTERRUPTED = 130  # exit status

app = typer.Typer(
    cls=DefaultGroup,
    no_args_is_help=True,
    help="Search for text. Where no command is named, `solve` is meant.",
)


def solve(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="PICTURE",
            help="Picture files, or vectors of --model as `triptych embed --output` saves them.",
        ),
    ],
    plus: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Add words to each picture; may repeat."),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Take words off; may repeat.")
    ] = None,
    negative: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="PICTURE",
            help="What the text is not to fit; may repeat.",
        ),
    ] = None,
    aggregation: Annotated[
        TargetAggregation, typer.Option(help="Several pictures: fit most or all of them.")
    ] = TargetAggregation.MEAN,
    pool: Annotated[
        str, typer.Option(metavar="NAME", help="Begin with the best of a seed pool of the gateway.")
    ] = "",
    pool_limit: Annotated[
        int | None, typer.Option(min=1, max=1024, help="How many of them. Default: 64.")
    ] = None,
    seed_text: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Begin with this; may repeat.")
    ] = None,
    caption: Annotated[
        bool, typer.Option("--caption", help="Begin with a caption of each picture.")
    ] = False,
    caption_model: Annotated[str, typer.Option(help="The model of captions.")] = "",
    proposal_model: Annotated[str, typer.Option(help="The model that writes candidates.")] = "",
    candidates: Annotated[
        int | None, typer.Option(min=1, max=256, help="Candidates of a step. Default: 16.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Captions shown to it. Default: what it is made for."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="Of candidates. Default: 0.9.")
    ] = None,
    top_p: TopP = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Of a candidate. Default: 64.")
    ] = None,
    guidance: Annotated[
        str, typer.Option(help="What else is wanted, in words; for chat models.")
    ] = "",
    near_duplicate: Annotated[
        float | None,
        typer.Option(min=0.5, max=1, help="Texts of a cosine above are one. Default: 0.95."),
    ] = None,
    finalists: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=256,
            help=f"So many of the best are compared by image-text matching. Default: {FINALISTS} "
            "for pictures where the gateway has it.",
        ),
    ] = None,
    itm_model: Annotated[str, typer.Option(help="The model that compares them.")] = "",
    max_steps: Annotated[
        int | None, typer.Option(min=0, max=1000, help="Steps at most. Default: 20.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Steps without a better best. Default: 3.")
    ] = None,
    max_evaluations: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Candidates scored. Default: 500.")
    ] = None,
    policy: Annotated[
        SolvePolicy, typer.Option(help="Triptych's way, or the published loop's, to compare.")
    ] = SolvePolicy.TRIPTYCH,
    seed: Seed = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw score against evaluations, as PNG or SVG; needs the plot extra.",
        ),
    ] = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="How long the search may take; the best so far is the result then.",
        ),
    ] = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Search for the text that fits pictures best.

    A language model proposes captions, the cosine of --model scores them, and the scores go back,
    until nothing better comes. Ctrl-C leaves with the best so far.
    """
    if plot is not None:
        _check_plot(plot)
    aims = [_moved(aim, plus or [], minus or []) for path in pictures for aim in _read(path)]
    turned_from = [aim for path in negative or [] for aim in _read(path)]
    with Client(target, timeout=timeout) as client:
        if finalists is None:
            finalists = _default_finalists(client, aims, policy)
        stream = client.solve(
            aims,
            aggregation=aggregation,
            negatives=turned_from,
            seeds=mils.Seeds(pool, pool_limit, seed_text or (), caption, caption_model),
            proposal=mils.Proposal(
                model=proposal_model,
                candidates=candidates,
                examples=examples,
                temperature=temperature,
                top_p=top_p,
                max_tokens=max_tokens,
                guidance=guidance,
            ),
            scoring=mils.Scoring(
                scorers=[mils.ContrastiveScorer(model)] if model else (),
                near_duplicate_cosine=near_duplicate,
                finalists=finalists,
                finalist_model=itm_model,
            ),
            limits=mils.Limits(max_steps, patience, max_evaluations),
            policy=policy,
            seed=seed,
        )
        label = printable(", ".join(path.name for path in pictures))
        failure = _follow(stream, as_json, plot, label)
    if isinstance(failure, KeyboardInterrupt):
        raise typer.Exit(INTERRUPTED)
    if failure is not None:
        raise failure


def _follow(
    stream: SolveStream, as_json: bool, plot: Path | None, label: str
) -> TriptychError | KeyboardInterrupt | None:
    """Show a search as it goes on, and what it found; returns what cut it off."""
    steps: list[SolveStep] = []
    failure: TriptychError | KeyboardInterrupt | None = None
    try:
        with stream, showing(as_json) as show:
            for event in stream:
                if isinstance(event, SolveStep):
                    steps.append(event)
                    show(event)
    except (TriptychError, KeyboardInterrupt) as error:
        failure = error
    if plot is not None and steps:
        from triptych import mils_plot

        mils_plot.plot([mils_plot.Curve.of(label, steps)], plot)
    if as_json and steps:
        told = failure if isinstance(failure, TriptychError) else None
        print_json({"result": stream.result, "steps": steps, "error": told})
    elif stream.result is not None:
        print_result(stream.result)
    else:
        print_best(stream.best)
    return failure


def _check_plot(path: Path) -> None:
    """Refuse what could not be drawn, before any work."""
    with needed_by("mils --plot", "plot"):
        from triptych import mils_plot
    try:
        mils_plot.check_path(path)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _read(path: Path) -> Iterator[mils.Target]:
    """The picture of a file, or its vectors `[D]` or `[N, D]`."""
    if path.suffix.lower() != ".npy":
        yield mils.Target.of(open_picture(path))
        return
    try:
        with path.open("rb") as file:
            rows = np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}") from error
    if rows.ndim not in (1, 2) or rows.dtype.kind != "f" or not rows.size:
        raise typer.BadParameter(f"{path}: expected vectors, got {rows.dtype} {list(rows.shape)}")
    for row in np.atleast_2d(rows):
        yield mils.Target.of(row)


def _moved(aim: mils.Target, plus: Sequence[str], minus: Sequence[str]) -> mils.Target:
    for text in plus:
        aim += text
    for text in minus:
        aim -= text
    return aim


def _default_finalists(client: Client, targets: Sequence[mils.Target], policy: SolvePolicy) -> int:
    """Some where they can be compared: pictures alone, by a gateway with image-text matching."""
    pictures = all(
        len(target.terms) == 1 and isinstance(target.terms[0].query, bytes) for target in targets
    )
    if policy is SolvePolicy.PUBLISHED or not pictures:
        return 0
    encoders = (encoder for model in client.models.list() for encoder in model.encoders)
    return FINALISTS if any(each.role == "itm" and each.ready for each in encoders) else 0


app.command()(solve)
app.command("build-pool")(build_pool)
