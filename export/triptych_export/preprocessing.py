"""What a checkpoint does to pictures and texts before its network, read from its own files."""

import json
from dataclasses import dataclass
from typing import Any

from PIL import Image
from tokenizers import Tokenizer

from triptych_export.errors import CheckpointError
from triptych_export.families import TextTraits

BUCKETS = (8, 16, 32, 64, 128, 256)
_RESAMPLE = {
    Image.Resampling.NEAREST: "nearest",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
    Image.Resampling.LANCZOS: "lanczos",
}


@dataclass(frozen=True, slots=True)
class ImageSteps:
    """Resize, cut to `height` x `width`, then `(pixel * rescale - mean) / std` for each channel.

    With `shortest_edge` the shorter side is resized to it and the centre is cut out; without, both
    sides are resized and nothing is cut.
    """

    height: int
    width: int
    shortest_edge: int | None
    resample: str
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TextSteps:
    """Tokenise, cut to `context_length`, fill with `pad_id` to one of `lengths` (ascending)."""

    context_length: int
    pad_id: int
    lengths: tuple[int, ...]
    tokenizer_json: str

    @property
    def fixed(self) -> bool:
        """Whether every text is filled to the context length."""
        return self.lengths == (self.context_length,)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer as a gateway uses it: cutting, not filling."""
        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.enable_truncation(self.context_length)
        return tokenizer


def image_steps(processor: Any, checkpoint: str) -> ImageSteps:
    """Read a transformers image processor. Raises `CheckpointError` for steps of another kind."""

    def refuse(what: str) -> CheckpointError:
        return CheckpointError(f"{checkpoint}: the image processor {what}")

    if not processor.do_resize:
        raise refuse("does not resize")
    if getattr(processor, "do_pad", None):
        raise refuse("pads pictures")
    size, crop = processor.size, processor.crop_size
    cropped = bool(getattr(processor, "do_center_crop", None))
    if size.height and size.width:
        height, width, edge = size.height, size.width, None
        if cropped and (crop.height, crop.width) != (height, width):
            raise refuse("resizes both sides and then cuts")
    elif size.shortest_edge and not size.longest_edge and cropped:
        height, width, edge = crop.height, crop.width, size.shortest_edge
        if edge < max(height, width):
            raise refuse(f"cuts {height}x{width} out of a picture whose shorter side is {edge}")
    else:
        raise refuse(f"has no fixed output size: size {dict(size)}, centre crop {cropped}")
    if processor.resample not in _RESAMPLE:
        raise refuse(f"resamples in an unknown way: {processor.resample}")
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else (0, 1)
    return ImageSteps(
        height=height,
        width=width,
        shortest_edge=edge,
        resample=_RESAMPLE[processor.resample],
        rescale=float(processor.rescale_factor) if processor.do_rescale else 1.0,
        mean=_channels(mean),
        std=_channels(std),
    )


def text_steps(
    tokenizer: Any,
    positions: int,
    traits: TextTraits,
    checkpoint: str,
    placeholder: int | None = None,
) -> TextSteps:
    """Read a transformers tokenizer whose network has `positions`. Raises `CheckpointError`.

    `placeholder` is the token that stands for a picture: no text may hold it, so it is left out.
    """
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"{checkpoint}: the tokenizer has no padding token")
    sides = {tokenizer.truncation_side}
    if not traits.ignores_padding_side:
        sides.add(tokenizer.padding_side)
    if "left" in sides:
        raise CheckpointError(f"{checkpoint}: the tokenizer pads or truncates on the left")
    limits = (positions, tokenizer.model_max_length, traits.context_length or positions)
    context_length = min(limits)
    shorter = tuple(length for length in BUCKETS if length < context_length)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    content = json.loads(backend.to_str())
    content["added_tokens"] = [
        token for token in content["added_tokens"] if token["id"] != placeholder
    ]
    return TextSteps(
        context_length=context_length,
        pad_id=tokenizer.pad_token_id,
        lengths=(*shorter, context_length) if traits.masked else (context_length,),
        tokenizer_json=Tokenizer.from_str(json.dumps(content)).to_str(),
    )


def _channels(value: float | list[float]) -> tuple[float, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return tuple(float(v) for v in values) * (3 if len(values) == 1 else 1)
