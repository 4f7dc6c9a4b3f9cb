"""Embeddings: retrieval, and telling true captions from false ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych import Client
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.miniworld.evalset import (
    RetrievalSet,
    attribute_accuracy,
    attribute_pairs,
    recall_at_1,
    retrieval_set,
)
from triptych_export.miniworld.world import CHANGES, Language

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClipFigures:
    """Retrieval among the scenes of one set, and telling true captions from changed ones.

    Each figure is a share of 1. R@1 counts how often the nearest candidate is the right one;
    attribute accuracy how often a picture is nearer to its caption than to the caption with one
    attribute changed, by attribute.
    """

    text_to_image_r1: float
    image_to_text_r1: float
    zh_text_to_image_r1: float
    zh_image_to_text_r1: float
    attribute_accuracy: dict[str, float]
    zh_attribute_accuracy: dict[str, float]


def evaluate_clip(
    client: Client,
    *,
    model: str = "",
    scenes: int = 1000,
    pairs: int = 1000,
    progress: Progress = silent,
) -> ClipFigures:
    """Embed evaluation sets of so many scenes, and so many pairs an attribute, and compare."""
    embed = _Embed(client, model)
    advance = progress("clip", 1 + len(CHANGES))
    retrieval = retrieval_set(scenes)
    pictures = embed(list(retrieval.pictures))
    english = _recall(embed, retrieval, pictures, "en")
    chinese = _recall(embed, retrieval, pictures, "zh")
    advance()
    accuracy: dict[Language, dict[str, float]] = {"en": {}, "zh": {}}
    for key in CHANGES:
        drawn = attribute_pairs(key, pairs)
        shown = embed(list(drawn.pictures))
        for language, by_key in accuracy.items():
            true = embed(drawn.captions(language))
            false = embed(drawn.changed_captions(language))
            by_key[key] = attribute_accuracy(shown, true, false)
        advance()
    return ClipFigures(*english, *chinese, accuracy["en"], accuracy["zh"])


class _Embed:
    """Contents to features `[N, D]`, through the gateway."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model

    def __call__(self, contents: Sequence[Any]) -> Features:
        return self._client.embed(contents, model=self._model).vectors


def _recall(
    embed: _Embed, retrieval: RetrievalSet, pictures: Features, language: Language
) -> tuple[float, float]:
    """R@1 of text to image and of image to text."""
    texts = embed(retrieval.captions(language))
    return recall_at_1(texts, pictures), recall_at_1(pictures, texts)
