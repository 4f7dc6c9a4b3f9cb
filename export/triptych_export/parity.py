"""How far an exported encoder is from its checkpoint, and how far is too far."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from triptych_export.errors import ParityError
from triptych_server.engines.encoders.spec import FEATURES

Inputs = Mapping[str, npt.NDArray[Any]]
Output = npt.NDArray[np.float32]
# Runs rows and what they share as one batch; gives the output, each row flattened: `[N, D]`.
Network = Callable[[Inputs, Inputs], Output]

BATCH_SIZES = (1, 3, 8)
ROWS = BATCH_SIZES[-1]  # samples that are drawn at once
MATES = ROWS - 1  # adversarial rows beside them
# Ten times the fp32 tolerance: a network whose outputs differ by less proves nothing.
LEAST_VARIATION = 1e-3
_LEAST_SCALE = 1e-6  # a network that gives less gives nothing


class Precision(StrEnum):
    """How weights and products are stored."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Floor:
    """What an encoder must reach; the figures are those of `Parity`."""

    cosine: float
    centred_cosine: float
    difference: float
    company: float


FLOORS = {
    # Only the order of summation differs.
    Precision.FP32: Floor(cosine=0.9999, centred_cosine=0.999, difference=1e-4, company=1e-4),
    # Eleven bits of mantissa through a dozen layers; ranks of neighbours stay as they are.
    Precision.FP16: Floor(cosine=0.999, centred_cosine=0.99, difference=2e-2, company=5e-3),
    # Eight bits of mantissa, but fp32's range.
    Precision.BF16: Floor(cosine=0.998, centred_cosine=0.95, difference=4e-2, company=5e-3),
    # Eight bits for weights and activations. A search finds a picture again whoever shared its
    # batch, so company must cost well less than rounding does (a distance of about 2e-2).
    Precision.INT8: Floor(cosine=0.98, centred_cosine=0.9, difference=1e-1, company=5e-3),
}


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs of one shape and the output that the checkpoint itself gives them, row by row.

    `mates` are rows of the same shape that drive activations to their extremes. `shared` are inputs
    that all rows have in common, such as the patches that rows of `image_index` point at.
    """

    name: str
    inputs: Inputs
    reference: Output
    mates: Inputs
    shared: Inputs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parity:
    """Figures of one encoder over all samples at batch 1, 3 and 8.

    `cosine` is the least between a row and the checkpoint's, `centred_cosine` the same after the
    samples' mean is taken from both: all features of a network share a large part, which flatters
    the plain cosine. Both are None for outputs that no cosine is taken of (all but `features`).

    The other figures are in units of the output's scale, which is 1 for features and the greatest
    component of the checkpoint's own output for all others: `max_abs_difference` of any component;
    `company`, the greatest distance between a row alone and in a batch with other samples (as a
    part of the longest row); `adversarial_company`, the same beside adversarial rows; and
    `variation`, the greatest difference between a component of two samples.
    """

    samples: int
    cosine: float | None
    centred_cosine: float | None
    max_abs_difference: float
    company: float
    adversarial_company: float
    variation: float

    def failures(self, floor: Floor) -> list[str]:
        """What is wrong, in words; empty when the encoder is as good as it must be."""
        # Written so that a NaN fails.
        checks = {
            f"max abs difference {self.max_abs_difference:.2e} > {floor.difference}": (
                self.max_abs_difference <= floor.difference
            ),
            f"a row changes by {self.company:.2e} > {floor.company} in a batch": (
                self.company <= floor.company
            ),
            f"a row changes by {self.adversarial_company:.2e} > {floor.company} beside "
            "adversarial rows": self.adversarial_company <= floor.company,
            f"outputs vary by {self.variation:.2e} < {LEAST_VARIATION} between samples": (
                self.variation >= LEAST_VARIATION
            ),
        }
        if self.cosine is not None and self.centred_cosine is not None:
            checks |= {
                f"cosine {self.cosine:.6f} < {floor.cosine}": self.cosine >= floor.cosine,
                f"centred cosine {self.centred_cosine:.6f} < {floor.centred_cosine}": (
                    self.centred_cosine >= floor.centred_cosine
                ),
            }
        return [text for text, passed in checks.items() if not passed]


class OnnxNetwork:
    """An ONNX file on ONNX Runtime's CPU provider; a `Network`. Raises `ParityError`."""

    def __init__(self, path: Path, output: str) -> None:
        self._output = output
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # the bindings raise no common base class
            raise ParityError(f"{path.name}: ONNX Runtime refuses it: {error}") from error

    def __call__(self, inputs: Inputs, shared: Inputs) -> Output:
        output: Output = self._session.run([self._output], {**inputs, **shared})[0]
        return rows(output)


