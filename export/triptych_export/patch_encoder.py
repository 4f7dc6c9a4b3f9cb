"""Encoders that take the patches of pictures: their graph and their truth."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from triptych_export.image_encoder import ImageEncoder
from triptych_export.parity import MATES, Inputs, Output, Samples
from triptych_server.engines.encoders.spec import PATCHES, Role


class PatchEncoder:
    """`network`, which takes what the encoder `vision` gives, in the given role."""

    def __init__(
        self, vision: ImageEncoder, network: nn.Module, role: Role, more: Mapping[str, str]
    ) -> None:
        self.role, self.axes = role, {PATCHES: {0: "batch"}}
        self._vision, self._network, self._more = vision, network, more

    @property
    def lengths(self) -> Sequence[int]:
        """None."""
        return ()

    def tower(self) -> nn.Module:
        """The network as it is."""
        return self._network

    def example(self) -> dict[str, torch.Tensor]:
        """The patches of two pictures."""
        return {PATCHES: torch.from_numpy(self._vision.samples()[0].reference[:2])}

    def samples(self) -> list[Samples]:
        """The patches that the vision tower gives, and random ones of the same size."""
        groups = {group.name: group.reference for group in self._vision.samples()}
        patches = groups["pictures"]
        noise = np.random.default_rng(0).normal(0, patches.std(), patches.shape)
        groups["random patches"] = noise.astype(np.float32)
        mates = {PATCHES: loudest(patches)}
        return [
            Samples(name, {PATCHES: rows}, self._reference(rows), mates)
            for name, rows in groups.items()
        ]

    def calibration(self) -> Iterator[Inputs]:
        """The patches of the pictures that parity is measured on."""
        for group in self._vision.samples():
            yield {PATCHES: group.reference}

    def parameters(self) -> dict[str, str]:
        """Whose patches it takes."""
        return dict(self._more)

    def files(self) -> Mapping[str, bytes]:
        """Nothing."""
        return {}

    def _reference(self, patches: Output) -> Output:
        with torch.inference_mode():
            output: Output = self._network(torch.from_numpy(patches)).numpy()
        return output


def loudest(patches: Output) -> Output:
    """Patches of the same signs, all as large as the largest: `[MATES, P, W]` at most."""
    loud: Output = np.sign(patches[:MATES]) * np.abs(patches).max()
    return loud
