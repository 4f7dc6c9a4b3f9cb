"""The figures of a CLIP checkpoint on scenes that no training has seen.

``python -m triptych_export.training.clip_evaluation CHECKPOINT`` prints them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase

from triptych_export.miniworld.draw import Pixels
from triptych_export.miniworld.evalset import (
    attribute_accuracy,
    attribute_pairs,
    recall_at_1,
    retrieval_set,
)
from triptych_export.miniworld.world import CHANGES
from triptych_export.training.clip_model import image_features, normalise, text_features
from triptych_export.training.figures import LANGUAGES, table

_CHUNK = 250


def evaluate(
    model: CLIPModel, tokenizer: PreTrainedTokenizerBase, scenes: int = 1000, pairs: int = 1000
) -> dict[str, float]:
    """Every figure by name, e.g. ``en/image_to_text_r1`` or ``zh/swapped_shapes``."""
    model.eval()  # type: ignore[no-untyped-call]
    retrieval = retrieval_set(scenes)
    pictures = embed_pictures(model, retrieval.pictures)
    figures: dict[str, float] = {}
    for language in LANGUAGES:
        texts = embed_texts(model, tokenizer, retrieval.captions(language))
        figures[f"{language}/image_to_text_r1"] = recall_at_1(pictures, texts)
        figures[f"{language}/text_to_image_r1"] = recall_at_1(texts, pictures)
    for key in CHANGES:
        drawn = attribute_pairs(key, pairs)
        pictures = embed_pictures(model, drawn.pictures)
        for language in LANGUAGES:
            true = embed_texts(model, tokenizer, drawn.captions(language))
            false = embed_texts(model, tokenizer, drawn.changed_captions(language))
            figures[f"{language}/{key}"] = attribute_accuracy(pictures, true, false)
    return figures


@torch.inference_mode()
def embed_pictures(model: CLIPModel, pictures: Pixels) -> NDArray[np.float32]:
    chunks = [pictures[start : start + _CHUNK] for start in range(0, len(pictures), _CHUNK)]
    return np.concatenate([image_features(model, normalise(chunk)).numpy() for chunk in chunks])


@torch.inference_mode()
def embed_texts(
    model: CLIPModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> NDArray[np.float32]:
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    return np.concatenate([text_features(model, tokenizer, chunk).numpy() for chunk in chunks])


def main() -> None:
    """Print the figures of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=1000)
    arguments = parser.parse_args()
    model = CLIPModel.from_pretrained(arguments.checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    print(table(evaluate(model, tokenizer, arguments.scenes, arguments.pairs)))


if __name__ == "__main__":
    main()
