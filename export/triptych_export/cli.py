"""`triptych export`: checkpoint to model repository and generators."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from transformers.utils import logging

from triptych_export.config import Batching
from triptych_export.errors import ExportError
from triptych_export.language import LanguageReport, export_language
from triptych_export.parity import Precision
from triptych_export.pipeline import export_blip2, export_clip
from triptych_export.report import ExportReport
from triptych_export.storage import Format
from triptych_export.vllm_checkpoint import VllmStyle
from triptych_server.engines.encoders.spec import Role

app = typer.Typer(
    help="Export checkpoints into a model repository.", no_args_is_help=True, add_completion=False
)

Checkpoint: TypeAlias = Annotated[
    str, typer.Argument(help="Directory or hub id of the checkpoint.")
]
Repository: TypeAlias = Annotated[Path, typer.Option(help="Model repository to write into.")]
Name: TypeAlias = Annotated[
    str | None, typer.Option(help="Name of the model; default: the checkpoint's.")
]
Precise: TypeAlias = Annotated[
    Precision, typer.Option(help="How weights and products are stored; bf16 needs a GPU.")
]
StoredAs: TypeAlias = Annotated[
    Format,
    typer.Option(
        "--format",
        help="ONNX graphs, or TensorRT plans, which run on this kind of GPU alone. Where neither "
        "the tensorrt package nor trtexec is there: ONNX graphs that Triton builds plans of.",
    ),
]
KeepFp32: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|NAME,...",
        help="Layers that stay in fp32 where the others are fp16 or bf16, by the names of their "
        "modules, such as vision_model.encoder.layers.3.mlp; auto finds the fewest that make the "
        "encoder pass.",
    ),
]
Revision: TypeAlias = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
MaxBatchSize: TypeAlias = Annotated[int, typer.Option(min=1, help="Most rows of a batch.")]
PreferredBatchSize: TypeAlias = Annotated[
    list[int] | None, typer.Option(min=1, help="Sizes worth waiting for; default: 4 and 8.")
]
Gpu: TypeAlias = Annotated[bool, typer.Option(help="Ask Triton for one instance a GPU.")]
Calibration: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Pictures to compare on, and to take the ranges of int8 from; default: drawn ones.",
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option(help="Replace a model of that name, and its encoders of another checkpoint.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command()
def clip(
    checkpoint: Checkpoint,
    repository: Repository,
    name: Name = None,
    precision: Precise = Precision.FP32,
    format: StoredAs = Format.ONNX,
    keep_fp32: KeepFp32 = "",
    revision: Revision = None,
    max_batch_size: MaxBatchSize = 64,
    preferred_batch_size: PreferredBatchSize = None,
    gpu: Gpu = False,
    calibration: Calibration = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Export CLIP, Chinese-CLIP, SigLIP or DINOv2, and compare the result with torch."""
    batching = Batching(max_batch_size, tuple(preferred_batch_size or (4, 8)), gpu)
    with _errors_as_lines():
        report = export_clip(
            checkpoint,
            repository,
            name=name,
            precision=precision,
            format=format,
            keep_fp32=_names(keep_fp32),
            revision=revision,
            batching=batching,
            calibration=calibration,
            overwrite=overwrite,
        )
        _print(report, as_json)


@app.command()
def blip2(
    checkpoint: Checkpoint,
    repository: Repository,
    generators: Annotated[
        Path | None,
        typer.Option(help="Directory of generators for the language model; default: leave it out."),
    ] = None,
    for_vllm: Annotated[
        VllmStyle | None,
        typer.Option(help="Also write the checkpoint that a vLLM of this style serves."),
    ] = None,
    graph: Annotated[
        list[Role] | None,
        typer.Option(
            metavar="GRAPH",
            help="An encoder to export, repeatable; default: all of the checkpoint.",
        ),
    ] = None,
    name: Name = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"],
        typer.Option(help="How the encoders' weights and products are stored; bf16 needs a GPU."),
    ] = "fp32",
    format: StoredAs = Format.ONNX,
    keep_fp32: KeepFp32 = "",
    revision: Revision = None,
    max_batch_size: MaxBatchSize = 64,
    preferred_batch_size: PreferredBatchSize = None,
    gpu: Gpu = False,
    calibration: Calibration = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Export BLIP-2's encoders and its language model, and compare them with torch.

    A checkpoint that generates text has the graphs vision, prefix and image_prefix (both in one);
    one that compares pictures with texts has vision, itm, itc_image and itc_text. The language
    model is always stored as fp32.
    """
    batching = Batching(max_batch_size, tuple(preferred_batch_size or (4, 8)), gpu)
    with _errors_as_lines():
        report = export_blip2(
            checkpoint,
            repository,
            generators=generators,
            for_vllm=for_vllm,
            graphs=graph or (),
            name=name,
            precision=precision,
            format=format,
            keep_fp32=_names(keep_fp32),
            revision=revision,
            batching=batching,
            calibration=calibration,
            overwrite=overwrite,
        )
        _print(report, as_json)


@app.command()
def language(
    checkpoint: Checkpoint,
    generators: Annotated[Path, typer.Option(help="Directory of generators to write into.")],
    name: Name = None,
    proposals: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON of the forms in which it was trained to better scored texts, as in "
            "generator.json; default: the checkpoint's proposals.json, if it has one.",
        ),
    ] = None,
    revision: Revision = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Export a language model that continues text, and compare the result with transformers.

    The folder is for the gateway's own process; weights are stored as fp32. A vLLM serves the
    checkpoint itself.
    """
    with _errors_as_lines():
        report = export_language(
            checkpoint,
            generators,
            name=name,
            proposals=proposals,
            revision=revision,
            overwrite=overwrite,
        )
        _print(report, as_json)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    """Refusals are a sentence on stderr and a status of 1; transformers shows no progress."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no annotations
    try:
        yield
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _print(report: ExportReport | LanguageReport, as_json: bool) -> None:
    print(json.dumps(report.to_json()) if as_json else report)


if __name__ == "__main__":
    app()
