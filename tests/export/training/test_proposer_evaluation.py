from pathlib import Path

import numpy as np
import pytest
from transformers import OPTForCausalLM, PreTrainedTokenizerFast

from triptych_export.training.proposer_evaluation import (
    EVALUATIONS,
    HEATS,
    ModelProposer,
    Ranking,
    RuleProposer,
    search,
    table,
)
from triptych_export.training.proposer_files import checkpoint_of
from triptych_export.training.proposer_scenes import keys_of
from triptych_export.training.proposer_scores import PerfectScorer
from triptych_export.training.proposer_searches import run_searches

SHIPPED = Path(__file__).parents[3] / "generators" / "miniworld-proposer"
COUNT = 40


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> ModelProposer:
    folder = tmp_path_factory.mktemp("shipped") / "checkpoint"
    checkpoint_of(SHIPPED, folder)
    model = OPTForCausalLM.from_pretrained(folder)
    return ModelProposer(model, PreTrainedTokenizerFast.from_pretrained(folder))


def near_the_end() -> tuple[list[Ranking], list[int]]:
    """What searches with a perfect scorer have found in their last steps, and the truths."""
    contexts = run_searches(PerfectScorer(), COUNT, np.random.default_rng(7))
    last = slice(-COUNT, None)
    found = [
        [(int(key), float(score)) for key, score in zip(keys, scores, strict=True) if score > 0]
        for keys, scores in zip(contexts.keys[last], contexts.scores[last], strict=True)
    ]
    return found, keys_of(contexts.truths[last]).tolist()


def test_a_search_by_rule_comes_nearer_with_evaluations() -> None:
    figures = search(PerfectScorer(), RuleProposer(), 12, pool=20)
    assert figures == sorted(figures)
    assert figures[-1] > 0.9
    assert len(figures) == len(EVALUATIONS)
    assert "0.5" in table({"rule": [0.5] * len(EVALUATIONS)})


def test_the_shipped_proposer_proposes_what_nobody_told_it(shipped: ModelProposer) -> None:
    found, truths = near_the_end()
    asked = shipped.asked
    proposed = shipped.propose(found, 32, 1.0, np.random.default_rng(0))
    assert sum(map(len, proposed)) > 0.95 * (shipped.asked - asked)
    assert np.mean([truth in keys for truth, keys in zip(truths, proposed, strict=True)]) > 0.8


def test_the_shipped_proposer_varies_captions_when_it_is_hot(shipped: ModelProposer) -> None:
    found, _ = near_the_end()
    varieties = [
        np.mean([len(set(keys)) for keys in shipped.propose(found, 32, heat, rng)])
        for heat, rng in ((heat, np.random.default_rng(0)) for heat in HEATS)
    ]
    assert varieties == sorted(varieties)
    assert varieties[-1] > 2 * varieties[0]
    assert varieties[-1] > 8


def test_the_shipped_proposer_begins_with_nothing(shipped: ModelProposer) -> None:
    (proposed,) = shipped.propose([[]], 64, 1.0, np.random.default_rng(0))
    assert len(set(proposed)) > 55
