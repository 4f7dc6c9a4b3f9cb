"""`triptych caption` and `triptych ask`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.progress import track

from triptych import contents
from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli import generation as options
from triptych.cli.options import Json, Model, PictureFile, Target, Timeout
from triptych.cli.output import print_json, print_table, printable
from triptych.cli.pictures import open_picture, walk
from triptych.client import Client
from triptych.errors import InvalidArgumentError, TriptychError
from triptych.language import Captioned, CaptionOrder, Captions, Usage
from triptych.language_requests import CAPTION_IMAGES
from triptych.types import Timing


def caption(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, help="Picture files, and directories of pictures."),
    ],
    prompt: Annotated[str, typer.Option(help="How every caption begins.")] = "",
    num: Annotated[int, typer.Option(min=1, max=16, help="Captions for each picture.")] = 1,
    clip: Annotated[bool, typer.Option("--clip", help="Score by the cosine of a CLIP.")] = False,
    clip_model: Annotated[str, typer.Option(help="Score by this CLIP.")] = "",
    itm: Annotated[bool, typer.Option("--itm", help="Score by image-text matching.")] = False,
    itm_model: Annotated[str, typer.Option(help="Match by this model.")] = "",
    order_by: Annotated[
        CaptionOrder | None, typer.Option(help="What is best. Default: log_probability.")
    ] = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    min_tokens: options.MinTokens = None,
    max_tokens: options.MaxTokens = None,
    stop: options.Stop = None,
    seed: options.Seed = None,
    num_beams: options.Beams = None,
    length_penalty: options.LengthPenalty = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Describe pictures. More than one caption each need a --temperature, or as many --beams."""
    paths = [path for given in files for path in (walk(given) if given.is_dir() else [given])]
    told: list[tuple[Path, Captioned]] = []
    calls: list[Captions] = []
    with Client(target, timeout=timeout) as client:
        describe = partial(
            client.caption,
            prompt=prompt,
            num_captions=num,
            generation=options.read(ctx),
            clip=clip_model or clip,
            itm=itm_model or itm,
            order_by=order_by,
            model=model,
        )
        batches = [
            paths[first : first + CAPTION_IMAGES] for first in range(0, len(paths), CAPTION_IMAGES)
        ]
        console = Console(stderr=True)
        quiet = as_json or len(batches) < 2 or not console.is_terminal
        try:
            for batch in track(batches, "describing", console=console, disable=quiet):
                told += _describe(batch, describe, calls)
        finally:  # a call that fails leaves what was told before
            if told or not paths:
                _print_captions(told, calls, as_json)
    if any(each.error for _, each in told):
        raise typer.Exit(1)


def ask(
    ctx: typer.Context,
    picture: PictureFile,
    question: Annotated[str, typer.Argument(help="What to ask about it.")],
    choice: Annotated[
        list[str] | None, typer.Option(metavar="ANSWER", help="Choose among these; repeats.")
    ] = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    min_tokens: options.MinTokens = None,
    max_tokens: options.MaxTokens = None,
    stop: options.Stop = None,
    seed: options.Seed = None,
    num_beams: options.Beams = None,
    length_penalty: options.LengthPenalty = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Answer a question about a picture, freely or by one of the choices."""
    image = open_picture(picture)
    with Client(target, timeout=timeout) as client:
        answer = client.answer(
            image,
            question,
            choices=choice or (),
            generation=options.read(ctx),
            model=model,
        )
    if as_json:
        print_json(answer)
    elif answer.choices:
        best_first = sorted(answer.choices, key=lambda score: -score.probability)
        print_table(
            ["answer", "probability", "log probability"],
            [(score.choice, score.probability, score.log_probability) for score in best_first],
        )
    else:
        typer.echo(printable(answer.text))


def _describe(
    paths: Sequence[Path], describe: Callable[[list[bytes]], Captions], calls: list[Captions]
) -> list[tuple[Path, Captioned]]:
    """Captions of files, of which those that cannot be read have an error; adds to `calls`."""
    files = [_read(path) for path in paths]
    pictures = [file for file in files if isinstance(file, bytes)]
    if pictures:
        calls.append(describe(pictures))
    results = iter(calls[-1] if pictures else ())
    return [
        (path, next(results) if isinstance(file, bytes) else Captioned(error=file))
        for path, file in zip(paths, files, strict=True)
    ]


def _read(path: Path) -> bytes | TriptychError:
    try:
        contents.check(path, "file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        return InvalidArgumentError(grpc.StatusCode.INVALID_ARGUMENT, str(error), "FILE_UNREADABLE")


def _print_captions(
    told: list[tuple[Path, Captioned]], calls: list[Captions], as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "model": calls[0].model if calls else "",
                "usage": sum((call.usage for call in calls), Usage()),
                "timing": sum((call.timing for call in calls), Timing()),
                "results": [
                    {"input": str(path), "captions": each.captions, "error": each.error}
                    for path, each in told
                ],
            }
        )
        return
    columns = ["input", "caption", "log probability", "clip", "itm", "error"]
    rows = list(_rows(told))
    shown = [
        position
        for position, column in enumerate(columns)
        if column not in ("clip", "itm") or any(row[position] is not None for row in rows)
    ]
    print_table(
        [columns[position] for position in shown],
        [[row[position] for position in shown] for row in rows],
    )


def _rows(told: list[tuple[Path, Captioned]]) -> Iterator[tuple[object, ...]]:
    for path, each in told:
        for one in each.captions:
            yield path, one.text, one.log_probability, one.clip_score, one.itm_score, None
        if each.error is not None:
            yield path, None, None, None, None, each.error
