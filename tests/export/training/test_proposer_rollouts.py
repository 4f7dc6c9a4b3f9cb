from collections.abc import Sequence

import numpy as np

from triptych_export.training.proposer_evaluation import Ranking, RuleProposer
from triptych_export.training.proposer_rollouts import CANDIDATES, STEPS, run_rollouts
from triptych_export.training.proposer_scenes import keys_of
from triptych_export.training.proposer_scores import PerfectScorer

COUNT = 30


class Noting:
    """Proposes by rule, or nothing, and keeps how good the best was that it was shown."""

    def __init__(self, mute: bool) -> None:
        self._mute, self._rule = mute, RuleProposer()
        self.best: list[list[float]] = []

    def propose(
        self, found: Sequence[Ranking], count: int, heat: float, rng: np.random.Generator
    ) -> list[list[int]]:
        assert count == CANDIDATES
        self.best.append([ranking[0][1] for ranking in found])
        if self._mute:
            return [[] for _ in found]
        return self._rule.propose(found, count, heat, rng)


def test_a_search_goes_on_until_the_truth_is_proposed() -> None:
    proposer = Noting(mute=False)
    contexts = run_rollouts(PerfectScorer(), proposer, COUNT, np.random.default_rng(0))
    running = [len(best) for best in proposer.best]
    assert running[0] == COUNT > running[-1] > 0
    assert running == sorted(running, reverse=True)
    assert len(contexts.truths) == len(contexts.keys) == len(contexts.scores) == sum(running)
    hidden = contexts.keys == keys_of(contexts.truths)[:, None]
    assert not (hidden & np.isfinite(contexts.scores)).any()


def test_what_is_proposed_is_scored_and_shown() -> None:
    proposer = Noting(mute=False)
    run_rollouts(PerfectScorer(), proposer, COUNT, np.random.default_rng(0))
    assert np.mean(proposer.best[3]) > np.mean(proposer.best[0])


def test_a_proposer_that_says_nothing_is_shown_the_same_again() -> None:
    proposer = Noting(mute=True)
    contexts = run_rollouts(PerfectScorer(), proposer, COUNT, np.random.default_rng(0))
    assert proposer.best == [proposer.best[0]] * STEPS
    assert len(contexts.truths) == STEPS * COUNT
