"""Smaller and faster versions of an fp32 graph."""

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
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from triptych_export.parity import Inputs, Precision
from triptych_export.quiet import quiet

# Reads the fp32 graph and the calibration, writes the target.
Scheme = Callable[[Path, Path, Iterator[Inputs]], None]

# Sums of squares and exponentials leave fp16's range or its resolution.
_FP32_OPERATORS = ("LayerNormalization", "Softmax", "ReduceL2", "Clip", "Div")


def keep_fp32(source: Path, target: Path, calibration: Iterator[Inputs]) -> None:
    """Check that the target is the source."""
    assert source == target


def to_fp16(source: Path, target: Path, calibration: Iterator[Inputs]) -> None:
    """Store weights and products as fp16; inputs, outputs and norms stay as they are."""
    model = convert_float_to_float16(
        onnx.load(source),
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_FP32_OPERATORS],
        # ONNX cannot infer shapes beyond 2 GB; what the tracer wrote down is enough.
        disable_shape_infer=_is_large(source),
    )
    _drop_repeated_casts(model.graph)
    OnnxModel(model).topological_sort()
    onnx.save(
        model, target, save_as_external_data=_is_large(source), location=f"{target.name}.data"
    )


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
    Precision.FP32: {"fp32": keep_fp32},
    Precision.FP16: {"fp16": to_fp16},
    Precision.INT8: {"int8 dynamic": to_dynamic_int8, "int8 static": to_static_int8},
}


def _is_large(source: Path) -> bool:
    """Whether the fp32 graph needed a file for its weights; its smaller versions get one too."""
    return source.with_name(f"{source.name}.data").exists()


def _drop_repeated_casts(graph: Any) -> None:
    """Keep one cast of each tensor; the converter writes one for every fp32 operator."""
    nodes, written = list(graph.node), set()
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Cast" and node.output[0] in written:
            continue
        written.update(node.output)
        graph.node.append(node)
    del graph.value_info[:]


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
