"""The typed graph: what is reduced, what is not, and what nobody else may notice."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from triptych_export.casts import REDUCED, Reduced, layers, write_casts
from triptych_export.parity import Precision

BOTH = list(REDUCED.values())
ATTENTION = "vision_model.encoder.layers.0.self_attn"


def write_graph(path: Path, **weights: float) -> None:
    """`y = (x + w) * w`, the sum in the layer `first` and the product in `second`."""
    nodes = [
        helper.make_node("Add", ["x", "w"], ["sum"], "first/Add_0"),
        helper.make_node("Mul", ["sum", "w"], ["y"], "second/Mul_1"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    initializers = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in weights.items()
    ]
    graph = helper.make_graph(nodes, "sum", values[:1], values[1:], initializers)
    graph.value_info.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n"]))
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )


def types(model: onnx.ModelProto) -> dict[str, int]:
    """The type of every value and weight."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in inferred.initializer}


def operators(model: onnx.ModelProto, onnx_type: int) -> set[str]:
    """The operators that give this type, casts aside."""
    known = types(model)
    return {
        node.op_type
        for node in model.graph.node
        if node.op_type != "Cast" and known[node.output[0]] == onnx_type
    }


@pytest.mark.parametrize("reduced", BOTH, ids=lambda reduced: reduced.precision)
def test_inputs_and_outputs_stay_as_they_are(
    clip_tower: Path, tmp_path: Path, reduced: Reduced
) -> None:
    write_casts(clip_tower, tmp_path / "model.onnx", reduced, ())
    before, after = onnx.load(clip_tower).graph, onnx.load(tmp_path / "model.onnx").graph
    assert list(after.input) == list(before.input)
    assert list(after.output) == list(before.output)


@pytest.mark.parametrize("reduced", BOTH, ids=lambda reduced: reduced.precision)
def test_norms_and_softmax_are_fp32_and_products_are_not(
    clip_tower: Path, tmp_path: Path, reduced: Reduced
) -> None:
    write_casts(clip_tower, tmp_path / "model.onnx", reduced, ())
    model = onnx.load(tmp_path / "model.onnx")
    low, full = operators(model, reduced.onnx_type), operators(model, TensorProto.FLOAT)
    assert low >= {"MatMul", "Gemm", "Add", "Mul", "Sigmoid"}
    assert full >= {"LayerNormalization", "Softmax", "ReduceL2", "Div"}
    # ONNX has no convolution in bf16 before opset 22.
    assert "Conv" in (full if reduced.precision is Precision.BF16 else low)
    assert not low & full


def test_a_kept_layer_keeps_its_weights(clip_tower: Path, tmp_path: Path) -> None:
    write_casts(clip_tower, tmp_path / "model.onnx", REDUCED[Precision.FP16], [ATTENTION])
    model = onnx.load(tmp_path / "model.onnx")
    known = types(model)
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    for node in products:
        kept = ATTENTION in node.name
        assert {known[name] for name in node.input} == {
            TensorProto.FLOAT if kept else TensorProto.FLOAT16
        }
    assert {ATTENTION in node.name for node in products} == {True, False}


def test_an_output_of_16_bits_is_cast_back(tmp_path: Path) -> None:
    write_graph(tmp_path / "fp32.onnx", w=2.0)
    write_casts(tmp_path / "fp32.onnx", tmp_path / "model.onnx", REDUCED[Precision.FP16], ())
    model = onnx.load(tmp_path / "model.onnx")
    assert [node.op_type for node in model.graph.node] == ["Cast", "Add", "Mul", "Cast"]
    assert types(model)["y"] == TensorProto.FLOAT


def test_a_weight_of_a_kept_and_a_reduced_layer_is_stored_as_both(tmp_path: Path) -> None:
    write_graph(tmp_path / "fp32.onnx", w=2.0)
    write_casts(tmp_path / "fp32.onnx", tmp_path / "model.onnx", REDUCED[Precision.BF16], ["first"])
    model = onnx.load(tmp_path / "model.onnx")
    stored = {tensor.data_type for tensor in model.graph.initializer}
    assert stored == {TensorProto.FLOAT, TensorProto.BFLOAT16}


@pytest.mark.parametrize("reduced", BOTH, ids=lambda reduced: reduced.precision)
def test_masks_beyond_the_range_stay_finite(tmp_path: Path, reduced: Reduced) -> None:
    """A row of nothing but masked tokens would else be a sum of infinities."""
    write_graph(tmp_path / "fp32.onnx", w=float(np.finfo(np.float32).min))
    write_casts(tmp_path / "fp32.onnx", tmp_path / "model.onnx", reduced, ())
    (stored,) = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert numpy_helper.to_array(stored).astype(np.float32) == -np.float32(reduced.greatest)


def test_weights_in_a_file_of_their_own_are_replaced_with_the_graph(
    clip_tower: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "fp32.onnx", tmp_path / "model.onnx"
    onnx.save(onnx.load(clip_tower), source, save_as_external_data=True, location="fp32.onnx.data")
    sizes = []
    for keep in ([], [ATTENTION], []):
        write_casts(source, target, REDUCED[Precision.FP16], keep)
        sizes.append((tmp_path / "model.onnx.data").stat().st_size)
    assert sizes[0] == sizes[2] < sizes[1] < (tmp_path / "fp32.onnx.data").stat().st_size


def test_layers_have_their_values_and_what_they_read(tmp_path: Path) -> None:
    write_graph(tmp_path / "fp32.onnx", w=2.0)
    found = layers(tmp_path / "fp32.onnx", REDUCED[Precision.FP16])
    assert {layer: set(values) for layer, values in found.items()} == {
        "first": {"x", "sum"},
        "second": {"sum", "y"},
    }
