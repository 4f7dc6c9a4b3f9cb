"""An fp32 graph that rounds wherever its strongly typed twin does.

ONNX Runtime's CPU provider has no arithmetic in bf16, and it runs fp16 graphs in fp32 without
storing as fp16 what lies between two operators: values that overflow elsewhere pass unseen there.
So parity is measured on a graph in fp32 in which every value that `write_casts` makes fp16 or bf16
is cast to that type and back: weights, what a reduced operator reads, and what it gives. Sums of
products are accumulated in fp32; an engine that accumulates them in 16 bits is not covered.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from triptych_export.casts import Reduced, Reducible, save_like

# They move values that were rounded before.
_MOVES = frozenset(
    {"Concat", "Expand", "Gather", "Identity", "Reshape", "Slice"}
    | {"Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)


def write_rounded(source: Path, target: Path, reduced: Reduced, keep: Collection[str]) -> None:
    """Write `source` so that it gives what `write_casts` with the same arguments makes of it."""
    model = onnx.load(source)
    _Rounding(Reducible(model, reduced), reduced, keep).write()
    save_like(source, model, target)


class _Rounding:
    """One pass over a graph, which it changes."""

    def __init__(self, reducible: Reducible, reduced: Reduced, keep: Collection[str]) -> None:
        self._reducible, self._reduced = reducible, reduced
        self._low = reducible.outside(keep)
        self._nodes: list[Any] = []
        self._made: set[str] = set()

    def write(self) -> None:
        graph = self._reducible.graph
        for node in list(graph.node):
            if self._low.isdisjoint(node.output):
                self._nodes.append(node)
            else:
                self._round(node)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        self._reducible.drop_unread_weights()

    def _round(self, node: Any) -> None:
        for place, name in self._reducible.reads(node):
            if name not in self._low:
                node.input[place] = self._as_read(name)
        self._nodes.append(node)
        if node.op_type not in _MOVES:
            for place, name in enumerate(node.output):
                if name in self._low:
                    node.output[place] = f"{name}.exact"
                    self._there_and_back(node.output[place], name)

    def _as_read(self, name: str) -> str:
        """The name of a weight, or of a value made in fp32, as reduced operators read it."""
        made = f"{name}.rounded"
        if made not in self._made:
            self._made.add(made)
            weight = self._reducible.weights.get(name)
            if weight is None:
                self._there_and_back(name, made)
            else:
                values = self._reduced.stored(numpy_helper.to_array(weight)).astype(np.float32)
                rounded = numpy_helper.from_array(values, made)
                self._reducible.graph.initializer.append(rounded)
        return made

    def _there_and_back(self, name: str, made: str) -> None:
        low = f"{made}.reduced"
        self._nodes += [
            helper.make_node("Cast", [name], [low], to=self._reduced.onnx_type),
            helper.make_node("Cast", [low], [made], to=TensorProto.FLOAT),
        ]
