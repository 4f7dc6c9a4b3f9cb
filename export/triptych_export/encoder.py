"""What the pipeline asks of a tower on its way into the model repository."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

import torch
from torch import nn

from triptych_export.parity import Inputs, Samples
from triptych_server.engines.encoders.spec import Role


class Encoder(Protocol):
    """One tower of a checkpoint: `ImageEncoder` or `TextEncoder`."""

    role: ClassVar[Role]
    axes: ClassVar[Mapping[int, str]]  # the dynamic axes of every input

    def tower(self) -> nn.Module:
        """The network in the contract's shape; its inputs are named as in `example`."""
        ...

    def example(self) -> dict[str, torch.Tensor]:
        """Inputs of two rows to trace the tower with."""
        ...

    def samples(self) -> list[Samples]:
        """Real and random inputs with the features that the checkpoint itself gives them."""
        ...

    def calibration(self) -> Iterator[Inputs]:
        """Real inputs, a batch at a time, from which static quantisation takes its ranges."""
        ...

    def parameters(self) -> dict[str, str]:
        """The preprocessing as parameters of config.pbtxt, less their prefix `triptych.`."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """What lies beside config.pbtxt, by file name."""
        ...
