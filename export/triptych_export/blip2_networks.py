"""The networks of BLIP-2 (arXiv 2301.12597), cut where an encoder begins and ends.

Each holds a `Blip2ForConditionalGeneration` or a `Blip2ForImageTextRetrieval` and runs parts of it.
I pictures, N rows, L tokens; P patches of width W; Q queries; H the language model's width.
Sizes are read from shapes: to a tracer `len` is a constant.
"""

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

_GATHERED = "triptych_gathered"


class Patches(nn.Module):
    """Normalised pictures `[N, 3, height, width]` to patches `[N, P, W]`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision = model.vision_model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        patches: torch.Tensor = self.vision(pixel_values).last_hidden_state
        return patches


class Queries(nn.Module):
    """Patches `[N, P, W]` to what the Q-Former's queries found in them, `[N, Q, width]`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.query_tokens, self.qformer = model.query_tokens, model.qformer

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        queries = self.query_tokens.expand(patches.shape[0], -1, -1)
        states: torch.Tensor = self.qformer(
            query_embeds=queries, encoder_hidden_states=patches
        ).last_hidden_state
        return states


class Prefix(nn.Module):
    """Patches `[N, P, W]` to the soft prefix `[N, Q, H]` that the language model continues."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.queries, self.projection = Queries(model), model.language_projection

    def forward(self, patches: torch.Tensor) -> Any:
        return self.projection(self.queries(patches))


class ImagePrefix(nn.Sequential):
    """Normalised pictures `[N, 3, height, width]` to the soft prefix `[N, Q, H]`."""

    def __init__(self, model: Any) -> None:
        super().__init__(Patches(model), Prefix(model))


class QueryFeatures(nn.Module):
    """Patches `[N, P, W]` to features `[N, Q, D]`, each of length 1.

    A picture is as similar to a text as the most similar of its queries.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.queries, self.projection = Queries(model), model.vision_projection

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.projection(self.queries(patches)), dim=-1)


class QFormerText(nn.Module):
    """Token ids and mask `[N, L]` to features `[N, D]` of length 1, from the first token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embeddings, self.qformer = model.embeddings, model.qformer
        self.projection = model.text_projection

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.qformer(
            query_embeds=self.embeddings(input_ids=input_ids),
            query_length=0,
            attention_mask=attention_mask,
        ).last_hidden_state
        return nn.functional.normalize(self.projection(states[:, 0]), dim=-1)


class Matching(nn.Module):
    """Patches `[I, P, W]`, texts `[N, L]` and the picture `[N]` of each: logits `[N, 2]`.

    Keys and values of the patches are computed once a picture and then gathered, so that many texts
    cost little more than their own length. The network that it holds computes as before.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.query_tokens, self.embeddings = model.query_tokens, model.embeddings
        self.qformer, self.head = model.qformer, model.itm_head
        self.qformer.config._attn_implementation = _GATHERED
        for layer in self.qformer.encoder.layer:
            if layer.has_cross_attention:
                layer.crossattention.attention.takes_patches = True

    def forward(
        self,
        patches: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        image_index: torch.Tensor,
    ) -> Any:
        queries = self.query_tokens.expand(input_ids.shape[0], -1, -1)
        seen = attention_mask.new_ones(queries.shape[:-1])
        states = self.qformer(
            query_embeds=self.embeddings(input_ids=input_ids, query_embeds=queries),
            query_length=queries.shape[1],
            attention_mask=torch.cat([seen, attention_mask], dim=1),
            encoder_hidden_states=patches,
            image_index=image_index,
        ).last_hidden_state
        return self.head(states[:, : queries.shape[1]]).mean(dim=1)


def _gathered_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    image_index: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain attention; where it takes patches, row i sees those of picture `image_index[i]`."""
    if image_index is not None and getattr(module, "takes_patches", False):
        key, value = key.index_select(0, image_index), value.index_select(0, image_index)
    weights = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = weights.softmax(dim=-1)
    return (weights @ value).transpose(1, 2), weights


AttentionInterface.register(_GATHERED, _gathered_attention)
AttentionMaskInterface.register(_GATHERED, eager_mask)
