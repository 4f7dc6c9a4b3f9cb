import numpy as np
import pytest

from triptych_export.training.proposer_scenes import keys_of, rows_of, valid
from triptych_export.training.proposer_scores import PerfectScorer
from triptych_export.training.proposer_searches import KEPT, STEPS, Contexts, mutate, run_searches

COUNT = 40


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    return run_searches(PerfectScorer(), COUNT, np.random.default_rng(0))


def test_each_step_of_each_search_is_a_context(contexts: Contexts) -> None:
    size = COUNT * (STEPS + 1)
    assert contexts.keys.shape == contexts.scores.shape == (size, KEPT)
    assert len(contexts.truths) == size


def test_the_truth_is_never_shown(contexts: Contexts) -> None:
    scored = np.isfinite(contexts.scores)
    assert (scored & (contexts.scores == 1)).sum() == 0
    assert (contexts.keys != keys_of(contexts.truths)[:, None])[scored].all()


def test_what_is_shown_is_distinct_and_best_first(contexts: Contexts) -> None:
    assert (np.diff(contexts.scores[np.isfinite(contexts.scores).all(1)]) <= 0).all()
    for keys, scores in zip(contexts.keys, contexts.scores, strict=True):
        shown = keys[np.isfinite(scores)]
        assert len(set(shown.tolist())) == len(shown)


def test_searches_come_nearer(contexts: Contexts) -> None:
    best = contexts.scores[:, 0].reshape(STEPS + 1, COUNT)
    assert (np.diff(best, axis=0) >= 0).all()
    assert best[-1].mean() > best[0].mean() + 0.05


def test_candidates_by_rule_are_scenes_like_the_best(contexts: Contexts) -> None:
    rows = mutate(contexts.keys, contexts.scores, 8, np.random.default_rng(1))
    assert rows.shape[:2] == (len(contexts.keys), 8)
    assert valid(rows).all()
    assert (rows_of(keys_of(rows)) == rows).all()
