"""What the pipeline asks of an encoder on its way into the model repository."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import nn

from triptych_export.parity import Inputs, Samples
from triptych_server.engines.encoders.spec import Role


class Encoder(Protocol):
    """One graph of a checkpoint; the role names its inputs and its output."""

    @property
    def role(self) -> Role:
        """What it takes and gives."""
        ...

    @property
    def axes(self) -> Mapping[str, Mapping[int, str]]:
        """The dynamic axes of every input."""
        ...

    @property
    def lengths(self) -> Sequence[int]:
        """The lengths to which texts are filled, ascending; none where it takes no texts."""
        ...

    def tower(self) -> nn.Module:
        """The network in the contract's shape; its inputs are named as in `example`."""
        ...

    def example(self) -> dict[str, torch.Tensor]:
        """Inputs of two rows or more to trace the tower with."""
        ...

    def samples(self) -> list[Samples]:
        """Real and random inputs with the output that the checkpoint itself gives them."""
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
