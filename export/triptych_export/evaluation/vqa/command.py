"""`triptych eval vqa`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from triptych import Client
from triptych.channel import DEFAULT_TARGET
from triptych.cli.options import Json, Model, Target, Timeout
from triptych_export.evaluation.calls import CONCURRENCY
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
from triptych_export.evaluation.vqa.annotations import FILE_NAMES, read_questions
from triptych_export.evaluation.vqa.answering import VqaReport, evaluate_vqa

# BLIP-2 (arXiv 2301.12597): short answers are preferred.
PUBLISHED_BEAMS, PUBLISHED_LENGTH_PENALTY, PUBLISHED_MAX_TOKENS = 5, -1.0, 10


def vqa(
    images: Images,
    questions: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="JSON file of the questions.")
    ],
    annotations: Annotations,
    file_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="What picture files are called, with %d or %012d for the picture's id; "
            f"of several the first that is there; default: {', '.join(FILE_NAMES)}.",
        ),
    ] = None,
    num_beams: Beams = PUBLISHED_BEAMS,
    length_penalty: LengthPenalty = PUBLISHED_LENGTH_PENALTY,
    max_tokens: MaxTokens = PUBLISHED_MAX_TOKENS,
    limit: Limit = None,
    concurrency: Concurrency = CONCURRENCY,
    output: Output = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = PATIENCE_S,
    as_json: Json = False,
) -> None:
    """The accuracy of the VQA benchmark for answers to the questions of VQAv2's files."""
    generation = search_by_beams(num_beams, length_penalty, max_tokens)
    with reported(), Client(target, timeout=timeout) as client:
        asked = read_questions(questions, annotations, images, file_name or FILE_NAMES)[:limit]
        with bars() as progress:
            report = evaluate_vqa(
                client,
                asked,
                model=model,
                generation=generation,
                concurrency=concurrency,
                progress=progress,
            )
    save([{"question_id": key, "answer": text} for key, text in report.answers.items()], output)
    _print(report, as_json)


def _print(report: VqaReport, as_json: bool) -> None:
    print_left_out(report.left_out)
    if as_json:
        document = asdict(report)
        del document["answers"]
        print_json(document)
        return
    rows = [("all", report.accuracy), *report.by_answer_type.items()]
    print_figures(("answers", f"{report.questions} questions"), rows)
    print_figures(("questions", "accuracy"), report.by_question_type.items())
