"""Several scorers as one, on the shipped models."""

import numpy as np
import pytest
from mils_models import TEXT, Models
from scenes import Scenes

from triptych_server.capabilities.concurrency import Patience
from triptych_server.capabilities.mils.contrastive_scorer import ContrastiveScorer
from triptych_server.capabilities.mils.ensemble import Ensemble
from triptych_server.capabilities.mils.matching_scorer import MatchingScorer
from triptych_server.capabilities.mils.scorer import Scorer
from triptych_server.capabilities.mils.targets import Goal, Target, Term, directions
from triptych_server.media.content import RawImage, Text


@pytest.fixture
def goal(scenes: Scenes) -> Goal:
    picture = RawImage(*scenes.pixels[0].shape[:2], scenes.pixels[0].tobytes())
    return Goal([Target([Term(picture)])])


async def contrastive(models: Models, goal: Goal) -> ContrastiveScorer:
    found = await directions(models.embedder, models.clip, goal, Patience())
    return ContrastiveScorer(models.clip, found, models.vectors())


async def test_a_score_is_the_weighted_sum(models: Models, scenes: Scenes, goal: Goal) -> None:
    parts: list[Scorer] = [
        await contrastive(models, goal),
        MatchingScorer(models.itm, goal, models.matcher),
        await contrastive(models, Goal([Target([Term(Text("red"))])])),
    ]
    texts, weights = scenes.english[:12], [0.5, 2.0, 1.0]
    together: Scorer = Ensemble(list(zip(parts, weights, strict=True)))
    scores = await together.score(texts, None)
    single = [(await part.score(texts, None)).values for part in parts]
    np.testing.assert_allclose(scores.values, np.array(weights) @ np.array(single), atol=1e-6)
    assert (scores.cost.encoded_texts, scores.cost.matched_pairs) == (24, 12)
    assert scores.cost.times.inference_ns > 0


async def test_it_embeds_with_its_first_part_that_does(
    models: Models, scenes: Scenes, goal: Goal
) -> None:
    first, second = await contrastive(models, goal), await contrastive(models, goal)
    matching = MatchingScorer(models.itm, goal, models.matcher)
    together = Ensemble([(matching, 1.0), (first, 1.0), (second, 1.0)])
    texts = scenes.english[:4]
    assert together.embeds
    embedded = await together.embed(texts)
    np.testing.assert_array_equal(embedded.vectors, (await first.embed(texts)).vectors)
    # Vectors are of the first alone: the second, of its own space, encodes for itself.
    assert embedded.vectors is not None
    rows = models.engine.rows(TEXT)
    scores = await together.score(texts, -embedded.vectors)
    assert models.engine.rows(TEXT) == rows + 4
    expected = np.array((await matching.score(texts, None)).values)
    np.testing.assert_allclose(scores.values, expected, atol=1e-5)  # the others cancel out


async def test_without_a_part_that_embeds_nothing_is_embedded(
    models: Models, scenes: Scenes, goal: Goal
) -> None:
    together = Ensemble([(MatchingScorer(models.itm, goal, models.matcher), 3.0)])
    assert not together.embeds
    assert (await together.embed(scenes.english[:2])).vectors is None
    scores = await together.score(scenes.english[:2], None)
    assert scores.values[0] == pytest.approx(3.0, abs=0.1)
