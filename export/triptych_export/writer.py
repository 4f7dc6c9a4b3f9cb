"""Write the folder of an encoder, if its graph is as close to the checkpoint as it must be."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_export.casts import REDUCED
from triptych_export.checkpoint import Checkpoint
from triptych_export.config import Batching, Tensor, config_text
from triptych_export.encoder import Encoder
from triptych_export.errors import ParityError
from triptych_export.graph import share, write_graph
from triptych_export.mixed import write_mixed
from triptych_export.parity import FLOORS, Parity, Samples, measure
from triptych_export.plan import WORKSPACE, PlanBuilder
from triptych_export.precision import SCHEMES
from triptych_export.profiles import Profile, profiles, whole, written
from triptych_export.report import EncoderReport
from triptych_export.storage import Format, Storage
from triptych_server.engines.encoders.spec import SIGNATURES

GRAPH_FILE, PLAN_FILE = "model.onnx", "model.plan"
VERSION = "1"
ENGINE_CACHE = "/tmp/triptych-tensorrt"  # in Triton's container; a volume there survives restarts


@dataclass(frozen=True, slots=True)
class _Graph:
    """A graph that reached its floor: the way there, its figures, and the layers left in fp32."""

    scheme: str
    parity: Parity
    kept_fp32: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderWriter:
    """What the encoders of one export share; `model` is their name for requests.

    With `builder` encoders are TensorRT plans, else ONNX graphs, which in TensorRT's format are
    for Triton's accelerator.
    """

    checkpoint: Checkpoint
    model: str
    storage: Storage
    space: str
    batching: Batching
    builder: PlanBuilder | None = None

    def write(self, encoder: Encoder, folder: Path) -> EncoderReport:
        """Write the folder of one encoder. Raises `ParityError` or `PlanError`."""
        folder.mkdir()
        output = SIGNATURES[encoder.role].output
        samples = encoder.samples()
        inputs = _inputs(encoder)
        shapes = profiles(inputs, encoder.axes, self.batching, encoder.lengths)
        graph = self._write_version(encoder, output, samples, shapes, folder / VERSION)
        shape = samples[0].reference.shape[1:]
        tensor = Tensor(output, "float32", (-1, *shape))
        config = self._config(encoder, folder, inputs, tensor, shapes, graph)
        (folder / "config.pbtxt").write_text(config)
        for name, content in encoder.files().items():
            (folder / name).write_bytes(content)
        return EncoderReport(
            folder=folder.name,
            scheme=graph.scheme,
            output=output,
            shape=shape,
            file_bytes=sum(file.stat().st_size for file in (folder / VERSION).iterdir()),
            parity=graph.parity,
            kept_fp32=graph.kept_fp32,
        )

    def _write_version(
        self,
        encoder: Encoder,
        output: str,
        samples: Sequence[Samples],
        shapes: Sequence[Profile],
        version: Path,
    ) -> _Graph:
        """Write what servers load into the folder `version`, which is made."""
        with tempfile.TemporaryDirectory(dir=version.parent.parent) as directory:
            original, final = Path(directory, "original"), Path(directory, "final")
            original.mkdir()
            source = original / GRAPH_FILE
            example, axes = encoder.example(), encoder.axes
            write_graph(
                encoder.tower(), example, axes, source, inputs=list(example), outputs=[output]
            )
            try:
                graph = self._convert(encoder, source, final, output, samples)
            except ParityError as error:
                raise ParityError(f"{version.parent.name} is refused: {error}") from error
            if self.builder is not None:
                planned = Path(directory, "planned")
                planned.mkdir()
                self.builder.build(final / GRAPH_FILE, planned / PLAN_FILE, shapes)
                final = planned
            share(final)
            final.rename(version)
        return graph

    def _convert(
        self,
        encoder: Encoder,
        source: Path,
        final: Path,
        output: str,
        samples: Sequence[Samples],
    ) -> _Graph:
        """Write the first version of the precision that reaches its floor into `final`."""
        precision = self.storage.precision
        if precision in REDUCED:
            final.mkdir()
            target = final / GRAPH_FILE
            mixed = write_mixed(source, target, precision, self.storage.keep_fp32, output, samples)
            return _Graph(precision.value, mixed.parity, mixed.kept)
        refused = []
        for scheme, convert in SCHEMES[precision].items():
            folder = final.with_name(scheme)
            folder.mkdir()
            convert(source, folder / GRAPH_FILE, encoder.calibration())
            parity = measure(folder / GRAPH_FILE, output, samples)
            failures = parity.failures(FLOORS[precision])
            if not failures:
                folder.rename(final)
                return _Graph(scheme, parity)
            refused.append(f"{scheme}: {', '.join(failures)}")
        raise ParityError("; ".join(refused))

    def _config(
        self,
        encoder: Encoder,
        folder: Path,
        inputs: Sequence[Tensor],
        output: Tensor,
        shapes: Sequence[Profile],
        graph: _Graph,
    ) -> str:
        parameters = {
            "model": self.model,
            "role": encoder.role.value,
            "family": self.checkpoint.family.name,
            "space": self.space,
            "source": self.checkpoint.source,
            "precision": self.storage.precision.value,
            **encoder.parameters(),
        }
        if graph.kept_fp32:
            parameters["keep_fp32"] = ",".join(graph.kept_fp32)
        if self.checkpoint.scoring is not None:
            scoring = self.checkpoint.scoring
            parameters["score"] = scoring.kind
            parameters["logit_scale"] = repr(scoring.logit_scale)
            parameters["logit_bias"] = repr(scoring.logit_bias)
        # Requests can be joined only along an axis that all inputs have.
        batched = len({axes[0] for axes in encoder.axes.values()}) == 1
        accelerator = None
        if self.storage.format is Format.TENSORRT and self.builder is None:
            accelerator = _accelerator(whole(shapes), _digest(folder / VERSION))
        return config_text(
            folder.name,
            inputs,
            output,
            parameters,
            self.batching,
            batched=batched,
            plan_profiles=0 if self.builder is None else len(shapes),
            accelerator=accelerator,
        )


def _inputs(encoder: Encoder) -> list[Tensor]:
    inputs = []
    for tensor, value in encoder.example().items():
        axes = encoder.axes[tensor]
        shape = [-1 if axis in axes else size for axis, size in enumerate(value.shape)]
        inputs.append(Tensor(tensor, str(value.dtype).removeprefix("torch."), shape))
    return inputs


def _digest(version: Path) -> str:
    """16 digits of a sha256 over what servers load."""
    digest = hashlib.sha256()
    for path in sorted(version.iterdir()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _accelerator(shapes: Profile, digest: str) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider.

    They set no `precision_mode`: without one the provider obeys the types of the graph. It has no
    option against TF32, in which GPUs multiply fp32 with fp16's precision and fp32's range. Names
    of cached engines begin with `digest`, because the provider itself tells networks apart by the
    names of their nodes alone, which two checkpoints of one architecture share.
    """
    return {
        "max_workspace_size_bytes": str(WORKSPACE),
        "trt_profile_min_shapes": written(shapes.least),
        "trt_profile_opt_shapes": written(shapes.preferred),
        "trt_profile_max_shapes": written(shapes.greatest),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ENGINE_CACHE,
        "trt_engine_cache_prefix": digest,
    }
