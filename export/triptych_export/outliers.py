"""Massive activations, as trained vision transformers have and random ones do not.

A few channels of the residual stream of trained transformers carry values thousands of times larger
than the others (arXiv 2402.17762, 2309.16588), which is what overflows fp16. They are planted here
so that the network still tells pictures apart.
"""

from typing import Any

import torch


def plant_attention_outlier(layer: Any, factor: float) -> None:
    """Make the queries of a CLIP block `factor` times as large and its keys as much smaller.

    In exact arithmetic the block computes what it did before.
    """
    attention = layer.self_attn
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(attention.q_proj, name).mul_(factor)
            getattr(attention.k_proj, name).div_(factor)


def plant_residual_outlier(layers: Any, first: int, last: int, size: float) -> None:
    """Let two channels of a CLIP residual stream be near `size` and its negative between blocks.

    Block `first` adds them and block `last` takes them away. The norms between them leave the two
    channels out, and enlarge the others, which the two have made small.
    """
    with torch.no_grad():
        for channel, value in enumerate((size, -size)):
            layers[first].mlp.fc2.bias[channel] += value
            layers[last].mlp.fc2.bias[channel] -= value
        for block in layers[first + 1 : last + 1]:
            for norm in (block.layer_norm1, block.layer_norm2):
                # What the norm divides by, now that two channels outweigh all others.
                norm.weight.mul_(size * (2 / norm.weight.numel()) ** 0.5)
                norm.weight[:2] = 0.0
