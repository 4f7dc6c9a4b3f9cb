"""Checkpoints with random weights in the layout of published ones.

`python -m triptych_export.random_checkpoint clip-vit-b32 DIR` writes one at full size. Its features
mean nothing; size, speed and file format are those of the real thing.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BitImageProcessorPil,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessorPil,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from triptych_export.random_blip2 import (
    BLIP2_OPT_125M,
    TINY_BLIP2,
    Blip2Size,
    blip2_generation,
    blip2_retrieval,
)
from triptych_export.random_tokenizer import bert_tokenizer, clip_tokenizer, siglip_tokenizer

CLIP_CONTEXT, SIGLIP_CONTEXT, BERT_CONTEXT = 77, 64, 512


@dataclass(frozen=True, slots=True)
class Size:
    """Widths, depths and counts of one checkpoint."""

    image_side: int
    patch: int
    image_width: int
    text_width: int
    layers: int
    head_width: int
    projection: int
    vocabulary: int

    def tower(self, width: int) -> dict[str, Any]:
        """The fields that every transformer tower has."""
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": width // self.head_width,
        }


def clip(size: Size) -> tuple[Any, ...]:
    """CLIP: model, tokenizer and image processor."""
    tokenizer = clip_tokenizer(size.vocabulary, CLIP_CONTEXT)
    config = CLIPConfig(
        text_config={
            **size.tower(size.text_width),
            "vocab_size": size.vocabulary,
            "max_position_embeddings": CLIP_CONTEXT,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config=_vision(size),
        projection_dim=size.projection,
    )
    return CLIPModel(config), tokenizer, CLIPImageProcessorPil(**_cropped(size.image_side))


def chinese_clip(size: Size) -> tuple[Any, ...]:
    """Chinese-CLIP: a BERT beside CLIP's image tower."""
    config = ChineseCLIPConfig(
        text_config={
            **size.tower(size.text_width),
            "vocab_size": size.vocabulary,
            "max_position_embeddings": BERT_CONTEXT,
            # BERT's own 0.02 suits its width of 768; narrower ones would hardly tell texts apart.
            "initializer_range": 0.02 * (768 / size.text_width) ** 0.5,
        },
        vision_config=_vision(size),
        projection_dim=size.projection,
    )
    tokenizer = bert_tokenizer(size.vocabulary, BERT_CONTEXT)
    processor = ChineseCLIPImageProcessorPil(**_cropped(size.image_side))
    return ChineseCLIPModel(config), tokenizer, processor


def siglip(size: Size) -> tuple[Any, ...]:
    """SigLIP, with the scale and bias of the logit that its training starts from."""
    tokenizer = siglip_tokenizer(size.vocabulary, SIGLIP_CONTEXT)
    config = SiglipConfig(
        text_config={
            **size.tower(size.text_width),
            "vocab_size": size.vocabulary,
            "max_position_embeddings": SIGLIP_CONTEXT,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "projection_size": size.image_width,
        },
        vision_config=_vision(size),
    )
    model = SiglipModel(config)
    with torch.no_grad():
        model.logit_scale.fill_(torch.tensor(10.0).log())
        model.logit_bias.fill_(-10.0)
    side = {"height": size.image_side, "width": size.image_side}
    return model, tokenizer, SiglipImageProcessorPil(size=side)


def dinov2(size: Size) -> tuple[Any, ...]:
    """DINOv2, whose position table is larger than its input, as published: pictures alone."""
    tower = size.tower(size.image_width)
    del tower["intermediate_size"]
    stored_side = size.patch * round(size.image_side / size.patch * 37 / 16)
    config = Dinov2Config(**tower, image_size=stored_side, patch_size=size.patch)
    processor = BitImageProcessorPil(
        **{**_cropped(size.image_side), "size": {"shortest_edge": size.image_side * 8 // 7}},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    return Dinov2Model(config), processor


TINY = Size(
    image_side=32,
    patch=8,
    image_width=48,
    text_width=32,
    layers=1,
    head_width=8,
    projection=24,
    vocabulary=1500,
)


@dataclass(frozen=True, slots=True)
class _Architecture:
    """A builder of model, tokenizer and processors, with the published size and a tiny one."""

    build: Callable[[Any], tuple[Any, ...]]
    full: Size | Blip2Size
    tiny: Size | Blip2Size = TINY


ARCHITECTURES = {
    "clip-vit-b32": _Architecture(clip, Size(224, 32, 768, 512, 12, 64, 512, 49408)),
    "chinese-clip-vit-b16": _Architecture(
        chinese_clip, Size(224, 16, 768, 768, 12, 64, 512, 21128)
    ),
    "siglip-b16-224": _Architecture(siglip, Size(224, 16, 768, 768, 12, 64, 768, 32000)),
    "dinov2-base": _Architecture(dinov2, Size(224, 14, 768, 0, 12, 64, 0, 0)),
    "blip2-opt-125m": _Architecture(blip2_generation, BLIP2_OPT_125M, TINY_BLIP2),
    "blip2-itm-vit-g": _Architecture(blip2_retrieval, BLIP2_OPT_125M, TINY_BLIP2),
}


def write_random_checkpoint(
    architecture: str, directory: Path, *, size: Size | Blip2Size | None = None, seed: int = 0
) -> None:
    """Write a checkpoint of one of `ARCHITECTURES` that `from_pretrained` reads.

    `size` is the published one unless given; `TINY` (for BLIP-2 `TINY_BLIP2`) takes a few hundred
    kilobytes. Raises `KeyError`.
    """
    chosen = ARCHITECTURES[architecture]
    directory.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for part in chosen.build(size or chosen.full):
            part.save_pretrained(directory)


def main() -> None:
    """Read the arguments and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture", choices=sorted(ARCHITECTURES))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tiny", action="store_true", help="the same layers, but few and narrow")
    parser.add_argument("--image-layers", type=int, help="depth of BLIP-2's vision tower")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chosen = ARCHITECTURES[arguments.architecture]
    size = chosen.tiny if arguments.tiny else chosen.full
    if arguments.image_layers is not None:
        if not isinstance(size, Blip2Size):
            parser.error("--image-layers is for BLIP-2")
        size = replace(size, image_layers=arguments.image_layers)
    write_random_checkpoint(
        arguments.architecture, arguments.directory, size=size, seed=arguments.seed
    )


def _vision(size: Size) -> dict[str, Any]:
    return {
        **size.tower(size.image_width),
        "image_size": size.image_side,
        "patch_size": size.patch,
    }


def _cropped(side: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}


if __name__ == "__main__":
    main()
