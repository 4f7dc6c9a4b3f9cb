"""The losses of BLIP-2's first stage that a matcher needs: matching (ITM) and contrast (ITC).

Li et al., "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large
Language Models", 2023, section 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import Blip2ForImageTextRetrieval, PreTrainedTokenizerFast

from triptych_export.training.blip2_itm_batches import Pairs
from triptych_export.training.blip2_itm_model import match_logits, picture_features, text_features
from triptych_export.training.clip_model import normalise

CONTRAST_SCALE, CONTRAST_WEIGHT = 20.0, 0.2


def batch_loss(
    model: Blip2ForImageTextRetrieval, tokenizer: PreTrainedTokenizerFast, pairs: Pairs
) -> torch.Tensor:
    """Matching over all pairs, and contrast between the pictures and their captions."""
    tokens = tokenizer(pairs.texts, padding=True, return_tensors="pt")
    ids, seen = tokens["input_ids"], tokens["attention_mask"]
    count = len(pairs.pictures)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            patches = model.vision_model(normalise(pairs.pictures)).last_hidden_state
        matched = match_logits(model, patches[torch.from_numpy(pairs.owners)], ids, seen)
        pictures = picture_features(model, patches)
        texts = text_features(model, ids[:count], seen[:count])
    matching = F.cross_entropy(matched, torch.from_numpy(pairs.true).long())
    return matching + CONTRAST_WEIGHT * _contrast(pictures, texts, torch.from_numpy(pairs.same))


def _contrast(pictures: torch.Tensor, texts: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Softmax both ways; a picture is as near to a text as the nearest of its queries."""
    similar = torch.einsum("pqd,td->ptq", pictures, texts).amax(dim=-1)
    others = same & ~torch.eye(len(same), dtype=torch.bool)
    logits = (CONTRAST_SCALE * similar).masked_fill(others, -1e4)
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
