"""An fp32 graph as it is and as int8; 16 bits are the matter of `mixed`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from triptych_export.parity import Inputs, Precision
from triptych_export.quiet import quiet

# Reads the fp32 graph and the calibration, writes the target.
Scheme = Callable[[Path, Path, Iterator[Inputs]], None]


def unchanged(source: Path, target: Path, calibration: Iterator[Inputs]) -> None:
    """Move the graph, and its weights if they lie beside it."""
    for file in source.parent.glob(f"{source.name}*"):
        file.rename(target.with_name(file.name))


def to_dynamic_int8(source: Path, target: Path, calibration: Iterator[Inputs]) -> None:
    """Store weights as int8 for each channel; activations are scaled by each batch's own range."""
    with quiet():
        quantize_dynamic(
            _bare(source),
            target,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=_is_large(source),
        )


def to_static_int8(source: Path, target: Path, calibration: Iterator[Inputs]) -> None:
    """Store weights as int8 for each channel; activations are scaled by the calibration's range."""
    model = _bare(source)
    with quiet():
        quantize_static(
            model,
            target,
            _Calibration(calibration),
            nodes_to_quantize=_products_with_weights(model.graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            use_external_data_format=_is_large(source),
        )


SCHEMES: dict[Precision, dict[str, Scheme]] = {
    Precision.FP32: {"fp32": unchanged},
    Precision.INT8: {"int8 dynamic": to_dynamic_int8, "int8 static": to_static_int8},
}


def _is_large(source: Path) -> bool:
    """Whether the fp32 graph needed a file for its weights; its smaller versions get one too."""
    return source.with_name(f"{source.name}.data").exists()


def _products_with_weights(graph: Any) -> list[str]:
    """Names of the products of an activation and a weight; attention's own products stay fp32."""
    weights = {tensor.name for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type in {"MatMul", "Gemm"} and node.input[1] in weights
    ]


def _bare(path: Path) -> Any:
    """The graph without the shapes of its intermediate values, on which the quantiser stumbles."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    return model


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """The batches that the static quantiser asks for."""

    def __init__(self, batches: Iterator[Inputs]) -> None:
        self._batches = batches

    def get_next(self) -> Any:
        return next(self._batches, None)
