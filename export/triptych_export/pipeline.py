"""Checkpoint to model repository: read, export, compare with torch, install."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_export.checkpoint import Checkpoint, load_checkpoint
from triptych_export.config import Batching, InputTensor, config_text
from triptych_export.encoder import Encoder
from triptych_export.errors import ParityError
from triptych_export.graph import write_graph
from triptych_export.image_encoder import ROWS, ImageEncoder
from triptych_export.parity import FLOORS, Parity, Precision, Samples, measure
from triptych_export.precision import SCHEMES
from triptych_export.report import EncoderReport, ExportReport
from triptych_export.repository import check_free, install, staging
from triptych_export.samples import draw_pictures, read_pictures
from triptych_export.space import embedding_space
from triptych_export.text_encoder import TextEncoder
from triptych_server.engines.encoders.spec import Role

GRAPH_FILE = "model.onnx"
VERSION = "1"
PICTURES = 64  # for static quantisation; the parity check takes the first few
_SUFFIXES = {Role.IMAGE: "image", Role.TEXT: "text"}


def export_clip(
    checkpoint: str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    precision: Precision | str = Precision.FP32,
    revision: str | None = None,
    batching: Batching | None = None,
    calibration: Path | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Export the image and, if there is one, the text tower of `checkpoint` into `repository`.

    `checkpoint` is a directory or a hub id at `revision`; `name` is the model's name for requests
    (default: the checkpoint's, with the precision behind it unless that is fp32). Pictures of the
    directory `calibration` take the place of drawn ones in the parity check and in static
    quantisation. Raises an `ExportError`; the repository is then as it was.
    """
    started = time.monotonic()
    precision, repository = Precision(precision), Path(repository)
    pictures = (
        read_pictures(calibration, ROWS, PICTURES) if calibration else draw_pictures(PICTURES)
    )
    loaded = load_checkpoint(checkpoint, revision)
    model = name or loaded.name + ("" if precision is Precision.FP32 else f"-{precision}")
    encoders: list[Encoder] = [ImageEncoder(loaded, pictures)]
    if loaded.text is not None:
        encoders.append(TextEncoder(loaded, loaded.text))
    folders = [f"{model}-{_SUFFIXES[encoder.role]}" for encoder in encoders]
    check_free(repository, model, folders, overwrite)
    job = _Job(loaded, model, precision, embedding_space(loaded), batching or Batching())
    with staging(repository) as staged:
        reports = [
            job.write(encoder, staged / folder)
            for encoder, folder in zip(encoders, folders, strict=True)
        ]
        install(staged, repository, folders)
    return ExportReport(
        model=model,
        family=loaded.family.name,
        source=loaded.source,
        space=job.space,
        precision=precision,
        seconds=time.monotonic() - started,
        encoders=tuple(reports),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What the encoders of one export share."""

    checkpoint: Checkpoint
    model: str
    precision: Precision
    space: str
    batching: Batching

    def write(self, encoder: Encoder, folder: Path) -> EncoderReport:
        """Write the folder of one encoder. Raises `ParityError`."""
        folder.mkdir()
        samples = encoder.samples()
        scheme, parity = self._write_graph(encoder, samples, folder / VERSION)
        dimension = samples[0].reference.shape[1]
        (folder / "config.pbtxt").write_text(self._config(encoder, folder.name, dimension))
        for name, content in encoder.files().items():
            (folder / name).write_bytes(content)
        return EncoderReport(
            folder=folder.name,
            scheme=scheme,
            dimension=dimension,
            file_bytes=sum(file.stat().st_size for file in (folder / VERSION).iterdir()),
            parity=parity,
        )

    def _write_graph(
        self, encoder: Encoder, samples: Sequence[Samples], version: Path
    ) -> tuple[str, Parity]:
        """Write the first scheme of the precision that reaches its floor; its name and figures."""
        refused = []
        with tempfile.TemporaryDirectory(dir=version.parent.parent) as directory:
            original = Path(directory, "fp32")
            original.mkdir()
            write_graph(encoder.tower(), encoder.example(), encoder.axes, original / GRAPH_FILE)
            for scheme, convert in SCHEMES[self.precision].items():
                written = Path(directory, scheme)
                written.mkdir(exist_ok=True)
                convert(original / GRAPH_FILE, written / GRAPH_FILE, encoder.calibration())
                parity = measure(written / GRAPH_FILE, samples)
                failures = parity.failures(FLOORS[self.precision])
                if not failures:
                    for file in written.iterdir():
                        file.chmod(0o644)  # onnx writes large weights for their owner alone
                    written.rename(version)
                    return scheme, parity
                refused.append(f"{scheme}: {', '.join(failures)}")
        raise ParityError(f"{version.parent.name} is refused: {'; '.join(refused)}")

    def _config(self, encoder: Encoder, name: str, dimension: int) -> str:
        inputs = []
        for tensor, value in encoder.example().items():
            shape = [-1 if axis in encoder.axes else n for axis, n in enumerate(value.shape)]
            inputs.append(InputTensor(tensor, str(value.dtype).removeprefix("torch."), shape[1:]))
        parameters = {
            "model": self.model,
            "role": encoder.role.value,
            "family": self.checkpoint.family.name,
            "space": self.space,
            "source": self.checkpoint.source,
            "precision": self.precision.value,
            **encoder.parameters(),
        }
        if self.checkpoint.scoring is not None:
            scoring = self.checkpoint.scoring
            parameters["score"] = scoring.kind
            parameters["logit_scale"] = repr(scoring.logit_scale)
            parameters["logit_bias"] = repr(scoring.logit_bias)
        return config_text(name, inputs, dimension, parameters, self.batching)
