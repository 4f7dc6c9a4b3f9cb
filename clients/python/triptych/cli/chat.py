"""`triptych chat`: questions, about a picture or not, line by line."""

import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.chat import ChatStream, Conversation
from triptych.cli import generation as options
from triptych.cli.options import Json, Model, Target, Timeout
from triptych.cli.output import print_json, printable
from triptych.cli.pictures import open_picture
from triptych.client import Client
from triptych.errors import TriptychError

PROMPT = "> "
QUIT, RESET = "/quit", "/reset"


def chat(
    ctx: typer.Context,
    picture: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A picture file. Default: words alone."),
    ] = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    min_tokens: options.MinTokens = None,
    max_tokens: options.MaxTokens = None,
    stop: options.Stop = None,
    seed: options.Seed = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Talk about a picture, or in words alone; answers know what was said before.

    Each line is a question; /reset forgets what was said, /quit or the end of the input (Ctrl-D)
    leaves. At a terminal, Ctrl-C cuts off the answer that is being written. With --json each answer
    is one JSON document on a line of its own.
    """
    interactive = sys.stdin.isatty() and not as_json
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is no text cannot be sent
    pictures = [open_picture(picture)] if picture else []
    with Client(target, timeout=timeout) as client:
        conversation = client.conversation(*pictures, generation=options.read(ctx), model=model)
        failed = False
        for line in _prompted() if interactive else sys.stdin:
            question = line.strip()
            if question == QUIT:
                break
            if question == RESET:
                conversation.reset()
            elif question:
                failed |= not _answer(conversation, question, interactive, as_json)
    if failed and not interactive:
        raise typer.Exit(1)


def _prompted() -> Iterator[str]:
    """Lines typed at the terminal; Ctrl-C gives one up."""
    with suppress(ImportError):  # where there is none, lines cannot be edited
        import readline  # noqa: F401
    while True:
        try:
            yield input(PROMPT)
        except KeyboardInterrupt:
            typer.echo()
        except EOFError:
            typer.echo()
            return


def _answer(
    conversation: Conversation[ChatStream], question: str, interactive: bool, as_json: bool
) -> bool:
    """Print an answer as it comes; whether it came to its end."""
    stream = conversation.ask(question)
    error = None
    try:
        with stream:
            for piece in stream:
                if not as_json:
                    typer.echo("\n".join(map(printable, piece.split("\n"))), nl=False)
    except TriptychError as failure:
        error = failure
    except KeyboardInterrupt:
        if not interactive:
            raise
    if as_json:
        print_json({"question": question, "text": stream.text, "end": stream.end, "error": error})
        return error is None
    typer.echo()
    if error is not None:
        typer.echo(f"error: {printable(str(error))}", err=True)
    elif stream.end is not None and stream.end.trimmed_messages:
        count = stream.end.trimmed_messages
        typer.echo(f"(without the {count} oldest messages, which no longer fit)", err=True)
    return error is None
