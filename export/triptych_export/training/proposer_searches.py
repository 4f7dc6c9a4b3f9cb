"""What a search shows its proposer, at all depths: many searches by rule, run side by side.

The truth is kept out of what a search has scored, so a proposer learns what to try next, not what
it need not try again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triptych_export.training.proposer_scenes import (
    Keys,
    Rows,
    change_once,
    keys_of,
    rows_of,
    sample_rows,
    tidy,
)
from triptych_export.training.proposer_scores import Floats, Scorer

KEPT = 48  # the best of each search
STEPS = 10
POOLS = (2, 16, 64, 512, 4096, 16384)  # random captions that a search begins with
CANDIDATES = (8, 16, 32, 48)  # of a step
_RANKS = 3.0  # how far down the ranks parents are, on average
_RECOMBINED = 0.5
_CHANGES = (0.15, 0.4, 0.3, 0.15)  # how often so many changes, from none
# Candidates of some searches are drawn towards the truth, as those of a good proposer are.
_GUIDED, _MOST_GUIDANCE = 0.5, 0.35


@dataclass(frozen=True)
class Contexts:
    """What C searches have found: the best scored scenes, best first.

    ``truths [C, 11]`` are the hidden scenes, ``keys [C, 48]`` the scored ones and ``scores
    [C, 48] float32`` theirs, minus infinity where a search has scored fewer.
    """

    truths: Rows
    keys: Keys
    scores: Floats


def run_searches(scorer: Scorer, count: int, rng: np.random.Generator) -> Contexts:
    """So many searches, with the contexts of all their steps."""
    truths = sample_rows((count,), rng)
    aims = scorer.aim(truths, rng)
    guidance = np.where(
        rng.uniform(size=count) < _GUIDED, rng.uniform(0, _MOST_GUIDANCE, count), 0.0
    )
    pool = keys_of(sample_rows((int(rng.choice(POOLS)),), rng))
    pools = np.broadcast_to(pool, (count, len(pool)))
    candidates = int(rng.choice(CANDIDATES))
    empty = np.full((count, KEPT), -np.inf, np.float32)
    contexts = [
        best_of(np.zeros((count, KEPT), np.int64), empty, pools, scorer.score(aims, pool), truths)
    ]
    for _ in range(STEPS):
        keys, scores = contexts[-1]
        new = keys_of(_children(keys, scores, truths, guidance, candidates, rng))
        contexts.append(best_of(keys, scores, new, scorer.score(aims, new), truths))
    return Contexts(
        np.concatenate([truths] * len(contexts)),
        np.concatenate([keys for keys, _ in contexts]),
        np.concatenate([scores for _, scores in contexts]),
    )


def mutate(keys: Keys, scores: Floats, count: int, rng: np.random.Generator) -> Rows:
    """The proposer by rule: the best captions recombined and changed, ``[B, count, 11]``."""
    parents = [rows_of(_draw(keys, scores, count, rng)) for _ in range(2)]
    mixed = rng.uniform(size=parents[0].shape) < 0.5
    mixed &= (rng.uniform(size=(len(keys), count)) < _RECOMBINED)[..., None]
    rows = tidy(np.where(mixed, parents[1], parents[0]), rng)
    changes = rng.choice(len(_CHANGES), size=rows.shape[:2], p=_CHANGES)
    for number in range(1, len(_CHANGES)):
        rows = np.where((changes >= number)[..., None], change_once(rows, rng), rows)
    return rows


def _children(
    keys: Keys,
    scores: Floats,
    truths: Rows,
    guidance: Floats,
    count: int,
    rng: np.random.Generator,
) -> Rows:
    rows = mutate(keys, scores, count, rng)
    told = rng.uniform(size=rows.shape) < guidance[:, None, None]
    return tidy(np.where(told, truths[:, None], rows), rng)


def _draw(keys: Keys, scores: Floats, count: int, rng: np.random.Generator) -> Keys:
    scored = np.isfinite(scores).sum(1, keepdims=True)
    ranks = rng.exponential(_RANKS, (len(keys), count)).astype(np.int64) % scored
    drawn: Keys = np.take_along_axis(keys, ranks, 1)
    return drawn


def best_of(
    keys: Keys, scores: Floats, new: Keys, new_scores: Floats, truths: Rows
) -> tuple[Keys, Floats]:
    """The best of old and new scenes, each once and the truth never, best first."""
    keys = np.concatenate([keys, new], axis=1)
    scores = np.concatenate([scores, new_scores], axis=1)
    scores = np.where(keys == keys_of(truths)[:, None], -np.inf, scores)
    order = np.lexsort((-scores, keys))
    ordered = np.take_along_axis(keys, order, 1)
    again = np.zeros_like(ordered, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    scores = np.where(again, -np.inf, np.take_along_axis(scores, order, 1))
    top = np.argsort(-scores, axis=1, kind="stable")[:, :KEPT]
    return np.take_along_axis(ordered, top, 1), np.take_along_axis(scores, top, 1)
