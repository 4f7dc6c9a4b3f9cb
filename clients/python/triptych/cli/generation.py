"""How text is written: options of `caption`, `ask` and `chat`, named as in `Generation`."""

from dataclasses import fields
from typing import Annotated, TypeAlias

import typer

from triptych.language import Generation

MAX_TOKENS = 1_000_000  # what no context holds

Temperature: TypeAlias = Annotated[
    float | None,
    typer.Option(min=0, max=2, help="Above 0, sample. Default: 0, the likeliest tokens."),
]
TopK: TypeAlias = Annotated[
    int | None,
    typer.Option(min=0, max=1000, help="Sample from the so many likeliest. Default: all."),
]
TopP: TypeAlias = Annotated[
    float | None, typer.Option(help="Sample from the likeliest that reach this sum. Default: 1.")
]
RepetitionPenalty: TypeAlias = Annotated[
    float | None, typer.Option(help="Above 1, repeat less. Default: 1.")
]
MinTokens: TypeAlias = Annotated[
    int | None, typer.Option(min=0, max=MAX_TOKENS, help="Do not end before.")
]
MaxTokens: TypeAlias = Annotated[int | None, typer.Option(min=1, max=MAX_TOKENS, help="End after.")]
Stop: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="End before this text; may repeat.")
]
Seed: TypeAlias = Annotated[
    int | None,
    typer.Option(min=0, max=2**64 - 1, help="Sample the same each time. Default: differently."),
]
Beams: TypeAlias = Annotated[
    int | None,
    typer.Option("--beams", min=1, max=16, help="Search over so many hypotheses. Default: 1."),
]
LengthPenalty: TypeAlias = Annotated[
    float | None,
    typer.Option(min=-10, max=10, help="With beams, above 0 favours long. Default: 1."),
]


def read(ctx: typer.Context) -> Generation | None:
    """What these options of a command say; None when none is given."""
    names = (field.name for field in fields(Generation))
    given = {name: ctx.params.get(name) for name in names}
    chosen = {name: value for name, value in given.items() if value not in (None, (), [])}
    return Generation(**chosen) if chosen else None
