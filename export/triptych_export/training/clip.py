"""Train the miniature bilingual CLIP on scenes drawn afresh.

``python -m triptych_export.training.clip --out DIR --minutes 60 --threads 3`` trains for that much
time and leaves a checkpoint that ``CLIPModel.from_pretrained`` loads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from triptych_export.training.clip_batches import sample_batch
from triptych_export.training.clip_evaluation import evaluate
from triptych_export.training.clip_loss import batch_loss
from triptych_export.training.clip_model import build_model, save_checkpoint
from triptych_export.training.figures import table
from triptych_export.training.loop import Plan, argument_parser, run_training
from triptych_export.training.tokenizer import build_tokenizer

BATCH, NEGATIVES, PHRASES = 64, 1, 16  # of each process
LARGEST_LOG_SCALE = float(np.log(100))


class ClipTask:
    """Captions and phrases against pictures."""

    def __init__(self) -> None:
        self.tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The contrastive loss in both languages."""
        batch = sample_batch(BATCH, NEGATIVES, PHRASES, rng)
        return batch_loss(self.model, self.tokenizer, batch)

    @torch.no_grad()
    def after_step(self) -> None:
        """Hold the scale of the logits below 100, as CLIP's paper does."""
        self.model.logit_scale.clamp_(max=LARGEST_LOG_SCALE)

    def report(self, out: Path, final: bool) -> str:
        """Retrieval and attribute accuracy."""
        save_checkpoint(self.model, self.tokenizer, out)
        return table(evaluate(self.model, self.tokenizer, pairs=1000 if final else 250))


def main() -> None:
    """Read the arguments and train."""
    arguments = argument_parser(__doc__).parse_args()
    run_training(Plan(**vars(arguments)), ClipTask)


if __name__ == "__main__":
    main()
