"""Train the miniature proposer on searches for hidden scenes, scored by the shipped CLIP.

``python -m triptych_export.training.proposer --repository model_repository --out DIR`` trains and
leaves a checkpoint that ``OPTForCausalLM.from_pretrained`` loads.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from triptych_export.training.loop import Plan, argument_parser, run_training
from triptych_export.training.proposer_batches import Text, Writer
from triptych_export.training.proposer_evaluation import evaluate, table
from triptych_export.training.proposer_files import save_checkpoint
from triptych_export.training.proposer_loss import batch_loss, kinds_of
from triptych_export.training.proposer_model import build_model
from triptych_export.training.proposer_scores import (
    ClipScorer,
    PerfectScorer,
    Scorer,
    write_table,
)
from triptych_export.training.proposer_searches import run_searches
from triptych_export.training.proposer_tokenizer import build_tokenizer

BATCH, SEARCHES = 64, 128  # texts of each process, and searches at once
WAITING = 3000  # texts of several kinds of search, at least, of which batches are drawn
PERFECT = 0.3  # how often the scorer is a perfect one
SCENES = 50  # hidden ones of the evaluation
TABLE_FILE = "captions.npy"


class ProposerTask:
    """The truth after what a search found."""

    def __init__(self, repository: Path, table: Path) -> None:
        self.tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer)
        self._writer, self._kinds = Writer(self.tokenizer), kinds_of(self.tokenizer)
        self._clip, self._perfect = ClipScorer(repository, table), PerfectScorer()
        self._texts: list[Text] = []

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The loss on contexts of new searches."""
        if len(self._texts) < WAITING:
            while len(self._texts) < 2 * WAITING:
                scorer = self._perfect if rng.uniform() < PERFECT else self._clip
                self._texts += self._writer.texts(run_searches(scorer, SEARCHES, rng), rng)
            rng.shuffle(self._texts)
        batch, self._texts = self._texts[:BATCH], self._texts[BATCH:]
        return batch_loss(self.model, self._writer.batches(batch), self._kinds)

    def after_step(self) -> None:
        """No weight has bounds."""

    def report(self, out: Path, final: bool) -> str:
        """How well it searches with both scorers, which takes minutes: at the end alone."""
        save_checkpoint(self.model, self.tokenizer, out)
        if not final:
            return f"checkpoint in {out}"
        scorers: dict[str, Scorer] = {"clip": self._clip, "perfect": self._perfect}
        return table(evaluate(self.model, self.tokenizer, scorers, SCENES))


def main() -> None:
    """Read the arguments and train."""
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--repository", type=Path, required=True, help="model repository with the miniature CLIP"
    )
    arguments = vars(parser.parse_args())
    repository = arguments.pop("repository")
    plan = Plan(**arguments)
    plan.out.mkdir(parents=True, exist_ok=True)
    captions = plan.out / TABLE_FILE
    write_table(repository, captions, plan.threads)
    run_training(plan, partial(ProposerTask, repository, captions))


if __name__ == "__main__":
    main()
