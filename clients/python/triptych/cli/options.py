"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Target: TypeAlias = Annotated[
    str,
    typer.Option(metavar="HOST:PORT", envvar="TRIPTYCH_TARGET", help="The gateway."),
]
Timeout: TypeAlias = Annotated[
    float, typer.Option(min=0.001, metavar="SECONDS", help="How long an answer may take.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Model: TypeAlias = Annotated[
    str, typer.Option(help="A model of `triptych models`; empty is the gateway's default.")
]
CollectionName: TypeAlias = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")
]
Filter: TypeAlias = Annotated[
    str,
    typer.Option(help="Only items whose metadata match, e.g. 'colour = \"red\" AND size > 3'."),
]
PictureFile: TypeAlias = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A picture file.")
]
