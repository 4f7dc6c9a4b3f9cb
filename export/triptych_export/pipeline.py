"""Checkpoint to model repository: read, export, compare with torch, install."""

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from PIL import Image

from triptych_export.blip2_checkpoint import ENCODER_DECODER, load_blip2
from triptych_export.blip2_encoders import blip2_encoders
from triptych_export.checkpoint import Checkpoint, load_checkpoint
from triptych_export.config import Batching
from triptych_export.encoder import Encoder
from triptych_export.errors import ExportError
from triptych_export.generator import write_generator
from triptych_export.image_encoder import ImageEncoder, ImageFeatures
from triptych_export.layers import named
from triptych_export.mixed import AUTO
from triptych_export.parity import ROWS, Precision
from triptych_export.plan import find_builder
from triptych_export.report import EncoderReport, ExportReport
from triptych_export.repository import check_free, installed, outdated, staging
from triptych_export.samples import draw_pictures, read_pictures
from triptych_export.space import embedding_space
from triptych_export.storage import Format, Storage
from triptych_export.text_encoder import TextEncoder, TextFeatures
from triptych_export.text_samples import TextSamples
from triptych_export.vllm_checkpoint import FOLDER, VllmStyle, write_vllm_checkpoint
from triptych_export.writer import EncoderWriter
from triptych_server.engines.encoders.spec import Role

PICTURES = 64  # for static quantisation; the parity check takes the first few
_SUFFIXES = {
    Role.IMAGE: "image",
    Role.TEXT: "text",
    Role.VISION: "vision",
    Role.PREFIX: "prefix",
    Role.IMAGE_PREFIX: "image-prefix",
    Role.ITM: "itm",
    Role.ITC_IMAGE: "itc-image",
    Role.ITC_TEXT: "itc-text",
}


