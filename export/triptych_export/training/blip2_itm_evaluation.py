"""What matching adds to CLIP's retrieval, on scenes that no training has seen.

``python -m triptych_export.training.blip2_itm_evaluation CHECKPOINT --clip CLIP`` prints it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoTokenizer,
    Blip2ForImageTextRetrieval,
    CLIPModel,
    PreTrainedTokenizerBase,
)

from triptych_export.miniworld.draw import Pixels
from triptych_export.miniworld.evalset import (
    RetrievalSet,
    attribute_pairs,
    near_duplicate_set,
    retrieval_set,
)
from triptych_export.miniworld.world import CHANGES, Language
from triptych_export.training import clip_model
from triptych_export.training.blip2_itm_model import match_logits
from triptych_export.training.figures import LANGUAGES, table

CANDIDATES = 20  # of CLIP's ranking, that matching puts into a new order
_CHUNK = 250


def evaluate(
    model: Blip2ForImageTextRetrieval,
    tokenizer: PreTrainedTokenizerBase,
    clip: CLIPModel,
    clip_tokenizer: PreTrainedTokenizerBase,
    scenes: int = 1000,
    pairs: int = 1000,
) -> dict[str, float]:
    """Every figure by name: text to image R@1 of two galleries, and telling texts apart.

    ``en/clip_r1`` and ``en/itm_r1`` are of the standard gallery, ``en/near_clip_r1`` and
    ``en/near_itm_r1`` of near duplicates; ``en/shape`` and the like are how often a picture's own
    caption matches better than the one with only the shape changed.
    """
    model.eval()  # type: ignore[no-untyped-call]
    clip.eval()  # type: ignore[no-untyped-call]
    figures: dict[str, float] = {}
    for name, gallery in (("", retrieval_set(scenes)), ("near_", near_duplicate_set(scenes))):
        patches = _patches(model, gallery.pictures)
        for language in LANGUAGES:
            ranked = _clip_ranking(clip, clip_tokenizer, gallery, language)
            figures[f"{language}/{name}clip_r1"] = _share_first(ranked)
            reranked = _rerank(model, tokenizer, patches, gallery.captions(language), ranked)
            figures[f"{language}/{name}itm_r1"] = _share_first(reranked)
    for key in CHANGES:
        drawn = attribute_pairs(key, pairs)
        patches = _patches(model, drawn.pictures)
        for language in LANGUAGES:
            true = match_scores(model, tokenizer, patches, drawn.captions(language))
            false = match_scores(model, tokenizer, patches, drawn.changed_captions(language))
            figures[f"{language}/{key}"] = float((true > false).mean())
    return figures


@torch.inference_mode()
def match_scores(
    model: Blip2ForImageTextRetrieval,
    tokenizer: PreTrainedTokenizerBase,
    patches: torch.Tensor,
    texts: Sequence[str],
) -> NDArray[np.float32]:
    """How well each picture ``[N, P, W]`` and its text match: the log-odds ``[N]``."""
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    ids, seen = tokens["input_ids"], tokens["attention_mask"]
    scores = []
    for start in range(0, len(texts), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        logits = match_logits(model, patches[chunk], ids[chunk], seen[chunk])
        scores.append(logits[:, 1] - logits[:, 0])
    return np.asarray(torch.cat(scores).numpy())


@torch.inference_mode()
def _patches(model: Blip2ForImageTextRetrieval, pictures: Pixels) -> torch.Tensor:
    chunks = [
        model.vision_model(clip_model.normalise(pictures[start : start + _CHUNK]))
        for start in range(0, len(pictures), _CHUNK)
    ]
    return torch.cat([chunk.last_hidden_state for chunk in chunks])


@torch.inference_mode()
def _clip_ranking(
    clip: CLIPModel, tokenizer: PreTrainedTokenizerBase, gallery: RetrievalSet, language: Language
) -> NDArray[np.int64]:
    """CLIP's best pictures of each caption, the best first: ``[N, CANDIDATES]``."""
    pixels = clip_model.normalise(gallery.pictures)
    pictures = [clip_model.image_features(clip, part) for part in torch.split(pixels, _CHUNK)]
    captions = gallery.captions(language)
    texts = [
        clip_model.text_features(clip, tokenizer, captions[start : start + _CHUNK])
        for start in range(0, len(captions), _CHUNK)
    ]
    best: NDArray[np.int64] = (
        (torch.cat(texts) @ torch.cat(pictures).T).topk(CANDIDATES, dim=1).indices.numpy()
    )
    return best


def _rerank(
    model: Blip2ForImageTextRetrieval,
    tokenizer: PreTrainedTokenizerBase,
    patches: torch.Tensor,
    captions: Sequence[str],
    ranked: NDArray[np.int64],
) -> NDArray[np.int64]:
    columns = [
        match_scores(model, tokenizer, patches[torch.from_numpy(column)], captions)
        for column in ranked.T
    ]
    order = np.argsort(-np.stack(columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(ranked, order, axis=1)


def _share_first(ranked: NDArray[np.int64]) -> float:
    return float((ranked[:, 0] == np.arange(len(ranked))).mean())


def main() -> None:
    """Print the figures of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--clip", type=Path, required=True)
    arguments = parser.parse_args()
    model = Blip2ForImageTextRetrieval.from_pretrained(
        arguments.checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    clip = CLIPModel.from_pretrained(arguments.clip)
    figures = evaluate(model, tokenizer, clip, AutoTokenizer.from_pretrained(arguments.clip))
    print(table(figures))


if __name__ == "__main__":
    main()