def measure(path: Path, output: str, samples: Sequence[Samples]) -> Parity:
    """Run the file on all samples. Raises `ParityError` when ONNX Runtime cannot."""
    return compare(OnnxNetwork(path, output), output, samples)


def compare(network: Network, output: str, samples: Sequence[Samples]) -> Parity:
    """Run the network, which gives the encoder's `output`, on all samples."""
    return _worst(list(_figures(network, output, samples)))


def passing(
    network: Network, output: str, samples: Sequence[Samples], floor: Floor
) -> Parity | None:
    """What `compare` gives if it reaches the floor; None, sooner, if it does not."""
    found = []
    for figures in _figures(network, output, samples):
        if figures.failures(floor):
            return None
        found.append(figures)
    return _worst(found)


def _figures(network: Network, output: str, samples: Sequence[Samples]) -> Iterator[Parity]:
    scale = output_scale(output, samples)
    for group in samples:
        yield _measure(network, group, scale, directions=output == FEATURES)


def output_scale(output: str, samples: Sequence[Samples]) -> float:
    """The unit of `Parity`'s figures but cosines."""
    if output == FEATURES:
        return 1.0
    return max(float(np.max([np.abs(group.reference).max() for group in samples])), _LEAST_SCALE)


def _measure(encoder: Network, group: Samples, scale: float, *, directions: bool) -> Parity:
    reference = rows(group.reference)
    count = len(reference)
    every = np.arange(count)

    def run(batch: npt.NDArray[np.intp]) -> Output:
        return encoder(_take(group.inputs, batch), group.shared)

    alone = np.concatenate([run(every[row : row + 1]) for row in range(count)])
    outputs, company = [alone], []
    for size in BATCH_SIZES[1:]:
        order = np.resize(every, -(-count // size) * size)
        together = np.concatenate([run(batch) for batch in order.reshape(-1, size)])
        company.append(_distance(together, alone[order]))
        outputs.append(together[:count])
    beside = encoder(_join(group.inputs, group.mates), group.shared)[:count]
    longest = max(float(np.linalg.norm(reference, axis=1).max()), _LEAST_SCALE)
    differences = [np.abs(each - reference).max() for each in outputs]
    mean = reference.mean(axis=0)
    return Parity(
        samples=count,
        cosine=_cosine(outputs, reference) if directions else None,
        centred_cosine=_cosine(outputs, reference, mean) if directions else None,
        max_abs_difference=float(np.max(differences)) / scale,
        company=float(np.max(company)) / longest,
        adversarial_company=_distance(beside, alone) / longest,
        variation=float(np.ptp(reference, axis=0).max()) / scale,
    )


def _worst(figures: Sequence[Parity]) -> Parity:
    # NumPy's extremes, unlike Python's, keep a NaN.
    return Parity(
        samples=sum(figure.samples for figure in figures),
        cosine=_least([figure.cosine for figure in figures]),
        centred_cosine=_least([figure.centred_cosine for figure in figures]),
        max_abs_difference=float(np.max([figure.max_abs_difference for figure in figures])),
        company=float(np.max([figure.company for figure in figures])),
        adversarial_company=float(np.max([figure.adversarial_company for figure in figures])),
        variation=float(np.min([figure.variation for figure in figures])),
    )


def _least(cosines: Sequence[float | None]) -> float | None:
    taken = [cosine for cosine in cosines if cosine is not None]
    return float(np.min(taken)) if taken else None


def rows(output: Output) -> Output:
    """Each row flattened: `[N, D]`."""
    return output.reshape(len(output), -1)


def _cosine(outputs: Sequence[Output], reference: Output, mean: Output | float = 0.0) -> float:
    """The least between a row of `outputs` and that of `reference`, both less `mean`."""
    every = np.concatenate(outputs) - mean
    wanted = np.tile(reference - mean, (len(outputs), 1))
    lengths = np.linalg.norm(every, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((every * wanted).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


def _distance(left: Output, right: Output) -> float:
    return float(np.linalg.norm(left - right, axis=1).max())


def _take(inputs: Inputs, rows: npt.NDArray[np.intp]) -> Inputs:
    return {name: array[rows] for name, array in inputs.items()}


def _join(first: Inputs, second: Inputs) -> Inputs:
    return {name: np.concatenate([array, second[name]]) for name, array in first.items()}
