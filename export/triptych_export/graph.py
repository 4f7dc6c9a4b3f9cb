"""Torch module to ONNX file."""

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
    `<name>.data`. The file does not say which source files its nodes came from.
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
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.save(str(path), external_data=size > LARGEST_FILE)


def share(folder: Path) -> None:
    """Let everybody read the files of `folder`: onnx writes large weights for their owner alone."""
    for file in folder.iterdir():
        file.chmod(0o644)
