"""The fp32 graph that stands for the typed one, against what runs the typed one itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from triptych_export.casts import REDUCED, Reduced, layers, write_casts
from triptych_export.parity import FLOORS, Precision
from triptych_export.rounding import write_rounded

BOTH = list(REDUCED.values())
PIXELS = {"pixels": np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)}


def run(path: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(path).run(None, inputs)[0]


def run_typed(path: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """By ONNX's own reference implementation, which computes in the types that are written."""
    return ReferenceEvaluator(str(path)).run(None, dict(inputs))[0]


def write_chain(path: Path, *operators: tuple[str, float]) -> None:
    """`x` through operators with a constant each."""
    nodes, values, weights = [], [], []
    for index, (operator, constant) in enumerate(operators):
        source, made = f"v{index - 1}" if index else "x", f"v{index}"
        nodes.append(helper.make_node(operator, [source, f"w{index}"], [made], f"layer/{index}"))
        values.append(helper.make_tensor_value_info(made, TensorProto.FLOAT, ["n"]))
        weights.append(numpy_helper.from_array(np.array(constant, np.float32), f"w{index}"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "chain", [x], values[-1:], weights, value_info=values[:-1])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )


@pytest.mark.parametrize("reduced", BOTH, ids=lambda reduced: reduced.precision)
def test_every_operator_rounds_as_the_typed_one_does(tmp_path: Path, reduced: Reduced) -> None:
    source, typed, rounded = (tmp_path / f"{name}.onnx" for name in ("fp32", "typed", "rounded"))
    write_chain(source, ("Mul", 1.7), ("Add", 100.3), ("Sub", 99.9))
    write_casts(source, typed, reduced, ())
    write_rounded(source, rounded, reduced, ())
    x = {"x": np.random.default_rng(0).normal(size=1000).astype(np.float32)}
    expected = run_typed(typed, x)
    assert np.array_equal(run(rounded, x), expected)
    assert np.abs(expected - run(source, x)).max() > 1e-2


def test_it_overflows_where_onnx_runtime_lets_fp16_pass(tmp_path: Path) -> None:
    source, typed, rounded = (tmp_path / f"{name}.onnx" for name in ("fp32", "typed", "rounded"))
    write_chain(source, ("Mul", 300.0), ("Mul", 1 / 300))
    write_casts(source, typed, REDUCED[Precision.FP16], ())
    write_rounded(source, rounded, REDUCED[Precision.FP16], ())
    x = {"x": np.array([1000.0], np.float32)}
    with np.errstate(over="ignore"):
        assert np.isinf(run_typed(typed, x)).all()
    assert np.isinf(run(rounded, x)).all()
    assert np.isfinite(run(typed, x)).all()  # why the typed graph itself proves nothing on CPUs


@pytest.mark.parametrize("reduced", BOTH, ids=lambda reduced: reduced.precision)
def test_a_network_is_as_far_from_fp32_as_the_typed_one(
    clip_tower: Path, tmp_path: Path, reduced: Reduced
) -> None:
    """Not equal: the other way to run it sums products in another order."""
    typed, rounded = tmp_path / "typed.onnx", tmp_path / "rounded.onnx"
    write_casts(clip_tower, typed, reduced, ())
    write_rounded(clip_tower, rounded, reduced, ())
    exact, found = run(clip_tower, PIXELS), run(rounded, PIXELS)
    expected = run_typed(typed, PIXELS)
    error, same = np.abs(found - exact).max(), np.abs(found - expected).max()
    assert 0.2 < error / np.abs(expected - exact).max() < 5
    assert same < FLOORS[reduced.precision].difference


@pytest.mark.parametrize("reduced", BOTH, ids=lambda reduced: reduced.precision)
def test_with_all_layers_in_fp32_nothing_changes(
    clip_tower: Path, tmp_path: Path, reduced: Reduced
) -> None:
    write_rounded(clip_tower, tmp_path / "rounded.onnx", reduced, layers(clip_tower, reduced))
    assert np.array_equal(run(tmp_path / "rounded.onnx", PIXELS), run(clip_tower, PIXELS))
