"""Captions that score too high: false ones that a search finds near the truth of a picture.

A search that follows the score of CLIP, as MILS does, ends at a false caption wherever one scores
above the truth. Here the search starts at the truth: the single changes that cost the least are
taken together, two and three at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import CLIPModel, PreTrainedTokenizerBase

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.neighbours import Step, combined, steps
from triptych_export.miniworld.world import Language, Scene
from triptych_export.training.clip_batches import tell_either_way
from triptych_export.training.clip_model import text_features

BEST_STEPS, MOST_STEPS = 4, 3  # which are taken together, and how many at once
SELDOM, SELDOM_SHARE = frozenset({"texture", "colour", "background"}), 0.1  # seldom confused
_CHUNK = 256


@dataclass(frozen=True)
class Mined:
    """The false scenes whose captions score highest for a picture, best first.

    Each pair is told from the object from which it does most harm: a false one scores highest, the
    true one lowest. ``margin`` is the cosine of the true one less that of the best false one: below
    0 it overshoots.
    """

    true: Scene
    false: tuple[Scene, ...]
    margin: float


def mine(
    model: CLIPModel,
    tokenizer: PreTrainedTokenizerBase,
    scenes: Sequence[Scene],
    pictures: torch.Tensor,
    language: Language,
    keep: int,
    rng: np.random.Generator,
) -> list[Mined]:
    """The ``keep`` best false scenes of each picture; ``pictures`` is ``[N, D]``, of ``scenes``.

    What is seldom confused is tried in a part of the scenes by lot, and every false pair is told
    from one object by lot.
    """

    def cosines(told: Sequence[Sequence[Scene]]) -> list[torch.Tensor]:
        return _cosines(model, tokenizer, told, pictures, language)

    single = [list(combined(scene, _some_steps(scene, rng), 1)) for scene in scenes]
    near = [tell_either_way([changed for _, changed in found], rng) for found in single]
    near_scores = cosines(near)
    best = [_best_steps(*found) for found in zip(single, near_scores, strict=True)]
    several = [
        [changed for _, changed in combined(scene, taken, MOST_STEPS, least=2)]
        for scene, taken in zip(scenes, best, strict=True)
    ]
    far = [tell_either_way(found, rng) for found in several]
    far_scores = cosines(far)
    true = [(scene, scene.inverted()) for scene in scenes]
    false = [one + other for one, other in zip(near, far, strict=True)]
    scores = map(torch.cat, zip(near_scores, far_scores, strict=True))
    return [_worst(keep, *of) for of in zip(true, cosines(true), false, scores, strict=True)]


def _worst(
    keep: int,
    true: Sequence[Scene],
    true_scores: torch.Tensor,
    false: Sequence[Scene],
    scores: torch.Tensor,
) -> Mined:
    """The true telling that scores lowest and the false ones that score highest."""
    best = scores.argsort(descending=True)[:keep].tolist()
    return Mined(
        true=true[int(true_scores.argmin())],
        false=tuple(false[place] for place in best),
        margin=float(true_scores.min() - scores.max()),
    )


def _some_steps(scene: Scene, rng: np.random.Generator) -> list[Step]:
    return [
        step
        for step in steps(scene)
        if step.attribute not in SELDOM or rng.uniform() < SELDOM_SHARE
    ]


def _best_steps(
    found: Sequence[tuple[tuple[Step, ...], Scene]], cosines: torch.Tensor
) -> list[Step]:
    order = cosines.argsort(descending=True)[:BEST_STEPS].tolist()
    return [found[place][0][0] for place in order]


@torch.no_grad()
def _cosines(
    model: CLIPModel,
    tokenizer: PreTrainedTokenizerBase,
    told: Sequence[Sequence[Scene]],
    pictures: torch.Tensor,
    language: Language,
) -> list[torch.Tensor]:
    """Of each picture with each of its captions; texts of one length are encoded together."""
    counts = [len(found) for found in told]
    texts = [caption(scene, language) for found in told for scene in found]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    features = torch.empty(len(texts), pictures.shape[1])
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        features[chunk] = text_features(model, tokenizer, [texts[index] for index in chunk])
    owners = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return list(torch.split((features * pictures[owners]).sum(dim=1), counts))
