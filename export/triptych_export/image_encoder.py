"""The image tower: its graph, its truth and its parameters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from triptych_export.checkpoint import Checkpoint
from triptych_export.parity import Inputs, Samples, unit
from triptych_export.samples import adversarial_pixels
from triptych_server.engines.encoders.spec import PIXELS, Role

ROWS = 8
_MATES = 7


class ImageTower(nn.Module):
    """`pixels` `[N, H, W, 3]` uint8 to `features` `[N, D]` fp32 of length 1."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.model, self._family = checkpoint.model, checkpoint.family
        mean = torch.tensor(checkpoint.image.mean).view(1, 3, 1, 1)
        std = torch.tensor(checkpoint.image.std).view(1, 3, 1, 1)
        self.register_buffer("scale", checkpoint.image.rescale / std)
        self.register_buffer("shift", mean / std)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixel_values = pixels.permute(0, 3, 1, 2).to(torch.float32) * self.scale - self.shift
        return nn.functional.normalize(self._family.image_features(self.model, pixel_values))


class ImageEncoder:
    """The image tower of `checkpoint`; `pictures` are RGB, for parity and calibration."""

    role: ClassVar = Role.IMAGE
    axes: ClassVar[Mapping[int, str]] = {0: "batch"}

    def __init__(self, checkpoint: Checkpoint, pictures: Sequence[Image.Image]) -> None:
        self._checkpoint, self._pictures = checkpoint, pictures
        self._height, self._width = checkpoint.image.height, checkpoint.image.width

    def tower(self) -> nn.Module:
        """The network from uint8 pixels to features."""
        return ImageTower(self._checkpoint)

    def example(self) -> dict[str, torch.Tensor]:
        """Two black pictures."""
        return {PIXELS: torch.zeros((2, self._height, self._width, 3), dtype=torch.uint8)}

    def samples(self) -> list[Samples]:
        """Pictures through the checkpoint's own processor, and random pixels."""
        pictures = self._pictures[:ROWS]
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (ROWS, self._height, self._width, 3), dtype=np.uint8)
        process = self._checkpoint.processor
        mates = {PIXELS: adversarial_pixels(_MATES, self._height, self._width)}
        return [
            Samples(
                "pictures",
                {PIXELS: self._resized(pictures)},
                self._reference(process(list(pictures))),
                mates,
            ),
            Samples(
                "random pixels",
                {PIXELS: noise},
                self._reference(process(list(noise), do_resize=False, do_center_crop=False)),
                mates,
            ),
        ]

    def calibration(self) -> Iterator[Inputs]:
        """All pictures, `ROWS` at a time."""
        for start in range(0, len(self._pictures), ROWS):
            yield {PIXELS: self._resized(self._pictures[start : start + ROWS])}

    def parameters(self) -> dict[str, str]:
        """Resize and resample; the size stands in the input's shape, the rest is in the graph."""
        edge = self._checkpoint.image.shortest_edge
        return {
            "resize": "exact" if edge is None else f"shortest_edge:{edge}",
            "resample": self._checkpoint.image.resample,
        }

    def files(self) -> Mapping[str, bytes]:
        """Nothing."""
        return {}

    def _resized(self, pictures: Sequence[Image.Image]) -> npt.NDArray[np.uint8]:
        """Pictures as the tower takes them, resized and cut by the checkpoint's own processor."""
        resized = self._checkpoint.processor(list(pictures), do_rescale=False, do_normalize=False)
        return np.stack(resized["pixel_values"]).transpose(0, 2, 3, 1).astype(np.uint8)

    def _reference(self, processed: Any) -> npt.NDArray[np.float32]:
        pixel_values = torch.from_numpy(np.stack(processed["pixel_values"]).astype(np.float32))
        with torch.inference_mode():
            return unit(
                self._checkpoint.family.image_features(self._checkpoint.model, pixel_values)
            )