def export_clip(
    checkpoint: str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    precision: Precision | str = Precision.FP32,
    format: Format | str = Format.ONNX,
    keep_fp32: Collection[str] = (),
    revision: str | None = None,
    batching: Batching | None = None,
    calibration: Path | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export the image and, if there is one, the text tower of `checkpoint` into `repository`.

    `checkpoint` is a directory or a hub id at `revision`; `name` is the model's name for requests
    (default: the checkpoint's, with the precision behind it unless that is fp32). Pictures of the
    directory `calibration` take the place of drawn ones in the parity check and in static
    quantisation. `keep_fp32` names layers of fp16 or bf16 graphs that stay in fp32, as for
    `write_mixed`. In TensorRT's format encoders are plans where TensorRT is there, and else ONNX
    graphs for Triton's accelerator. Raises an `ExportError`; the repository is then as it was.
    """
    started = time.monotonic()
    storage = Storage(Precision(precision), Format(format), tuple(keep_fp32))
    pictures = _pictures(calibration)
    loaded = load_checkpoint(checkpoint, revision)
    encoders: list[Encoder] = [ImageEncoder(loaded, pictures, ImageFeatures(loaded))]
    if loaded.text is not None:
        table = loaded.model.text_model.get_input_embeddings().weight
        texts = TextSamples(loaded.text, loaded.tokenizer, table)
        encoders.append(TextEncoder(texts, TextFeatures(loaded)))
    writer = _writer(loaded, name, storage, batching)
    return _export(writer, encoders, Path(repository), None, overwrite, started)


def export_blip2(
    checkpoint: str | Path,
    repository: str | Path,
    *,
    generators: str | Path | None = None,
    for_vllm: VllmStyle | str | None = None,
    graphs: Collection[Role | str] = (),
    name: str | None = None,
    precision: Precision | str = Precision.FP32,
    format: Format | str = Format.ONNX,
    keep_fp32: Collection[str] = (),
    revision: str | None = None,
    batching: Batching | None = None,
    calibration: Path | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export the encoders of a BLIP-2 `checkpoint` into `repository`.

    Its language model goes into a folder of `generators`, always in fp32; without `generators` it
    is not even read. `for_vllm` adds the checkpoint that a vLLM of that style serves. `graphs` are
    the roles of the encoders that are wanted (default: all that the checkpoint has); the other
    arguments are those of `export_clip`, and `precision` is fp32, fp16 or bf16. Raises an
    `ExportError`; repository and generators are then as they were.
    """
    started = time.monotonic()
    storage = Storage(Precision(precision), Format(format), tuple(keep_fp32))
    if storage.precision is Precision.INT8:
        raise ExportError("BLIP-2 is exported as fp32, fp16 or bf16, not as int8")
    pictures = _pictures(calibration)
    style = VllmStyle(for_vllm) if for_vllm else None
    if style and generators is None:
        raise ExportError(
            "for_vllm: the checkpoint goes into a directory of generators, and none is given"
        )
    loaded = load_blip2(checkpoint, revision, language_model=generators is not None)
    encoders = blip2_encoders(loaded, pictures, [Role(graph) for graph in graphs])
    writer = _writer(loaded, name, storage, batching)
    folder = None if generators is None else Path(generators)
    report = _export(writer, encoders, Path(repository), folder, overwrite, started, style)
    if folder is not None or loaded.text is not None:
        return report
    why = "for which no directory was given"
    if loaded.model.config.is_encoder_decoder:
        why = ENCODER_DECODER
    return replace(report, left_out=f"the language model, {why}")


def _pictures(calibration: Path | None) -> list[Image.Image]:
    return read_pictures(calibration, ROWS, PICTURES) if calibration else draw_pictures(PICTURES)


def _writer(
    loaded: Checkpoint, name: str | None, storage: Storage, batching: Batching | None
) -> EncoderWriter:
    suffix = "" if storage.precision is Precision.FP32 else f"-{storage.precision}"
    return EncoderWriter(
        loaded,
        name or f"{loaded.name}{suffix}",
        storage,
        embedding_space(loaded),
        batching or Batching(),
        find_builder() if storage.format is Format.TENSORRT else None,
    )


def _export(
    writer: EncoderWriter,
    encoders: Sequence[Encoder],
    repository: Path,
    generators: Path | None,
    overwrite: bool,
    started: float,
    for_vllm: VllmStyle | None = None,
) -> ExportReport:
    """Write everything aside, then install it."""
    model, loaded = writer.model, writer.checkpoint
    folders = [f"{model}-{_SUFFIXES[encoder.role]}" for encoder in encoders]
    old = outdated(repository, model, writer.space)
    check_free(repository, model, [*folders, *old], overwrite)
    if generators is not None:
        check_free(generators, model, [model], overwrite)
    generator = None
    with ExitStack() as stack:
        staged = stack.enter_context(staging(repository))
        reports = [
            writer.write(encoder, staged / folder)
            for encoder, folder in zip(encoders, folders, strict=True)
        ]
        _check_names(writer.storage.keep_fp32, reports)
        if generators is not None:
            staged_generator = stack.enter_context(staging(generators))
            generator = write_generator(
                loaded.model.language_model,
                loaded.tokenizer,
                staged_generator / model,
                model=model,
                source=loaded.source,
                space=writer.space,
                prefix_tokens=loaded.model.config.num_query_tokens,
            )
            if for_vllm:
                write_vllm_checkpoint(loaded, for_vllm, staged_generator / model / FOLDER)
            stack.enter_context(installed(staged_generator, generators, [model]))
        stack.enter_context(installed(staged, repository, folders, removed=old))
    return ExportReport(
        model=model,
        family=loaded.family.name,
        source=loaded.source,
        space=writer.space,
        precision=writer.storage.precision,
        seconds=time.monotonic() - started,
        encoders=tuple(reports),
        generator=generator,
        notes=_notes(writer),
    )


def _check_names(keep_fp32: Collection[str], reports: Sequence[EncoderReport]) -> None:
    """Raise `ExportError` for a name that no encoder has."""
    kept = {layer for report in reports for layer in report.kept_fp32}
    for name in set(keep_fp32) - {AUTO}:
        if not named(kept, [name]):
            raise ExportError(
                f"keep_fp32: no encoder has a layer {name!r}; layers are named after the "
                "checkpoint's modules, such as vision_model.encoder.layers.3.mlp"
            )


def _notes(writer: EncoderWriter) -> tuple[str, ...]:
    """What it takes to serve the encoders."""
    if writer.builder is not None:
        return (
            f"TensorRT plans, built by {writer.builder.name}: they run on this kind of GPU, in a "
            "Triton of the same TensorRT, and not in the gateway's own process",
        )
    if writer.storage.format is Format.TENSORRT:
        return (
            "no TensorRT plans, for neither the tensorrt package nor trtexec can be used here: the "
            "ONNX graphs run on Triton's TensorRT accelerator, which builds its engines when they "
            "are loaded; export in Triton's image for plans",
        )
    if writer.storage.precision is Precision.BF16:
        return ("bf16 needs a GPU: ONNX Runtime has no bf16 arithmetic for CPUs",)
    return ()
