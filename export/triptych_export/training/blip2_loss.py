"""The language-modelling loss of the miniature BLIP-2."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import Blip2ForConditionalGeneration, DynamicCache

from triptych_export.training.blip2_batches import IGNORED, Batch, Rows
from triptych_export.training.clip_model import normalise


def batch_loss(model: Blip2ForConditionalGeneration, batch: Batch) -> torch.Tensor:
    """The mean cross-entropy of what is to be predicted, over all texts of all pictures.

    The language model reads each picture's prefix once; its texts go on from the cache.
    """
    with torch.autocast("cpu", torch.bfloat16):
        prefix = model.get_image_features(normalise(batch.pictures)).pooler_output
        decoder = model.language_model.model.decoder
        cache = decoder(inputs_embeds=prefix, use_cache=True).past_key_values
        shared = [(layer.keys, layer.values) for layer in cache.layers]
        losses = [_loss_sum(model, shared, rows) for rows in batch.groups]
    learnt = sum(int((rows.labels != IGNORED).sum()) for rows in batch.groups)
    return torch.stack(losses).sum() / learnt


def _loss_sum(
    model: Blip2ForConditionalGeneration,
    shared: list[tuple[torch.Tensor, torch.Tensor]],
    rows: Rows,
) -> torch.Tensor:
    owners, labels = torch.from_numpy(rows.pictures), torch.from_numpy(rows.labels)
    cache = DynamicCache([(keys[owners], values[owners]) for keys, values in shared])
    starts = cache.get_seq_length() + torch.from_numpy(rows.starts)
    hidden = model.language_model.model.decoder(
        input_ids=torch.from_numpy(rows.ids),
        position_ids=starts[:, None] + torch.arange(rows.ids.shape[1]),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    learnt = labels != IGNORED
    logits = model.language_model.lm_head(hidden[learnt])
    return F.cross_entropy(logits.float(), labels[learnt], reduction="sum")
