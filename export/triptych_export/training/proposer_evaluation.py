"""How well a proposer searches, beside one by rule, on scenes that no training has seen.

``python -m triptych_export.training.proposer_evaluation CHECKPOINT --repository DIR --table FILE``
prints the attribute F1 of the best caption after so many evaluations.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from transformers import OPTForCausalLM, PreTrainedTokenizerFast

from triptych_export.miniworld.captions import caption, parse
from triptych_export.miniworld.evalset import EVALUATION_SEED, retrieval_set
from triptych_export.miniworld.measures import attribute_f1
from triptych_export.training.proposer_batches import EXAMPLES, Writer, percents_of
from triptych_export.training.proposer_sampling import sample
from triptych_export.training.proposer_scenes import keys_of, row_of, rows_of, sample_rows, scene_of
from triptych_export.training.proposer_scores import (
    Aims,
    ClipScorer,
    PerfectScorer,
    Scorer,
    write_table,
)
from triptych_export.training.proposer_searches import KEPT, mutate

EVALUATIONS = (160, 320, 500)
POOL, SEEDS, CANDIDATES = 1000, 64, 32
HEATS = (1.0, 1.4, 1.8)  # of a step whose candidates repeat what was scored
TEMPERATURE = 1.0
_MOST_STEPS = 25
_TOGETHER = 25  # prompts that the model reads at once

# Scored scenes, best first.
Ranking = list[tuple[int, float]]


class Proposer(Protocol):
    """Writes candidates for many searches at once."""

    def propose(
        self, found: Sequence[Ranking], count: int, heat: float, rng: np.random.Generator
    ) -> list[list[int]]:
        """Up to ``count`` scenes for each search, whose best are ``found``; equal ones included."""


@dataclass
class _Search:
    """What one search has scored, seeds included, and its best scene after each evaluation."""

    scored: dict[int, float]
    best: list[int] = field(default_factory=list)

    def ranking(self) -> Ranking:
        return sorted(self.scored.items(), key=lambda pair: -pair[1])

    def add(self, key: int, score: float) -> None:
        leader = self.after(len(self.best))
        self.scored[key] = score
        self.best.append(key if score > self.scored[leader] else leader)

    def after(self, evaluations: int) -> int:
        """The best scene after so many evaluations, or all if there were fewer."""
        told = self.best[:evaluations]
        return told[-1] if told else self.ranking()[0][0]


class RuleProposer:
    """Recombines and changes the best."""

    def propose(
        self, found: Sequence[Ranking], count: int, heat: float, rng: np.random.Generator
    ) -> list[list[int]]:
        """Heat makes no difference: what it writes never repeats for long."""
        keys = np.zeros((len(found), KEPT), np.int64)
        scores = np.full(keys.shape, -np.inf, np.float32)
        for row, ranking in enumerate(found):
            for column, (key, score) in enumerate(ranking[:KEPT]):
                keys[row, column], scores[row, column] = key, score
        proposed: list[list[int]] = keys_of(mutate(keys, scores, count, rng)).tolist()
        return proposed


class ModelProposer:
    """A language model that is shown the best; when hotter, the best and others of the first."""

    def __init__(self, model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self._model, self._tokenizer = model.eval(), tokenizer  # type: ignore[no-untyped-call]
        self._writer = Writer(tokenizer)
        self.asked = self.understood = 0

    def propose(
        self, found: Sequence[Ranking], count: int, heat: float, rng: np.random.Generator
    ) -> list[list[int]]:
        """Replies that are no captions are left out."""
        prompts = [self._writer.prompt(_lines(_shown(ranking, heat, rng))) for ranking in found]
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        told: list[list[int]] = []
        for start in range(0, len(prompts), _TOGETHER):
            chunk = prompts[start : start + _TOGETHER]
            for rows in sample(self._model, chunk, count, TEMPERATURE * heat, generator):
                scenes = [parse(text.strip()) for text in self._tokenizer.batch_decode(rows)]
                keys = [int(keys_of(row_of(scene))) for scene in scenes if scene]
                self.asked, self.understood = self.asked + len(rows), self.understood + len(keys)
                told.append(keys)
        return told


def evaluate(
    model: OPTForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    scorers: Mapping[str, Scorer],
    scenes: int = 100,
) -> dict[str, list[float]]:
    """The attribute F1 after ``EVALUATIONS`` by scorer and proposer, e.g. ``clip/model``."""
    proposer = ModelProposer(model, tokenizer)
    proposers: dict[str, Proposer] = {"model": proposer, "rule": RuleProposer()}
    figures = {
        f"{name}/{kind}": search(scorer, one, scenes)
        for name, scorer in scorers.items()
        for kind, one in proposers.items()
    }
    return figures | {"understood": [proposer.understood / max(1, proposer.asked)]}


def search(scorer: Scorer, proposer: Proposer, count: int, pool: int = POOL) -> list[float]:
    """The attribute F1 of the best captions of ``count`` hidden scenes after ``EVALUATIONS``."""
    hidden = retrieval_set(count).scenes
    truths = np.stack([row_of(scene) for scene in hidden])
    rng = np.random.default_rng([EVALUATION_SEED, 300])
    aims = scorer.aim(truths, rng)
    searches = _begun(scorer, aims, count, pool, rng)
    for _ in range(_MOST_STEPS):
        running = [i for i, one in enumerate(searches) if len(one.best) < EVALUATIONS[-1]]
        if not running:
            break
        _step(scorer, aims, searches, running, proposer, rng)
    figures = []
    for evaluations in EVALUATIONS:
        best = [one.after(evaluations) for one in searches]
        told = [caption(scene_of(row)) for row in rows_of(np.array(best))]
        figures.append(attribute_f1(told, hidden))
    return figures


def table(figures: Mapping[str, Sequence[float]]) -> str:
    """A row for each name."""
    rows = [f"{'evaluations':16}" + "".join(f"{count:>8}" for count in EVALUATIONS)]
    for name, values in figures.items():
        rows.append(f"{name:16}" + "".join(f"{value:8.3f}" for value in values))
    return "\n".join(rows)


def _begun(
    scorer: Scorer, aims: Aims, count: int, pool: int, rng: np.random.Generator
) -> list[_Search]:
    keys = np.unique(keys_of(sample_rows((pool,), rng)))
    scores = scorer.score(aims, keys)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :SEEDS]
    return [
        _Search({int(keys[index]): float(scores[row, index]) for index in best[row]})
        for row in range(count)
    ]


def _step(
    scorer: Scorer,
    aims: Aims,
    searches: Sequence[_Search],
    running: Sequence[int],
    proposer: Proposer,
    rng: np.random.Generator,
) -> None:
    """New candidates of the running searches, asked for again where they repeat."""
    new: dict[int, dict[int, None]] = {index: {} for index in running}
    for heat in HEATS:
        asking = [index for index in running if len(new[index]) < CANDIDATES]
        if not asking:
            break
        found = [searches[index].ranking() for index in asking]
        proposed = proposer.propose(found, CANDIDATES, heat, rng)
        for index, keys in zip(asking, proposed, strict=True):
            fresh = (key for key in keys if key not in searches[index].scored)
            new[index].update(dict.fromkeys(fresh))
    for index, unscored in new.items():
        left = EVALUATIONS[-1] - len(searches[index].best)
        chosen = list(unscored)[: min(CANDIDATES, left)]
        if chosen:
            scores = scorer.score(aims[index : index + 1], np.array([chosen]))[0]
            for key, score in zip(chosen, scores, strict=True):
                searches[index].add(key, float(score))


def _shown(ranking: Ranking, heat: float, rng: np.random.Generator) -> Ranking:
    if heat == 1 or len(ranking) <= EXAMPLES:
        return ranking[:EXAMPLES]
    others = rng.choice(np.arange(1, min(2 * EXAMPLES, len(ranking))), EXAMPLES - 1, replace=False)
    return [ranking[index] for index in (0, *sorted(others))]


def _lines(shown: Ranking) -> list[tuple[int, str]]:
    """Worst first, scores in percent."""
    keys = np.array([key for key, _ in shown], np.int64)
    percents = percents_of(np.array([score for _, score in shown], np.float32))
    told = [caption(scene_of(row)) for row in rows_of(keys)]
    return list(zip(percents.tolist(), told, strict=True))[::-1]


def main() -> None:
    """Print the figures of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True, help="vectors, made where absent")
    parser.add_argument("--scenes", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    write_table(arguments.repository, arguments.table, 1)
    model = OPTForCausalLM.from_pretrained(arguments.checkpoint)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(arguments.checkpoint)
    scorers: dict[str, Scorer] = {
        "clip": ClipScorer(arguments.repository, arguments.table),
        "perfect": PerfectScorer(),
    }
    print(table(evaluate(model, tokenizer, scorers, arguments.scenes)))


if __name__ == "__main__":
    main()
