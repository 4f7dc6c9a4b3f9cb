"""Train a miniature CLIP further, against the false captions that score highest.

``python -m triptych_export.training.clip_hardening --start CHECKPOINT --out DIR --minutes 45
--threads 2`` leaves a checkpoint in which fewer captions overshoot the truth. What overshoots is
looked for anew in every step, with the weights of that step.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPModel

from triptych_export.miniworld.draw import Pixels, draw, draw_alike
from triptych_export.miniworld.world import Change, Scene, sample_scene
from triptych_export.training.clip import ClipTask
from triptych_export.training.clip_batches import (
    LANGUAGES,
    Batch,
    changed_scenes,
    hard_change,
    sample_phrases,
    tell,
    tell_either_way,
)
from triptych_export.training.clip_loss import batch_loss
from triptych_export.training.clip_mining import mine
from triptych_export.training.clip_model import image_features, normalise
from triptych_export.training.loop import Plan, argument_parser, run_training

# Of each process: of so many pictures those are taken for which a false caption scores highest, and
# some others by lot, so that what is easy stays so.
DRAWN, HARDEST, OTHERS = 64, 32, 16
DRAWS = 20  # of a copy, of which the one most like the scene that it is a copy of is kept
MINED, CHANGED, PHRASES = 2, 1, 16  # false captions a picture: found, and by lot
RATE = 0.5
# How often a copy differs in each attribute: what is seen least clearly, most often.
_WEIGHTS: dict[Change, float] = {
    "size": 3,
    "texture": 1,
    "colour": 0.5,
    "shape": 4,
    "position": 7,
    "relation": 4,
    "background": 0.2,
    "swapped_colours": 1,
    "swapped_shapes": 2,
}


class HardeningTask(ClipTask):
    """Captions and phrases against pictures, and captions that overshoot."""

    def __init__(self, start: Path) -> None:
        super().__init__()
        self.model.load_state_dict(CLIPModel.from_pretrained(start).state_dict())

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The contrastive loss in both languages."""
        return batch_loss(self.model, self.tokenizer, self.sample(rng))

    @torch.no_grad()
    def sample(self, rng: np.random.Generator) -> Batch:
        """Pictures that are hard for the model as it is, each with the captions that it confuses.

        Of the false captions of a language, those that were found come first, ``MINED`` a picture.
        """
        scenes, pictures = _draw_alike(DRAWN // 2, rng)
        language = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
        with torch.autocast("cpu", torch.bfloat16):
            features = image_features(self.model, normalise(pictures))
            mined = mine(self.model, self.tokenizer, scenes, features, language, MINED, rng)
        order = np.argsort([found.margin for found in mined])
        others = rng.choice(order[HARDEST:], OTHERS, replace=False)
        chosen = np.concatenate([order[:HARDEST], others])
        taken = [mined[index] for index in chosen]
        true = [found.true for found in taken]
        false = [scene for found in taken for scene in found.false]
        captions = {}
        for each in LANGUAGES:
            if each == language:
                texts = true, false
            else:  # what does most harm there may be told from the other object
                texts = tell_either_way(true, rng), tell_either_way(false, rng)
            changed = tell_either_way(changed_scenes(true, CHANGED, rng), rng)
            captions[each] = tell(texts[0], [*texts[1], *changed], each)
        return Batch(pictures[chosen], captions, sample_phrases(true, PHRASES, rng))


def _draw_alike(count: int, rng: np.random.Generator) -> tuple[list[Scene], Pixels]:
    """So many scenes, each followed by a copy that differs in one attribute and looks alike."""
    scenes: list[Scene] = []
    pictures: list[Pixels] = []
    for _ in range(count):
        scene = sample_scene(rng)
        copy = hard_change(scene, rng, _WEIGHTS)
        picture = draw(scene, rng)
        scenes += [scene, copy]
        pictures += [picture, draw_alike(copy, picture, DRAWS, rng)]
    return scenes, np.stack(pictures)


def main() -> None:
    """Read the arguments and train."""
    parser = argument_parser(__doc__)
    parser.add_argument("--start", type=Path, required=True, help="checkpoint to go on from")
    parser.set_defaults(rate=RATE)
    arguments = vars(parser.parse_args())
    build = partial(HardeningTask, arguments.pop("start"))
    run_training(Plan(**arguments), build)


if __name__ == "__main__":
    main()
