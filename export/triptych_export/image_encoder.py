"""Encoders that take pictures: their graph, their truth and their parameters."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from triptych_export.checkpoint import Checkpoint
from triptych_export.parity import MATES, ROWS, Inputs, Output, Samples
from triptych_export.preprocessing import ImageSteps
from triptych_export.samples import adversarial_pixels
from triptych_server.engines.encoders.spec import PIXELS, Role


class ImageFeatures(nn.Module):
    """A contrastive network on normalised pictures `[N, 3, H, W]`: `[N, D]` of length 1."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self._family = checkpoint.model, checkpoint.family

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self._family.image_features(self.model, pixel_values))


class _FromPixels(nn.Module):
    """`network` behind the normalisation of `steps`: takes `pixels` `[N, H, W, 3]` uint8."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: nn.Module, steps: ImageSteps) -> None:
        super().__init__()
        self.network = network
        mean = torch.tensor(steps.mean).view(1, 3, 1, 1)
        std = torch.tensor(steps.std).view(1, 3, 1, 1)
        self.register_buffer("scale", steps.rescale / std)
        self.register_buffer("shift", mean / std)

    def forward(self, pixels: torch.Tensor) -> Any:
        # Cast first: TensorRT takes uint8 nowhere else.
        pixel_values = pixels.to(torch.float32).permute(0, 3, 1, 2) * self.scale - self.shift
        return self.network(pixel_values)


class ImageEncoder:
    """`network`, which takes normalised pictures `[N, 3, H, W]`, in the given role.

    `pictures` are RGB, for parity and calibration; `more` are further parameters of config.pbtxt.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        pictures: Sequence[Image.Image],
        network: nn.Module,
        role: Role = Role.IMAGE,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.role, self.axes = role, {PIXELS: {0: "batch"}}
        self._steps, self._process = checkpoint.image, checkpoint.processor
        self._pictures, self._network, self._more = pictures, network, more or {}

    @property
    def lengths(self) -> Sequence[int]:
        """None."""
        return ()

    def tower(self) -> nn.Module:
        """The network from uint8 pixels."""
        return _FromPixels(self._network, self._steps)

    def example(self) -> dict[str, torch.Tensor]:
        """Two black pictures."""
        shape = (2, self._steps.height, self._steps.width, 3)
        return {PIXELS: torch.zeros(shape, dtype=torch.uint8)}

    def samples(self) -> list[Samples]:
        """Pictures through the checkpoint's own processor, and random pixels."""
        return self._samples

    @cached_property
    def _samples(self) -> list[Samples]:
        pictures = self._pictures[:ROWS]
        height, width = self._steps.height, self._steps.width
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (ROWS, height, width, 3), dtype=np.uint8)
        mates = {PIXELS: adversarial_pixels(MATES, height, width)}
        return [
            Samples(
                "pictures",
                {PIXELS: self._resized(pictures)},
                self._reference(self._process(list(pictures))),
                mates,
            ),
            Samples(
                "random pixels",
                {PIXELS: noise},
                self._reference(self._process(list(noise), do_resize=False, do_center_crop=False)),
                mates,
            ),
        ]

    def calibration(self) -> Iterator[Inputs]:
        """All pictures, `ROWS` at a time."""
        for start in range(0, len(self._pictures), ROWS):
            yield {PIXELS: self._resized(self._pictures[start : start + ROWS])}

    def parameters(self) -> dict[str, str]:
        """Resize and resample; the size stands in the input's shape, the rest is in the graph."""
        edge = self._steps.shortest_edge
        return {
            "resize": "exact" if edge is None else f"shortest_edge:{edge}",
            "resample": self._steps.resample,
            **self._more,
        }

    def files(self) -> Mapping[str, bytes]:
        """Nothing."""
        return {}

    def _resized(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.uint8]:
        """Pictures as the tower takes them, resized and cut by the checkpoint's own processor."""
        resized = self._process(list(pictures), do_rescale=False, do_normalize=False)
        return np.stack(resized["pixel_values"]).transpose(0, 2, 3, 1).astype(np.uint8)

    def _reference(self, processed: Any) -> Output:
        pixel_values = torch.from_numpy(np.stack(processed["pixel_values"]).astype(np.float32))
        with torch.inference_mode():
            output: Output = self._network(pixel_values).numpy()
        return output
