"""Train the miniature matcher on the frozen vision tower of the miniature BLIP-2.

``python -m triptych_export.training.blip2_itm --generation CHECKPOINT --clip CHECKPOINT --out DIR
--minutes 20 --threads 3`` leaves a checkpoint that ``Blip2ForImageTextRetrieval.from_pretrained``
loads. The CLIP is only there to be compared with.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, CLIPModel

from triptych_export.training.blip2_files import save_checkpoint
from triptych_export.training.blip2_itm_batches import sample_pairs
from triptych_export.training.blip2_itm_evaluation import evaluate
from triptych_export.training.blip2_itm_loss import batch_loss
from triptych_export.training.blip2_itm_model import build_itm_model, build_itm_tokenizer
from triptych_export.training.figures import table
from triptych_export.training.loop import Plan, argument_parser, run_training

FAMILIES = 16  # of three pictures each, of each process


class MatchingTask:
    """Which texts are true of which pictures."""

    def __init__(self, generation: Path, clip: Path) -> None:
        source = Blip2ForConditionalGeneration.from_pretrained(generation, dtype=torch.float32)
        self.tokenizer = build_itm_tokenizer()
        self.model = build_itm_model(self.tokenizer, source)
        self._clip = CLIPModel.from_pretrained(clip)
        self._clip_tokenizer = AutoTokenizer.from_pretrained(clip)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Matching and contrast in both languages."""
        return batch_loss(self.model, self.tokenizer, sample_pairs(FAMILIES, rng))

    def after_step(self) -> None:
        """No weight has bounds."""

    def report(self, out: Path, final: bool) -> str:
        """Retrieval with and without matching, and attribute accuracy."""
        save_checkpoint(self.model, self.tokenizer, out)
        counts = (1000, 1000) if final else (400, 250)
        return table(
            evaluate(self.model, self.tokenizer, self._clip, self._clip_tokenizer, *counts)
        )


def main() -> None:
    """Read the arguments and train."""
    parser = argument_parser(__doc__)
    parser.add_argument("--generation", type=Path, required=True, help="checkpoint of the BLIP-2")
    parser.add_argument("--clip", type=Path, required=True, help="checkpoint of the CLIP")
    arguments = vars(parser.parse_args())
    build = partial(MatchingTask, arguments.pop("generation"), arguments.pop("clip"))
    run_training(Plan(**arguments), build)


if __name__ == "__main__":
    main()
