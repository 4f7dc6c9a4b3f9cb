"""How large the values of a graph become on samples."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from triptych_export.parity import Inputs, Samples

# Masks are about as large as fp32 goes; they saturate in fewer bits and do no harm.
_MASK = 1e30


def peaks(source: Path, values: Collection[str], samples: Sequence[Samples]) -> dict[str, float]:
    """The greatest magnitude of each of the fp32 `values` over all rows of the samples."""
    model = onnx.load(source, load_external_data=False)
    given = {value.name for value in (*model.graph.input, *model.graph.output)}
    shown = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in values
        if name not in given
    ]
    model.graph.output.extend(shown)
    # Beside the source, whose file of weights it may share.
    traced = source.with_name(f"traced-{source.name}")
    onnx.save(model, traced)
    session = onnxruntime.InferenceSession(traced, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs() if value.name in values]
    found = dict.fromkeys(names, 0.0)
    for inputs in _rows_alone(samples):
        for name, array in zip(names, session.run(names, dict(inputs)), strict=True):
            sizes = np.abs(array)
            peak = float(sizes.max(initial=0, where=sizes < _MASK))
            found[name] = max(found[name], peak)
    return found


def _rows_alone(samples: Sequence[Samples]) -> list[Inputs]:
    """One row at a time: all values of a batch would take more memory than the network."""
    return [
        {**{name: array[row : row + 1] for name, array in group.inputs.items()}, **group.shared}
        for group in samples
        for row in range(len(group.reference))
    ]
