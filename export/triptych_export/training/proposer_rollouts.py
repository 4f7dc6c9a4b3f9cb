"""What searches show a proposer that proposes in them itself, as long as it misses the truth.

A proposer that only ever saw searches by rule stands still where its own proposals have led it.
"""

from __future__ import annotations

import numpy as np

from triptych_export.training.proposer_evaluation import HEATS, Proposer, Ranking
from triptych_export.training.proposer_scenes import Keys, keys_of, sample_rows
from triptych_export.training.proposer_scores import Floats, Scorer
from triptych_export.training.proposer_searches import KEPT, Contexts, best_of

STEPS = 8
POOLS = (16, 512, 16384)  # random captions that a search begins with
CANDIDATES = 12  # of a step


def run_rollouts(
    scorer: Scorer, proposer: Proposer, count: int, rng: np.random.Generator
) -> Contexts:
    """So many searches, each with the contexts before the truth was proposed."""
    truths = sample_rows((count,), rng)
    aims, hidden = scorer.aim(truths, rng), keys_of(truths)
    pool = keys_of(sample_rows((int(rng.choice(POOLS)),), rng))
    pools = np.broadcast_to(pool, (count, len(pool)))
    none = np.zeros((count, KEPT), np.int64), np.full((count, KEPT), -np.inf, np.float32)
    keys, scores = best_of(*none, pools, scorer.score(aims, pool), truths)
    seen = []
    for _ in range(STEPS):
        seen.append(Contexts(truths, keys, scores))
        proposed = proposer.propose(_rankings(keys, scores), CANDIDATES, rng.choice(HEATS), rng)
        missed = [row for row, found in enumerate(proposed) if hidden[row] not in found]
        if not missed:
            break
        truths, aims, hidden = truths[missed], aims[missed], hidden[missed]
        new = _filled([proposed[row] for row in missed], keys[missed])
        new_scores = scorer.score(aims, new)
        keys, scores = best_of(keys[missed], scores[missed], new, new_scores, truths)
    return Contexts(
        np.concatenate([each.truths for each in seen]),
        np.concatenate([each.keys for each in seen]),
        np.concatenate([each.scores for each in seen]),
    )


def _rankings(keys: Keys, scores: Floats) -> list[Ranking]:
    return [
        [(int(key), float(score)) for key, score in zip(*row, strict=True) if np.isfinite(score)]
        for row in zip(keys, scores, strict=True)
    ]


def _filled(proposed: list[list[int]], keys: Keys) -> Keys:
    """``[B, CANDIDATES]``, the best known ones where a proposer wrote fewer."""
    return np.array(
        [
            [*found, *[best] * (CANDIDATES - len(found))]
            for found, best in zip(proposed, keys[:, 0].tolist(), strict=True)
        ]
    )
