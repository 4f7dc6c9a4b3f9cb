"""How far an exported encoder is from its checkpoint, and how far is too far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from triptych_export.errors import ParityError
from triptych_server.engines.encoders.spec import FEATURES

Inputs = Mapping[str, npt.NDArray[Any]]
Features = npt.NDArray[np.float32]

BATCH_SIZES = (1, 3, 8)
# Ten times the fp32 tolerance: a network whose features differ by less proves nothing.
LEAST_VARIATION = 1e-3


class Precision(StrEnum):
    """How weights and products are stored."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Floor:
    """What an encoder must reach.

    `cosine` is the least between a feature and the checkpoint's, `centred_cosine` the same after
    the samples' mean is taken from both; `difference` the greatest of any component; `company` the
    greatest distance between a row's features computed alone and in a batch, whatever the batch.
    """

    cosine: float
    centred_cosine: float
    difference: float
    company: float


FLOORS = {
    # Only the order of summation differs.
    Precision.FP32: Floor(cosine=0.9999, centred_cosine=0.999, difference=1e-4, company=1e-4),
    # Eleven bits of mantissa through a dozen layers; ranks of neighbours stay as they are.
    Precision.FP16: Floor(cosine=0.999, centred_cosine=0.99, difference=2e-2, company=5e-3),
    # Eight bits for weights and activations. A search finds a picture again whoever shared its
    # batch, so company must cost well less than rounding does (a distance of about 2e-2).
    Precision.INT8: Floor(cosine=0.98, centred_cosine=0.9, difference=1e-1, company=5e-3),
}


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs of one shape and the features that the checkpoint itself gives them.

    `mates` are rows of the same shape that drive activations to their extremes.
    """

    name: str
    inputs: Inputs
    reference: Features
    mates: Inputs


@dataclass(frozen=True, slots=True)
class Parity:
    """Figures of one encoder over all samples at batch 1, 3 and 8.

    `cosine` is the least between a feature and the checkpoint's, `centred_cosine` the same after
    the samples' mean is taken from both: all features of a network share a large part, which
    flatters the plain cosine. `company` is the greatest
    distance between a row alone and in a batch with other samples, `adversarial_company` the same
    beside adversarial rows. `variation` is the greatest difference between a component of two
    samples.
    """

    samples: int
    cosine: float
    centred_cosine: float
    max_abs_difference: float
    company: float
    adversarial_company: float
    variation: float

    def failures(self, floor: Floor) -> list[str]:
        """What is wrong, in words; empty when the encoder is as good as it must be."""
        # Written so that a NaN fails.
        checks = {
            f"cosine {self.cosine:.6f} < {floor.cosine}": self.cosine >= floor.cosine,
            f"centred cosine {self.centred_cosine:.6f} < {floor.centred_cosine}": (
                self.centred_cosine >= floor.centred_cosine
            ),
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
        return [text for text, passed in checks.items() if not passed]


class _OnnxEncoder:
    """An ONNX file on ONNX Runtime's CPU provider."""

    def __init__(self, path: Path) -> None:
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # the bindings raise no common base class
            raise ParityError(f"{path.name}: ONNX Runtime refuses it: {error}") from error

    def __call__(self, inputs: Inputs) -> Features:
        """Features of all rows as one batch: `[N, D]`."""
        features: Features = self._session.run([FEATURES], dict(inputs))[0]
        return features


def unit(features: torch.Tensor) -> Features:
    """Rows of length 1."""
    normalised: Features = (features / features.norm(dim=-1, keepdim=True)).numpy()
    return normalised


def measure(path: Path, samples: Sequence[Samples]) -> Parity:
    """Run the encoder on all samples. Raises `ParityError` when ONNX Runtime cannot."""
    encoder = _OnnxEncoder(path)
    return _worst([_measure(encoder, group) for group in samples])


def _measure(encoder: _OnnxEncoder, group: Samples) -> Parity:
    count = len(group.reference)
    every = np.arange(count)
    alone = np.concatenate(
        [encoder(_take(group.inputs, every[row : row + 1])) for row in range(count)]
    )
    outputs, company = [alone], 0.0
    for size in BATCH_SIZES[1:]:
        rows = np.resize(every, -(-count // size) * size)
        batches = rows.reshape(-1, size)
        together = np.concatenate([encoder(_take(group.inputs, batch)) for batch in batches])
        company = max(company, _distance(together, alone[rows]))
        outputs.append(together[:count])
    beside = [
        encoder(_join(_take(group.inputs, every[row : row + 1]), group.mates))[:1]
        for row in range(count)
    ]
    difference = max(float(np.abs(output - group.reference).max()) for output in outputs)
    mean = group.reference.mean(axis=0)
    return Parity(
        samples=count,
        cosine=min(_cosine(output, group.reference) for output in outputs),
        centred_cosine=min(_cosine(output - mean, group.reference - mean) for output in outputs),
        max_abs_difference=difference,
        company=company,
        adversarial_company=_distance(np.concatenate(beside), alone),
        variation=float(np.ptp(group.reference, axis=0).max()),
    )


def _worst(figures: Sequence[Parity]) -> Parity:
    return Parity(
        samples=sum(figure.samples for figure in figures),
        cosine=float(np.min([figure.cosine for figure in figures])),
        centred_cosine=float(np.min([figure.centred_cosine for figure in figures])),
        max_abs_difference=float(np.max([figure.max_abs_difference for figure in figures])),
        company=float(np.max([figure.company for figure in figures])),
        adversarial_company=float(np.max([figure.adversarial_company for figure in figures])),
        variation=float(np.min([figure.variation for figure in figures])),
    )


def _cosine(left: Features, right: Features) -> float:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


def _distance(left: Features, right: Features) -> float:
    return float(np.linalg.norm(left - right, axis=1).max())


def _take(inputs: Inputs, rows: npt.NDArray[np.intp]) -> Inputs:
    return {name: array[rows] for name, array in inputs.items()}


def _join(first: Inputs, second: Inputs) -> Inputs:
    return {name: np.concatenate([array, second[name]]) for name, array in first.items()}
