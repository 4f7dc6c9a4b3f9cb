"""Write the folder of an encoder, if its graph is as close to the checkpoint as it must be."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_export.checkpoint import Checkpoint
from triptych_export.config import Batching, Tensor, config_text
from triptych_export.encoder import Encoder
from triptych_export.errors import ParityError
from triptych_export.graph import share, write_graph
from triptych_export.parity import FLOORS, Parity, Precision, Samples, measure
from triptych_export.precision import SCHEMES
from triptych_export.report import EncoderReport
from triptych_server.engines.encoders.spec import SIGNATURES

GRAPH_FILE = "model.onnx"
VERSION = "1"


@dataclass(frozen=True, slots=True)
class EncoderWriter:
    """What the encoders of one export share; `model` is their name for requests."""

    checkpoint: Checkpoint
    model: str
    precision: Precision
    space: str
    batching: Batching

    def write(self, encoder: Encoder, folder: Path) -> EncoderReport:
        """Write the folder of one encoder. Raises `ParityError`."""
        folder.mkdir()
        output = SIGNATURES[encoder.role].output
        samples = encoder.samples()
        scheme, parity = self._write_graph(encoder, output, samples, folder / VERSION)
        shape = samples[0].reference.shape[1:]
        config = self._config(encoder, folder.name, Tensor(output, "float32", (-1, *shape)))
        (folder / "config.pbtxt").write_text(config)
        for name, content in encoder.files().items():
            (folder / name).write_bytes(content)
        return EncoderReport(
            folder=folder.name,
            scheme=scheme,
            output=output,
            shape=shape,
            file_bytes=sum(file.stat().st_size for file in (folder / VERSION).iterdir()),
            parity=parity,
        )

    def _write_graph(
        self, encoder: Encoder, output: str, samples: Sequence[Samples], version: Path
    ) -> tuple[str, Parity]:
        """Write the first scheme of the precision that reaches its floor; its name and figures."""
        refused = []
        with tempfile.TemporaryDirectory(dir=version.parent.parent) as directory:
            original = Path(directory, "fp32")
            original.mkdir()
            graph = original / GRAPH_FILE
            example, axes = encoder.example(), encoder.axes
            write_graph(
                encoder.tower(), example, axes, graph, inputs=list(example), outputs=[output]
            )
            for scheme, convert in SCHEMES[self.precision].items():
                written = Path(directory, scheme)
                written.mkdir(exist_ok=True)
                convert(graph, written / GRAPH_FILE, encoder.calibration())
                parity = measure(written / GRAPH_FILE, output, samples)
                failures = parity.failures(FLOORS[self.precision])
                if not failures:
                    share(written)
                    written.rename(version)
                    return scheme, parity
                refused.append(f"{scheme}: {', '.join(failures)}")
        raise ParityError(f"{version.parent.name} is refused: {'; '.join(refused)}")

    def _config(self, encoder: Encoder, name: str, output: Tensor) -> str:
        inputs = []
        for tensor, value in encoder.example().items():
            axes = encoder.axes[tensor]
            shape = [-1 if axis in axes else size for axis, size in enumerate(value.shape)]
            inputs.append(Tensor(tensor, str(value.dtype).removeprefix("torch."), shape))
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
        # Requests can be joined only along an axis that all inputs have.
        batched = len({axes[0] for axes in encoder.axes.values()}) == 1
        return config_text(name, inputs, output, parameters, self.batching, batched=batched)
