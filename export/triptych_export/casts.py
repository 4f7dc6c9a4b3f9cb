"""Casts: which nodes of an fp32 graph compute in fp16 or bf16, and the graph that says so.

The graph is strongly typed, as TensorRT 11 wants it: every value has the type that it is written
with, and every change of type is a Cast. Inputs and outputs keep their names and types.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from triptych_export.layers import layer_of
from triptych_export.parity import Precision

# Sums of squares and exponentials leave fp16's range or both types' resolution; the scales of a
# Resize are fp32 whatever it resizes; the rest either makes values out of none or would be rounded
# before it is compared or counted.
_FP32_OPERATORS = frozenset(
    {"LayerNormalization", "Softmax", "ReduceL2", "Clip", "Div", "Resize"}
    | {"Cast", "Constant", "ConstantOfShape", "Range"}
)


@dataclass(frozen=True, slots=True)
class Reduced:
    """A type of 16 bits: ONNX's number for it, and its greatest finite value."""

    precision: Precision
    onnx_type: int
    greatest: float

    def stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Weights in this type; those beyond its range, such as masks, become its greatest."""
        dtype = helper.tensor_dtype_to_np_dtype(self.onnx_type)
        stored: npt.NDArray[Any] = np.clip(values, -self.greatest, self.greatest).astype(dtype)
        return stored


REDUCED = {
    reduced.precision: reduced
    for reduced in (
        Reduced(Precision.FP16, TensorProto.FLOAT16, 65504.0),
        Reduced(Precision.BF16, TensorProto.BFLOAT16, (2 - 2**-7) * 2.0**127),
    )
}


class Reducible:
    """The fp32 graph of `model`, and what of it may compute in `reduced`."""

    def __init__(self, model: Any, reduced: Reduced) -> None:
        self.graph, self._reduced = model.graph, reduced
        self._opset = next(opset.version for opset in model.opset_import if not opset.domain)
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.floats = set(self._floats())

    def _floats(self) -> Iterator[str]:
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                yield value.name
        for tensor in self.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                yield tensor.name

    @cached_property
    def layers(self) -> dict[str, str]:
        """The layer of each value that may be of the reduced type, by the value's name."""
        return {
            name: layer_of(node.name)
            for node in self.graph.node
            if self._may_reduce(node)
            for name in node.output
            if name in self.floats
        }

    def outside(self, keep: Collection[str]) -> frozenset[str]:
        """The values that are of the reduced type when the layers `keep` stay in fp32."""
        return frozenset(name for name, layer in self.layers.items() if layer not in keep)

    def reads(self, node: Any) -> list[tuple[int, str]]:
        """The fp32 inputs of a node, with their positions; not those whose shape alone counts."""
        if node.op_type in ("Shape", "Size"):
            return []
        return [(place, name) for place, name in enumerate(node.input) if name in self.floats]

    def drop_unread_weights(self) -> None:
        """Forget the weights that have been replaced."""
        read = {name for node in self.graph.node for name in node.input}
        weights = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(weights)

    def _may_reduce(self, node: Any) -> bool:
        if node.op_type in _FP32_OPERATORS or not self.floats.intersection(node.output):
            return False
        schema = onnx.defs.get_schema(node.op_type, self._opset, node.domain)
        wanted = f"tensor({TensorProto.DataType.Name(self._reduced.onnx_type).lower()})"
        kinds = {kind.type_param_str: kind.allowed_type_strs for kind in schema.type_constraints}
        return wanted in kinds.get(schema.outputs[0].type_str, ())


def layers(source: Path, reduced: Reduced) -> dict[str, tuple[str, ...]]:
    """The layers of an fp32 graph, each with the values that could overflow in it.

    These are the values that its operators give, and what they read from other layers.
    """
    reducible = Reducible(onnx.load(source, load_external_data=False), reduced)
    values: dict[str, dict[str, None]] = {}
    for node in reducible.graph.node:
        for layer in {reducible.layers[name] for name in node.output if name in reducible.layers}:
            made = values.setdefault(layer, {})
            made.update(dict.fromkeys(name for name in node.output if name in reducible.layers))
            read = (name for _, name in reducible.reads(node) if name not in reducible.weights)
            made.update(dict.fromkeys(read))
    return {layer: tuple(names) for layer, names in values.items()}


def write_casts(source: Path, target: Path, reduced: Reduced, keep: Collection[str]) -> None:
    """Write `source` with all layers but `keep` in the reduced type, where its operators can be."""
    model = onnx.load(source)
    _Casts(Reducible(model, reduced), reduced, keep).write()
    save_like(source, model, target)
    # ONNX Runtime cannot load every type; the checker follows them all.
    onnx.checker.check_model(target, full_check=True)


def save_like(source: Path, model: Any, target: Path) -> None:
    """Save `model`, with its weights in a file of their own if those of `source` are."""
    large = source.with_name(f"{source.name}.data").exists()
    weights = target.with_name(f"{target.name}.data")
    weights.unlink(missing_ok=True)  # onnx would append to it
    onnx.save(model, target, save_as_external_data=large, location=weights.name)


class _Casts:
    """One pass over a graph, which it changes."""

    def __init__(self, reducible: Reducible, reduced: Reduced, keep: Collection[str]) -> None:
        self._reducible, self._reduced = reducible, reduced
        self._low = reducible.outside(keep)
        self._nodes: list[Any] = []
        # Values and weights in the type that they were not made in: (name, whether reduced).
        self._made: dict[tuple[str, bool], str] = {}

    def write(self) -> None:
        graph = self._reducible.graph
        outputs = {value.name for value in graph.output} & self._low
        for node in list(graph.node):
            low = not self._low.isdisjoint(node.output)
            for place, name in self._reducible.reads(node):
                node.input[place] = self._as(name, low)
            self._nodes.append(node)
            for place, name in enumerate(node.output):
                if name in outputs:
                    node.output[place] = self._made[name, True] = f"{name}.reduced"
                    self._cast(node.output[place], name, TensorProto.FLOAT)
                    self._made[name, False] = name
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        self._reducible.drop_unread_weights()

    def _as(self, name: str, low: bool) -> str:
        """The name of a value or weight in the type that is wanted, which is made if need be."""
        if (name, low) not in self._made:
            if (name in self._low) == low:
                return name
            made = f"{name}.{'reduced' if low else 'fp32'}"
            self._made[name, low] = made
            if name in self._reducible.weights:
                values = numpy_helper.to_array(self._reducible.weights[name])
                weight = numpy_helper.from_array(self._reduced.stored(values), made)
                self._reducible.graph.initializer.append(weight)
            else:
                self._cast(name, made, self._reduced.onnx_type if low else TensorProto.FLOAT)
        return self._made[name, low]

    def _cast(self, name: str, made: str, onnx_type: int) -> None:
        self._nodes.append(helper.make_node("Cast", [name], [made], f"{made}/Cast", to=onnx_type))
