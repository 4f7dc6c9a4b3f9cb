"""An fp32 graph to one of fp16 or bf16 with some layers in fp32, if it is like its checkpoint."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_export.casts import REDUCED, write_casts
from triptych_export.errors import ParityError
from triptych_export.keep_fp32 import Trials
from triptych_export.layers import named
from triptych_export.parity import FLOORS, Parity, Precision, Samples, measure

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Mixed:
    """The layers that stay in fp32, and the figures of the graph rounded as it is typed."""

    kept: tuple[str, ...]
    parity: Parity


def write_mixed(
    source: Path,
    target: Path,
    precision: Precision,
    keep_fp32: Collection[str],
    output: str,
    samples: Sequence[Samples],
) -> Mixed:
    """Write the fp32 graph `source` as fp16 or bf16.

    `keep_fp32` names layers that stay in fp32 (`AUTO` alone: the fewest that it takes); names that
    the graph does not have are passed over. Raises `ParityError`, which names the worst layer.
    """
    reduced = REDUCED[precision]
    trials = Trials(source, reduced, output, samples)
    kept = trials.smallest() if AUTO in keep_fp32 else named(trials.layers, keep_fp32)
    parity = trials.compare(kept)
    failures = parity.failures(FLOORS[precision])
    if not failures:
        write_casts(source, target, reduced, kept)
        if precision is Precision.FP16:  # which ONNX Runtime runs on CPUs, in its own way
            failures = measure(target, output, samples[:1]).failures(FLOORS[precision])
    if failures:
        reason = f"{precision}: {', '.join(failures)}"
        if len(kept) == len(trials.layers):
            raise ParityError(f"{reason}, with all layers in fp32")
        advice = f"`--keep-fp32 {AUTO}` finds the fewest layers to keep in fp32"
        raise ParityError(f"{reason}; the worst layer is {trials.worst(kept)}; {advice}")
    return Mixed(tuple(layer for layer in trials.layers if layer in kept), parity)
