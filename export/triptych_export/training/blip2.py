"""Train the miniature BLIP-2 to tell, to answer and to chat, on scenes drawn afresh.

``python -m triptych_export.training.blip2 --out DIR --minutes 60 --threads 3`` trains for that much
time and leaves a checkpoint that ``Blip2ForConditionalGeneration.from_pretrained`` loads. The
vision tower starts from the miniature CLIP's and is trained along.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPModel

from triptych_export.training.blip2_batches import Writer, sample_scenes
from triptych_export.training.blip2_evaluation import evaluate
from triptych_export.training.blip2_files import save_checkpoint
from triptych_export.training.blip2_loss import batch_loss
from triptych_export.training.blip2_model import build_model
from triptych_export.training.blip2_tokenizer import build_tokenizer
from triptych_export.training.figures import table
from triptych_export.training.loop import Plan, argument_parser, run_training

BATCH = 32  # pictures of each process


class Blip2Task:
    """Captions, questions and chats."""

    def __init__(self, clip: Path) -> None:
        self.tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer, CLIPModel.from_pretrained(clip))
        self._writer = Writer(self.tokenizer)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The language-modelling loss in both languages."""
        return batch_loss(self.model, self._writer.batch(sample_scenes(BATCH, rng), rng))

    def after_step(self) -> None:
        """No weight has bounds."""

    def report(self, out: Path, final: bool) -> str:
        """Captions and answers, of fewer scenes while training goes on."""
        save_checkpoint(self.model, self.tokenizer, out)
        counts = (1000, 2000, 500) if final else (300, 600, 150)
        return table(evaluate(self.model, self.tokenizer, *counts))


def main() -> None:
    """Read the arguments and train."""
    parser = argument_parser(__doc__)
    parser.add_argument("--clip", type=Path, required=True, help="checkpoint of the miniature CLIP")
    arguments = vars(parser.parse_args())
    build = partial(Blip2Task, arguments.pop("clip"))
    run_training(Plan(**arguments), build)


if __name__ == "__main__":
    main()
