"""The contrastive losses of the miniature CLIP."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import CLIPModel, PreTrainedTokenizerFast

from triptych_export.training.clip_batches import Batch, Captions, Phrases
from triptych_export.training.clip_model import image_features, normalise, text_features

PHRASE_SCALE, PHRASE_WEIGHT = 20.0, 0.15


def caption_loss(
    pictures: torch.Tensor, texts: torch.Tensor, captions: Captions, scale: torch.Tensor
) -> torch.Tensor:
    """Softmax both ways: a picture among all texts, a true caption among all pictures."""
    logits = scale * pictures @ texts.T
    logits = logits.masked_fill(torch.from_numpy(captions.clashes), -1e4)
    target = torch.arange(len(pictures))
    rows = F.cross_entropy(logits, target)
    columns = F.cross_entropy(logits[:, : len(pictures)].T, target)
    return (rows + columns) / 2


def phrase_loss(pictures: torch.Tensor, texts: torch.Tensor, phrases: Phrases) -> torch.Tensor:
    """Softmax both ways for phrases, which are true of several pictures."""
    logits = PHRASE_SCALE * texts @ pictures.T
    matches = torch.from_numpy(phrases.matches)
    wanted = matches.float() / matches.sum(dim=1, keepdim=True)
    rows = F.cross_entropy(logits, wanted)
    owners = torch.from_numpy(phrases.owners)
    target = torch.arange(len(owners))
    clashes = matches[:, owners].T & ~torch.eye(len(owners), dtype=torch.bool)
    columns = F.cross_entropy(logits[:, owners].T.masked_fill(clashes, -1e4), target)
    return (rows + columns) / 2


def batch_loss(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, batch: Batch) -> torch.Tensor:
    """The loss of one batch in both languages."""
    with torch.autocast("cpu", torch.bfloat16):
        pictures = image_features(model, normalise(batch.pictures))
        captions = {
            language: text_features(model, tokenizer, told.texts)
            for language, told in batch.captions.items()
        }
        phrases = text_features(model, tokenizer, batch.phrases.texts)
    scale = model.logit_scale.exp()
    losses = [
        caption_loss(pictures, captions[language], told, scale)
        for language, told in batch.captions.items()
    ]
    total = torch.stack(losses).mean()
    return total + PHRASE_WEIGHT * phrase_loss(pictures, phrases, batch.phrases)
