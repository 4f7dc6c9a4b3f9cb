"""A scorer's answers, checked and accounted for."""

from collections.abc import Sequence

import pytest
from mils_parts import MILLISECOND, WordJudge, WordScorer, one_hot

from triptych_server.capabilities.mils.gauge import Gauge
from triptych_server.capabilities.mils.ledger import Ledger
from triptych_server.capabilities.mils.scorer import Embedded, Scores, ScoringCost, Vectors
from triptych_server.errors import Internal


class Answering:
    """Answers with these, whatever it is asked."""

    def __init__(self, values: Sequence[float] = (), vectors: Vectors | None = None) -> None:
        self._values = values
        self._vectors = vectors
        self.embeds = vectors is not None

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(self._vectors, ScoringCost())

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        return Scores(self._values, ScoringCost())


async def test_costs_are_entered() -> None:
    ledger = Ledger()
    await Gauge(WordScorer(), ledger).measure(["facade", "aaaaaa"])
    await Gauge(WordScorer(), ledger).measure(["facade"])
    await Gauge(WordJudge(), ledger).measure(["facade"])
    assert ledger.spending.encoded_texts == 3
    assert ledger.spending.matched_pairs == 1
    assert ledger.spending.evaluations == 0
    assert ledger.times.inference_ns == 2 * MILLISECOND
    ledger.open_step()
    assert ledger.step_times.inference_ns == 0
    assert ledger.times.inference_ns == 2 * MILLISECOND


@pytest.mark.parametrize(
    "values", [[], [0.1], [0.1, 0.2, 0.3], [0.1, float("nan")], [float("-inf"), 0.1]]
)
async def test_anything_but_a_finite_number_a_text_is_a_defect(values: list[float]) -> None:
    with pytest.raises(Internal, match="a scorer gave"):
        await Gauge(Answering(values), Ledger()).measure(["facade", "aaaaaa"])


async def test_vectors_of_other_texts_are_a_defect() -> None:
    with pytest.raises(Internal, match="3 vectors for 2 texts"):
        await Gauge(Answering(vectors=one_hot(["a", "b", "c"])), Ledger()).embed(["a", "b"])
