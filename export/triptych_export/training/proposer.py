"""Train the miniature proposer on searches for hidden scenes, scored by the shipped CLIP.

``python -m triptych_export.training.proposer --repository model_repository --out DIR`` trains and
leaves a checkpoint that ``OPTForCausalLM.from_pretrained`` loads. With ``--start CHECKPOINT
--rate 0.5`` that one is trained further, on its own searches as well.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import OPTForCausalLM

from triptych_export.training.loop import Plan, argument_parser, run_training
from triptych_export.training.proposer_batches import Text, Writer
from triptych_export.training.proposer_evaluation import ModelProposer, evaluate, table
from triptych_export.training.proposer_files import save_checkpoint
from triptych_export.training.proposer_loss import batch_loss, kinds_of
from triptych_export.training.proposer_model import build_model
from triptych_export.training.proposer_rollouts import run_rollouts
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
# Where a checkpoint is trained further: how often searches are its own, and how often each of their
# contexts is used.
OWN, OWN_USES, OWN_SEARCHES = 0.6, 2, 64
SCENES = 50  # hidden ones of the evaluation
TABLE_FILE = "captions.npy"


class ProposerTask:
    """The truth after what a search found."""

    def __init__(self, repository: Path, table: Path, start: Path | None) -> None:
        self.tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer)
        self._further = start is not None
        if start is not None:
            self.model.load_state_dict(OPTForCausalLM.from_pretrained(start).state_dict())
        self._writer, self._kinds = Writer(self.tokenizer), kinds_of(self.tokenizer)
        self._clip, self._perfect = ClipScorer(repository, table), PerfectScorer()
        self._texts: list[Text] = []

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The loss on contexts of new searches."""
        if len(self._texts) < WAITING:
            while len(self._texts) < 2 * WAITING:
                own = self._further and rng.uniform() < OWN
                self._texts += self._own_texts(rng) if own else self._rule_texts(rng)
            rng.shuffle(self._texts)
        batch, self._texts = self._texts[:BATCH], self._texts[BATCH:]
        return batch_loss(self.model, self._writer.batches(batch), self._kinds)

    def _scorer(self, rng: np.random.Generator) -> Scorer:
        return self._perfect if rng.uniform() < PERFECT else self._clip

    def _rule_texts(self, rng: np.random.Generator) -> list[Text]:
        return self._writer.texts(run_searches(self._scorer(rng), SEARCHES, rng), rng)

    def _own_texts(self, rng: np.random.Generator) -> list[Text]:
        proposer = ModelProposer(self.model, self.tokenizer)
        contexts = run_rollouts(self._scorer(rng), proposer, OWN_SEARCHES, rng)
        self.model.train()
        return [text for _ in range(OWN_USES) for text in self._writer.texts(contexts, rng)]

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
    parser.add_argument("--start", type=Path, help="checkpoint to train further")
    arguments = vars(parser.parse_args())
    repository, start = arguments.pop("repository"), arguments.pop("start")
    plan = Plan(**arguments)
    plan.out.mkdir(parents=True, exist_ok=True)
    captions = plan.out / TABLE_FILE
    write_table(repository, captions, plan.threads)
    run_training(plan, partial(ProposerTask, repository, captions, start))


if __name__ == "__main__":
    main()
