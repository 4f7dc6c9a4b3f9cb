"""Torch module to ONNX file."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from triptych_export.quiet import quiet

OPSET = 20
LARGEST_FILE = 2**31 - 2**20  # bytes; protobuf's limit, less room for the nodes


def write_graph(
    network: nn.Module,
    example: Mapping[str, Any],
    axes: Mapping[str, Any],
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> None:
    """Trace `network` on the keyword arguments `example` and write it to `path`.

    `axes` has the dynamic axes of each argument in the argument's own structure. `inputs` and
    `outputs` name all tensors in their order. Weights beyond `LARGEST_FILE` lie beside the file as
    `<name>.data`. Nodes are named after the module that they compute, `encoder.layers.0.mlp/Add_7`;
    the file does not say which source files they came from.
    """
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            kwargs=dict(example),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamic_shapes=dict(axes),
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # it is with dynamo=True
        for number, node in enumerate(program.model.graph.all_nodes()):
            node.name = f"{_module(node)}/{node.op_type}_{number}"
            node.metadata_props.clear()
        _read_shapes_behind_casts(program.model.graph)
        program.save(str(path), external_data=size > LARGEST_FILE)


def _module(node: Any) -> str:
    """The path of the module that the tracer was in; the scopes end with the node's own."""
    scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _read_shapes_behind_casts(graph: Any) -> None:
    """Take the shape of uint8 inputs from their cast: TensorRT lets nothing else read such inputs.

    https://github.com/NVIDIA/TensorRT/issues/3985
    """
    for value in graph.inputs:
        nodes = [use.node for use in value.uses()]
        casts = [node for node in nodes if node.op_type == "Cast"]
        for node in nodes:
            if casts and node.op_type == "Shape":
                node.replace_input_with(0, casts[0].outputs[0])
    graph.sort()


def share(folder: Path) -> None:
    """Let everybody read the files of `folder`: onnx writes large weights for their owner alone."""
    for file in folder.iterdir():
        file.chmod(0o644)
