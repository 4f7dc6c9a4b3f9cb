"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from triptych import Generation

PATIENCE_S = 300.0  # a call waits behind many others


def _in_a_folder(file: Path | None) -> Path | None:
    """Refuse what could not be written at the end, before hours of work."""
    if file is not None and not os.access(file.parent, os.W_OK):
        raise typer.BadParameter(f"Directory '{file.parent}' cannot be written to.")
    return file


Images: TypeAlias = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Folder of the picture files.")
]
Annotations: TypeAlias = Annotated[
    Path, typer.Option(exists=True, dir_okay=False, help="JSON file of what people wrote.")
]
Beams: TypeAlias = Annotated[
    int, typer.Option(min=1, max=16, help="Beams of the search; 1 is greedy.")
]
LengthPenalty: TypeAlias = Annotated[
    float, typer.Option(min=-10, max=10, help="Of beam search: above 0 for longer texts.")
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Only so many, the first ones of the file; default: all.")
]
Concurrency: TypeAlias = Annotated[
    int, typer.Option(min=1, max=1024, help="Calls at once, which the gateway batches.")
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        writable=True,
        callback=_in_a_folder,
        help="Save what the model wrote, as evaluation servers take it.",
    ),
]
MaxTokens: TypeAlias = Annotated[int, typer.Option(min=1, help="Longest text, in tokens.")]


def search_by_beams(num_beams: int, length_penalty: float, max_tokens: int) -> Generation:
    """Beam search; one beam is greedy, and has no length penalty."""
    if num_beams == 1:
        return Generation(max_tokens=max_tokens)
    return Generation(num_beams=num_beams, length_penalty=length_penalty, max_tokens=max_tokens)
