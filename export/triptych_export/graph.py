"""Torch module to ONNX file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from triptych_export.quiet import quiet

OPSET = 20
LARGEST_FILE = 2**31 - 2**20  # bytes; protobuf's limit, less room for the nodes


def write_graph(
    tower: nn.Module,
    example: Mapping[str, torch.Tensor],
    axes: Mapping[str, Mapping[int, str]],
    output: str,
    path: Path,
) -> None:
    """Trace `tower` on `example` and write it with the dynamic `axes` of each input.

    Weights beyond `LARGEST_FILE` lie beside the file as `<name>.data`.
    """
    size = sum(tensor.nbytes for tensor in tower.state_dict().values())
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            tower.eval(),
            kwargs=dict(example),
            input_names=list(example),
            output_names=[output],
            opset_version=OPSET,
            dynamic_shapes={name: dict(axes[name]) for name in example},
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # it is with dynamo=True
        save(program, size, path)


def save(program: torch.onnx.ONNXProgram, weight_bytes: int, path: Path) -> None:
    """Write a traced network, without the places in source files that each node came from.

    Weights beyond `LARGEST_FILE` lie beside the file as `<name>.data`.
    """
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.save(str(path), external_data=weight_bytes > LARGEST_FILE)
