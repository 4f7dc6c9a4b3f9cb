"""`triptych eval coco`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from triptych import Client
from triptych.channel import DEFAULT_TARGET
from triptych.cli.extras import needed_by
from triptych.cli.options import Json, Model, Target, Timeout
from triptych_export.evaluation.calls import CONCURRENCY
from triptych_export.evaluation.coco.annotations import read_annotations
from triptych_export.evaluation.options import (
    PATIENCE_S,
    Annotations,
    Beams,
    Concurrency,
    Images,
    LengthPenalty,
    Limit,
    MaxTokens,
    Output,
    search_by_beams,
)
from triptych_export.evaluation.output import (
    print_figures,
    print_json,
    print_left_out,
    reported,
    save,
)
from triptych_export.evaluation.progress import bars

if TYPE_CHECKING:
    from triptych_export.evaluation.coco.captioning import CocoReport

PUBLISHED_BEAMS, PUBLISHED_MAX_TOKENS = 5, 30  # BLIP-2, arXiv 2301.12597


def coco(
    images: Images,
    annotations: Annotations,
    split: Annotated[
        str, typer.Option(help="Split of a file in Karpathy's format; default: test.")
    ] = "",
    prompt: Annotated[str, typer.Option(help="The beginning of every caption.")] = "",
    num_beams: Beams = PUBLISHED_BEAMS,
    length_penalty: LengthPenalty = 1.0,
    max_tokens: MaxTokens = PUBLISHED_MAX_TOKENS,
    limit: Limit = None,
    concurrency: Concurrency = CONCURRENCY,
    output: Output = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = PATIENCE_S,
    as_json: Json = False,
) -> None:
    """BLEU, ROUGE-L, CIDEr, METEOR and SPICE of captions of a COCO or Karpathy file.

    The prompt is taken off the captions before they are compared. METEOR and SPICE are Java
    programs; where they cannot run, the others do, and the output says why.
    """
    with needed_by("eval coco", "eval"):
        from triptych_export.evaluation.coco.captioning import evaluate_coco
    generation = search_by_beams(num_beams, length_penalty, max_tokens)
    with reported(), Client(target, timeout=timeout) as client:
        pictures = read_annotations(annotations, images, split)[:limit]
        with bars() as progress:
            report = evaluate_coco(
                client,
                pictures,
                model=model,
                prompt=prompt,
                generation=generation,
                concurrency=concurrency,
                progress=progress,
            )
    save([{"image_id": key, "caption": text} for key, text in report.captions.items()], output)
    _print(report, as_json)


def _print(report: "CocoReport", as_json: bool) -> None:
    print_left_out(report.left_out)
    document = asdict(report)
    scores = document.pop("scores")
    del document["captions"]
    if as_json:
        print_json(scores | document)
        return
    figures = [(name, value) for name, value in scores.items() if isinstance(value, float)]
    print_figures(("measure", f"{report.pictures} pictures"), figures)
    console = Console(markup=False)
    console.print(f"tokenizer: {report.scores.tokenizer}")
    for name, reason in report.scores.not_run.items():
        console.print(f"{name}: not run because {reason}", soft_wrap=True)
