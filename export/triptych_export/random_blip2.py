"""BLIP-2 checkpoints with random weights in the layout of published ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    BlipImageProcessorPil,
)

from triptych_export.random_tokenizer import bert_tokenizer, opt_tokenizer

_SPARE_ROWS = 7  # OPT's table is a little larger than its vocabulary


@dataclass(frozen=True, slots=True)
class Blip2Size:
    """Widths, depths and counts of vision tower, Q-Former and language model (OPT)."""

    image_side: int
    patch: int
    image_width: int
    image_mlp: int
    image_layers: int
    image_heads: int
    queries: int
    qformer_width: int
    qformer_layers: int
    qformer_heads: int
    qformer_vocabulary: int
    qformer_context: int
    features: int
    text_width: int
    text_layers: int
    text_heads: int
    text_vocabulary: int
    text_context: int


# The vision tower (EVA's ViT-g less its last layer) and the Q-Former of all published BLIP-2, and
# OPT's smallest model; the published ones have 2.7 and 6.7 thousand million weights.
BLIP2_OPT_125M = Blip2Size(
    image_side=224,
    patch=14,
    image_width=1408,
    image_mlp=6144,
    image_layers=39,
    image_heads=16,
    queries=32,
    qformer_width=768,
    qformer_layers=12,
    qformer_heads=12,
    qformer_vocabulary=30523,
    qformer_context=512,
    features=256,
    text_width=768,
    text_layers=12,
    text_heads=12,
    text_vocabulary=50272,
    text_context=2048,
)
TINY_BLIP2 = Blip2Size(
    image_side=32,
    patch=8,
    image_width=48,
    image_mlp=96,
    image_layers=1,
    image_heads=4,
    queries=4,
    qformer_width=32,
    qformer_layers=2,
    qformer_heads=4,
    qformer_vocabulary=1200,
    qformer_context=64,
    features=24,
    text_width=40,
    text_layers=1,
    text_heads=5,
    text_vocabulary=1200,
    text_context=64,
)


def blip2_generation(size: Blip2Size) -> tuple[Any, ...]:
    """BLIP-2 that writes: model, processor and image processor."""
    tokenizer = opt_tokenizer(size.text_vocabulary - _SPARE_ROWS, size.text_context)
    config = Blip2Config(
        vision_config=_vision(size),
        qformer_config=_qformer(size),
        text_config={
            "model_type": "opt",
            "vocab_size": size.text_vocabulary,
            "hidden_size": size.text_width,
            "word_embed_proj_dim": size.text_width,
            "ffn_dim": 4 * size.text_width,
            "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.text_heads,
            "max_position_embeddings": size.text_context,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        num_query_tokens=size.queries,
        image_token_index=tokenizer.get_vocab()["<image>"],
    )
    model = Blip2ForConditionalGeneration(config)
    randomise(model)
    return model, *_processors(size, tokenizer)


def blip2_retrieval(size: Blip2Size) -> tuple[Any, ...]:
    """BLIP-2 that compares pictures with texts: model, processor and image processor."""
    tokenizer = bert_tokenizer(size.qformer_vocabulary - 1, size.qformer_context)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    processors = _processors(size, tokenizer)  # it adds the token of pictures, which has no row
    config = Blip2Config(
        vision_config=_vision(size),
        qformer_config={
            **_qformer(size),
            "vocab_size": size.qformer_vocabulary,
            "max_position_embeddings": size.qformer_context,
            "use_qformer_text_input": True,
        },
        num_query_tokens=size.queries,
        image_text_hidden_size=size.features,
        image_token_index=tokenizer.get_vocab()["<image>"],
    )
    model = Blip2ForImageTextRetrieval(config)
    randomise(model)
    return model, *processors


def randomise(model: nn.Module) -> None:
    """Draw all weights anew: BLIP-2's own initial ones give the same for every picture."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                inputs = weight[0].numel() if len(weight) > 1 else weight.shape[-1]
                weight.normal_(std=inputs**-0.5)
            else:
                weight.normal_(mean=1.0 if name.endswith("weight") else 0.0, std=0.05)


def _vision(size: Blip2Size) -> dict[str, Any]:
    return {
        "hidden_size": size.image_width,
        "intermediate_size": size.image_mlp,
        "num_hidden_layers": size.image_layers,
        "num_attention_heads": size.image_heads,
        "image_size": size.image_side,
        "patch_size": size.patch,
    }


def _qformer(size: Blip2Size) -> dict[str, Any]:
    return {
        "hidden_size": size.qformer_width,
        "intermediate_size": 4 * size.qformer_width,
        "num_hidden_layers": size.qformer_layers,
        "num_attention_heads": size.qformer_heads,
    }


def _processors(size: Blip2Size, tokenizer: Any) -> tuple[Any, ...]:
    pictures = BlipImageProcessorPil(size={"height": size.image_side, "width": size.image_side})
    processor = Blip2Processor(  # type: ignore[no-untyped-call]  # no annotations
        pictures, tokenizer, num_query_tokens=size.queries
    )
    return processor, pictures
