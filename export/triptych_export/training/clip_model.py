"""The miniature CLIP: a plain ``CLIPModel`` for 64 x 64 pictures, its features and its files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from triptych_export.miniworld.draw import SIDE, Pixels
from triptych_export.training.tokenizer import CONTEXT_LENGTH

WIDTH, HEADS = 128, 4
VISION_LAYERS, TEXT_LAYERS = 4, 3
PATCH = 8
PIXEL_MEAN = PIXEL_STD = 0.5


def build_model(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """A plain CLIP of about 1.5 M parameters, newly initialised."""
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_attention_heads": HEADS,
        "hidden_act": "gelu",
        "projection_dim": WIDTH,
    }
    text = {
        **tower,
        "num_hidden_layers": TEXT_LAYERS,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT_LENGTH,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        **tower,
        "num_hidden_layers": VISION_LAYERS,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    config._attn_implementation = "eager"
    model = CLIPModel(config)
    positions = model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        positions[1:] = 0.4 * grid_positions(SIDE // PATCH, WIDTH)
    return model


def grid_positions(side: int, width: int) -> torch.Tensor:
    """Sines and cosines of the row and of the column of each patch: ``[side * side, width]``.

    Without them at the start, position and relation are not learnt in the time given.
    """
    frequencies = 1 / 100 ** (torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).reshape(side * side, width)


def normalise(pictures: Pixels) -> torch.Tensor:
    """``[N, H, W, 3] uint8`` to the model's ``pixel_values`` ``[N, 3, H, W] float32``."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return (pixels / 255 - PIXEL_MEAN) / PIXEL_STD


def image_features(model: CLIPModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """L2-normalised features ``[N, D]``."""
    pooled = model.vision_model(pixel_values=pixel_values).pooler_output
    features: torch.Tensor = model.visual_projection(pooled)
    return torch.nn.functional.normalize(features.float(), dim=-1)


def text_features(
    model: CLIPModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> torch.Tensor:
    """L2-normalised features ``[N, D]``."""
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    pooled = model.text_model(**tokens).pooler_output
    features: torch.Tensor = model.text_projection(pooled)
    return torch.nn.functional.normalize(features.float(), dim=-1)


def save_checkpoint(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write what ``from_pretrained`` reads, each file at once."""
    processor = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    with tempfile.TemporaryDirectory(dir=out) as folder:
        for part in (model, tokenizer, processor):
            part.save_pretrained(folder)
        for file in Path(folder).iterdir():
            file.chmod(0o644)
            os.replace(file, out / file.name)
