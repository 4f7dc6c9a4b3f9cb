"""Texts by lot from a proposer in torch, many of each prompt.

The keys and values of a prompt are kept once for all its texts: copied for each, they would be
most of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache, OPTForCausalLM

MOST_TOKENS = 32


@dataclass
class _Layer:
    """The cache of one layer: of the prompts ``[B, H, T, D]``, and of texts ``[B, N, H, D]`` a
    step."""

    module: Any
    prompt_keys: torch.Tensor
    prompt_values: torch.Tensor
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)

    def step(self, hidden: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        """The layer on one token of each text, ``[B, N, W]``; ``padding [B, T]`` is added to what
        attends to the prompts."""
        module = self.module
        attended = self._attend(module.self_attn_layer_norm(hidden), padding)
        hidden = hidden + module.self_attn.out_proj(attended)
        inner = module.fc1(module.final_layer_norm(hidden)).relu()
        stepped: torch.Tensor = hidden + module.fc2(inner)
        return stepped

    def _attend(self, normed: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        attention = self.module.self_attn
        heads = (*normed.shape[:2], attention.num_heads, attention.head_dim)
        query = attention.q_proj(normed).view(heads) * attention.scaling
        self.keys.append(attention.k_proj(normed).view(heads))
        self.values.append(attention.v_proj(normed).view(heads))
        to_prompt = torch.einsum("bnhd,bhtd->bnht", query, self.prompt_keys)
        to_text = torch.einsum("bnhd,sbnhd->bnhs", query, torch.stack(self.keys))
        weights = torch.cat([to_prompt + padding[:, None, None], to_text], -1).softmax(-1)
        of_prompt, of_text = weights.tensor_split([to_prompt.shape[-1]], -1)
        read = torch.einsum("bnht,bhtd->bnhd", of_prompt, self.prompt_values)
        read = read + torch.einsum("bnhs,sbnhd->bnhd", of_text, torch.stack(self.values))
        return read.flatten(2)


@torch.inference_mode()
def sample(
    model: OPTForCausalLM,
    prompts: Sequence[Sequence[int]],
    count: int,
    temperature: float,
    generator: torch.Generator,
) -> list[list[list[int]]]:
    """``count`` continuations of each prompt, as token ids before the end token."""
    decoder: Any = model.model.decoder
    end = _special(model, "eos_token_id")
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    hidden, layers, padding = _read(model, prompts)
    states = hidden[:, None].expand(-1, count, -1)
    written = torch.full((len(prompts), count, MOST_TOKENS), end)
    running = torch.ones(len(prompts), count, dtype=torch.bool)
    for step in range(MOST_TOKENS):
        shares = torch.softmax(model.lm_head(states) / temperature, -1).flatten(0, 1)
        drawn = torch.multinomial(shares, 1, generator=generator).view_as(running)
        written[..., step] = torch.where(running, drawn, end)
        running &= drawn != end
        if not running.any():
            break
        places = decoder.embed_positions.weight[lengths + step + decoder.embed_positions.offset]
        states = decoder.embed_tokens(written[..., step]) + places[:, None]
        for layer in layers:
            states = layer.step(states, padding)
        states = decoder.final_layer_norm(states)
    return [[_before(end, text) for text in texts] for texts in written.tolist()]


def _read(
    model: OPTForCausalLM, prompts: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, list[_Layer], torch.Tensor]:
    """The last state of each prompt ``[B, W]``, the caches, and what masks the padding."""
    longest, pad = max(map(len, prompts)), _special(model, "pad_token_id")
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    places = (
        torch.arange(longest) - (longest - torch.tensor([len(one) for one in prompts]))[:, None]
    )
    decoder: Any = model.model.decoder
    cache: Any = DynamicCache()
    read = decoder(
        input_ids=ids,
        attention_mask=(places >= 0).long(),
        position_ids=places.clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    )
    layers = [
        _Layer(module, kept.keys, kept.values)
        for module, kept in zip(decoder.layers, cache.layers, strict=True)
    ]
    padding = torch.where(places >= 0, 0.0, -torch.inf)
    return read.last_hidden_state[:, -1], layers, padding


def _special(model: OPTForCausalLM, name: str) -> int:
    return int(getattr(model.config, name))


def _before(end: int, text: list[int]) -> list[int]:
    return text[: text.index(end)] if end in text else text
