"""`triptych export`: checkpoint to model repository."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from transformers.utils import logging

from triptych_export.config import Batching
from triptych_export.errors import ExportError
from triptych_export.parity import Precision
from triptych_export.pipeline import export_clip

app = typer.Typer(no_args_is_help=True, help="Export checkpoints into a model repository.")


@app.callback()
def _export() -> None:
    """Keeps `clip` a subcommand: typer would run a lone command directly."""


@app.command()
def clip(
    checkpoint: Annotated[str, typer.Argument(help="Directory or hub id of the checkpoint.")],
    repository: Annotated[Path, typer.Option(help="Model repository to write into.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model; default: the checkpoint's.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="How weights and products are stored.")
    ] = Precision.FP32,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    max_batch_size: Annotated[int, typer.Option(min=1, help="Most rows of a batch.")] = 64,
    preferred_batch_size: Annotated[
        list[int] | None, typer.Option(help="Sizes worth waiting for; default: 4 and 8.")
    ] = None,
    gpu: Annotated[bool, typer.Option(help="Ask Triton for one instance a GPU.")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Directory of pictures for parity and static int8.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Export CLIP, Chinese-CLIP, SigLIP or DINOv2, and compare the result with torch."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no annotations
    batching = Batching(max_batch_size, tuple(preferred_batch_size or (4, 8)), gpu)
    try:
        report = export_clip(
            checkpoint,
            repository,
            name=name,
            precision=precision,
            revision=revision,
            batching=batching,
            calibration=calibration,
            overwrite=overwrite,
        )
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(json.dumps(report.to_json()) if as_json else report)


if __name__ == "__main__":
    app()
