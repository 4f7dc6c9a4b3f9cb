"""A causal language model to an ONNX graph whose cache is updated in place.

The graph takes `embeddings` `[B, S, H]` fp32, `positions` `[B, S]` int64, `lengths` `[B]` int32
(the tokens of each row after this run; shorter rows are padded on the right) and for each layer i
`past_key_i` and `past_value_i` `[B, heads, room, head size]`. It gives `logits` `[B, V]` of each
row's last token, and `present_key_i`, `present_value_i`, to be bound to the same buffers as the
past. Rows either are all new or have one token each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from transformers import AttentionInterface

from triptych_export.errors import CheckpointError
from triptych_export.graph import write_graph

# What the graph does is what these do; others scale, cap or window their attention or logits.
ARCHITECTURES = ("opt", "llama", "mistral", "qwen2")
# Rotary positions whose frequencies depend on how long a text has become.
_CHANGING_ROTATIONS = ("dynamic", "longrope")
_ATTENTION = "triptych_cached"
_HEAD_STEP = 8  # GroupQueryAttention takes heads of multiples of it


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """The sizes of a language model, named as in generator.json."""

    context_length: int
    vocabulary: int
    hidden_size: int
    layers: int
    key_value_heads: int
    head_size: int

    @classmethod
    def of(cls, language_model: Any) -> Self:
        """Raises `CheckpointError` for a model that no graph of this kind can express."""
        config = language_model.config
        check_architecture(config)
        heads = config.num_attention_heads
        shape = cls(
            context_length=config.max_position_embeddings,
            vocabulary=language_model.get_output_embeddings().out_features,
            hidden_size=language_model.get_input_embeddings().embedding_dim,
            layers=config.num_hidden_layers,
            key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
        )
        if shape.head_size % _HEAD_STEP:
            raise CheckpointError(
                f"its attention heads have {shape.head_size} numbers, no multiple of {_HEAD_STEP}"
            )
        return shape


def check_architecture(config: Any) -> None:
    """Raise `CheckpointError` for a configuration of a language model that no graph expresses."""
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise CheckpointError(
            f"its language model {kind!r} is an encoder-decoder, which needs a generator of "
            "another kind; its encoders can be exported without it"
        )
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise CheckpointError(f"language model {kind!r} cannot be exported; known: {known}")
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()) or (
        kind == "mistral" and config.sliding_window
    ):
        raise CheckpointError(f"language model {kind!r} attends in a sliding window")
    rotation = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotation in _CHANGING_ROTATIONS:
        raise CheckpointError(f"language model {kind!r} has rotary positions of kind {rotation!r}")


def write_decoder(language_model: Any, path: Path) -> None:
    """Trace a transformers model for causal language modelling in fp32 and write its graph.

    Weights beyond two gigabytes lie beside the file as `<name>.data`. Raises `CheckpointError`.
    """
    shape = DecoderShape.of(language_model)
    caches = [f"{kind}_{layer}" for layer in range(shape.layers) for kind in ("key", "value")]
    room = torch.zeros(2, shape.key_value_heads, 5, shape.head_size)
    example = {
        "embeddings": torch.zeros(2, 3, shape.hidden_size),
        "positions": torch.arange(3).repeat(2, 1),
        "lengths": torch.tensor([3, 2], dtype=torch.int32),
        "past": [room.clone() for _ in caches],
    }
    run = {0: "batch", 1: "sequence"}
    axes = {
        "embeddings": run,
        "positions": run,
        "lengths": {0: "batch"},
        "past": [{0: "batch", 2: "room"} for _ in caches],
    }
    with _cached_attention(language_model):
        write_graph(
            _Decoder(language_model),
            example,
            axes,
            path,
            inputs=[*list(example)[:-1], *(f"past_{cache}" for cache in caches)],
            outputs=["logits", *(f"present_{cache}" for cache in caches)],
        )


class _Decoder(nn.Module):
    """One run of the language model, with the logits of each row's last token alone."""

    def __init__(self, language_model: Any) -> None:
        super().__init__()
        self.body = language_model.base_model
        self.head = language_model.get_output_embeddings()

    def forward(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        lengths: torch.Tensor,
        past: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        cache = _Cache(past, lengths, [])
        output = self.body(
            inputs_embeds=embeddings, position_ids=positions, use_cache=False, cache=cache
        )
        hidden: torch.Tensor = output.last_hidden_state
        last = lengths - 1 - positions[:, 0]
        index = last[:, None, None].expand(-1, 1, hidden.shape[2])
        return (self.head(hidden.gather(1, index)[:, 0]), *cache.present)


@dataclass(frozen=True, slots=True)
class _Cache:
    """What attention layers read and where they leave what they write, layer by layer."""

    past: list[torch.Tensor]
    lengths: torch.Tensor
    present: list[torch.Tensor]


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,
    *,
    scaling: float,
    cache: _Cache,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention of `query` `[B, N, S, D]` over the cache and `key`, `value` `[B, K, S, D]`.

    ONNX Runtime's operator, opaque while it is traced: its outputs in torch are not computed.
    """
    rows, heads, length, size = query.shape
    layer = slice(2 * module.layer_idx, 2 * module.layer_idx + 2)
    past = cache.past[layer]
    flat = [part.transpose(1, 2).flatten(2) for part in (query, key, value)]
    attended, *present = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        [*flat, *past, cache.lengths - 1, cache.lengths.max()],
        {"num_heads": heads, "kv_num_heads": key.shape[1], "scale": float(scaling)},
        dtypes=[query.dtype] * 3,
        shapes=[(rows, length, heads * size), *(tuple(part.shape) for part in past)],
        version=1,
    )
    cache.present.extend(present)
    return attended.view(rows, length, heads, size), None


AttentionInterface.register(_ATTENTION, _attend)


@contextmanager
def _cached_attention(language_model: Any) -> Iterator[None]:
    """The model attends through the cache while the block runs."""
    own = language_model.config._attn_implementation
    language_model.set_attn_implementation(_ATTENTION)
    try:
        yield
    finally:
        language_model.set_attn_implementation(own)
