"""The miniature BLIP-2: a plain ``Blip2ForConditionalGeneration`` for 64 x 64 pictures."""

from __future__ import annotations

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    CLIPModel,
    PreTrainedTokenizerFast,
)

from triptych_export.miniworld.draw import SIDE
from triptych_export.training.blip2_tokenizer import CONTEXT_LENGTH, IMAGE

WIDTH, HEADS, HIDDEN = 128, 4, 512
QUERIES, QFORMER_LAYERS, DECODER_LAYERS = 12, 2, 3
_QUERY_SPREAD = 0.5  # BLIP-2's zeros would keep all queries alike for ever


def build_model(
    tokenizer: PreTrainedTokenizerFast, clip: CLIPModel
) -> Blip2ForConditionalGeneration:
    """A BLIP-2 of about 2 M parameters: the vision tower of a CLIP, all else newly initialised."""
    config = Blip2Config(
        vision_config=_vision(clip),
        qformer_config=qformer_config(text=False),
        text_config={
            "model_type": "opt",
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "word_embed_proj_dim": WIDTH,
            "ffn_dim": HIDDEN,
            "num_hidden_layers": DECODER_LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": CONTEXT_LENGTH,
            "dropout": 0.0,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        num_query_tokens=QUERIES,
        image_text_hidden_size=WIDTH,
        image_token_index=tokenizer.get_vocab()[IMAGE],
    )
    config.tie_word_embeddings = True
    config._attn_implementation = "eager"  # on CPU, and at this size, faster than sdpa in bfloat16
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():
        model.query_tokens.normal_(std=_QUERY_SPREAD)
    model.vision_model.load_state_dict(_tower_weights(clip))
    return model


def qformer_config(text: bool, **more: int) -> dict[str, int | float | bool]:
    """A Q-Former that attends to the patches in each layer; ``text`` lets it read text as well."""
    return {
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": QFORMER_LAYERS,
        "num_attention_heads": HEADS,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": 1e-6,
        "cross_attention_frequency": 1,
        "use_qformer_text_input": text,
        **more,
    }


def _vision(clip: CLIPModel) -> dict[str, int | float | str]:
    config = clip.config.vision_config
    names = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "image_size",
        "patch_size",
        "hidden_act",
        "layer_norm_eps",
    )
    # BLIP-2's own initializer_range is 1e-10.
    return {name: getattr(config, name) for name in names} | {"initializer_range": 0.02}


def _tower_weights(clip: CLIPModel) -> dict[str, torch.Tensor]:
    """A BLIP-2 tower's weights from CLIP's, its LayerNorm after the embeddings folded into them.

    BLIP-2's tower has no such LayerNorm, and the deviation that it divides by depends on the
    picture, so one that is typical stands in for it: training makes up for the difference.
    """
    source = clip.vision_model.state_dict()
    weights = _embedding_weights(clip)
    for name, weight in source.items():
        if ".q_proj." in name:
            heads = [source[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            weights[name.replace("q_proj", "qkv")] = torch.cat(heads)
        elif ".out_proj." in name:
            weights[name.replace("out_proj", "projection")] = weight
        elif not name.startswith(("embeddings.", "pre_layrnorm.")) and "_proj." not in name:
            weights[name] = weight
    return weights


@torch.no_grad()
def _embedding_weights(clip: CLIPModel) -> dict[str, torch.Tensor]:
    tower = clip.vision_model
    gain, shift = tower.pre_layrnorm.weight, tower.pre_layrnorm.bias
    # What noise gives is close enough to what pictures give.
    noise = torch.rand(64, 3, SIDE, SIDE) * 2 - 1
    deviation = tower.embeddings(noise).std(dim=-1, correction=0).mean(dim=0)
    class_scale, patch_scale = gain / deviation[0], gain / deviation[1:].mean()
    patches = tower.embeddings.patch_embedding.weight  # [width, 3, patch, patch]
    patches = (patches - patches.mean(dim=0)) * patch_scale[:, None, None, None]
    positions = tower.embeddings.position_embedding.weight.clone()  # the first is the class's
    positions[0] += tower.embeddings.class_embedding
    positions = positions - positions.mean(dim=1, keepdim=True)
    positions = torch.cat([positions[:1] * class_scale, positions[1:] * patch_scale]) + shift
    return {
        "embeddings.class_embedding": torch.zeros(1, 1, WIDTH),
        "embeddings.patch_embedding.weight": patches,
        "embeddings.patch_embedding.bias": torch.zeros(WIDTH),
        "embeddings.position_embedding": positions[None],
    }
