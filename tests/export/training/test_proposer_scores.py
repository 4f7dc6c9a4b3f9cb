from pathlib import Path

import numpy as np
import pytest

from triptych_export.training.proposer_scenes import (
    KEYS,
    agreement,
    change_once,
    keys_of,
    sample_rows,
)
from triptych_export.training.proposer_scores import CaptionEncoder, ClipScorer, PerfectScorer

REPOSITORY = Path(__file__).parents[3] / "model_repository"
COUNT = 30


def test_a_perfect_scorer_gives_the_attribute_f1() -> None:
    rng = np.random.default_rng(0)
    truths = sample_rows((COUNT,), rng)
    near = change_once(truths, rng)
    scorer = PerfectScorer()
    aims = scorer.aim(truths, rng)
    scores = scorer.score(aims, np.stack([keys_of(truths), keys_of(near)], axis=1))
    assert (scores[:, 0] == 1).all()
    assert scores[:, 1] == pytest.approx(agreement(near, truths))
    shared = scorer.score(aims, keys_of(near))
    assert shared.shape == (COUNT, COUNT)
    assert np.diag(shared) == pytest.approx(scores[:, 1])


def test_clip_prefers_the_truth_to_strangers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truths = sample_rows((COUNT,), rng)
    keys = keys_of(truths)
    encoder = CaptionEncoder(REPOSITORY, threads=1)
    # A table of these scenes alone; the rest of the file is a hole.
    table = np.lib.format.open_memmap(
        tmp_path / "table.npy", "w+", np.float32, (KEYS, encoder.width)
    )
    table[keys] = encoder.encode(keys)
    table.flush()
    scorer = ClipScorer(REPOSITORY, tmp_path / "table.npy")
    aims = scorer.aim(truths, rng)
    scores = scorer.score(aims, keys)
    assert np.abs(np.linalg.norm(aims, axis=1) - 1).max() < 1e-5
    assert (scores.argmax(axis=1) == np.arange(COUNT)).mean() > 0.8
    others = np.roll(keys, 1)
    pairs = scorer.score(aims, np.stack([keys, others], axis=1))
    assert pairs[:, 0] == pytest.approx(np.diag(scores), abs=1e-5)
    assert (pairs[:, 0] > pairs[:, 1]).mean() > 0.9
