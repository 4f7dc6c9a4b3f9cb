"""How often a false caption near the truth scores at least as high as the truth.

A search for the caption that scores highest, as MILS does, cannot do better than its scorer: where
a false caption overshoots the truth, it ends there. ``python -m
triptych_export.training.clip_overshoot CHECKPOINT`` prints the figures, of scenes that no training
has seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.evalset import EVALUATION_SEED, retrieval_set
from triptych_export.miniworld.neighbours import neighbours
from triptych_export.miniworld.world import Language, Scene
from triptych_export.training.clip_evaluation import embed_pictures, embed_texts
from triptych_export.training.figures import LANGUAGES

CHANGES = 2  # how far a false caption may be from the truth
LOW, HIGH = (0.0, 0.01, 0.5), (0.5, 0.99, 1.0)  # quantiles
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Overshoot:
    """``margins [N] float32`` are cosines: each picture's with its true caption, less its best.

    That is the best of all false captions within ``CHANGES`` of the truth. A pair is told from
    either object, so it has two true captions: the lower one counts. ``alike [M] float32`` are the
    cosines of true captions with those that differ in one attribute.
    """

    margins: Features
    alike: Features

    @property
    def share(self) -> float:
        """The share of scenes in which a false caption scores at least as high as a true one."""
        return float((self.margins <= 0).mean())


def measure_overshoot(
    model: CLIPModel,
    tokenizer: PreTrainedTokenizerBase,
    scenes: int = 1000,
    language: Language = "en",
    seed: int = EVALUATION_SEED,
) -> Overshoot:
    """Score every caption within ``CHANGES`` of the truth, of so many scenes."""
    model.eval()  # type: ignore[no-untyped-call]
    drawn = retrieval_set(scenes, seed)
    pictures = embed_pictures(model, drawn.pictures)
    margins: list[float] = []
    alike: list[Features] = []
    for scene, picture in zip(drawn.scenes, pictures, strict=True):
        near = neighbours(scene)
        far = neighbours(scene, CHANGES)[len(near) :]
        texts = [text for one in (scene, *near, *far) for text in _tellings(one, language)]
        features = embed_texts(model, tokenizer, texts)
        true = len(_tellings(scene, language))
        scores = features @ picture
        margins.append(float(scores[:true].min() - scores[true:].max()))
        alike.append(features[true : true * (1 + len(near)) : true] @ features[0])
    return Overshoot(np.array(margins, np.float32), np.concatenate(alike))


def _tellings(scene: Scene, language: Language) -> Sequence[str]:
    """The captions of a scene: two of a pair."""
    return tuple(dict.fromkeys(caption(one, language) for one in (scene, scene.inverted())))


def main() -> None:
    """Print the figures of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    arguments = parser.parse_args()
    model = CLIPModel.from_pretrained(arguments.checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    found = measure_overshoot(model, tokenizer, arguments.scenes, arguments.language)
    print(f"{'overshoot':12}{found.share:.2%}")
    for name, values, shares in (("margin", found.margins, LOW), ("alike", found.alike, HIGH)):
        told = [f"{np.quantile(values, share):6.3f} ({share:.0%})" for share in shares]
        print(f"{name:12}{'  '.join(told)}")


if __name__ == "__main__":
    main()
