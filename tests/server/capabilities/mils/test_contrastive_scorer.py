"""Texts scored by cosines, on the shipped model."""

import numpy as np
from mils_models import TEXT, Models
from scenes import Scenes
from vectors import random_vectors

from triptych_server.capabilities.concurrency import Patience
from triptych_server.capabilities.mils.aside import LIGHT
from triptych_server.capabilities.mils.contrastive_scorer import ContrastiveScorer
from triptych_server.capabilities.mils.scorer import Scorer
from triptych_server.capabilities.mils.targets import Goal, Target, Term, directions
from triptych_server.media.content import RawImage


async def scorer(models: Models, scenes: Scenes, *, remember: bool = True) -> ContrastiveScorer:
    """For the first scene."""
    picture = RawImage(*scenes.pixels[0].shape[:2], scenes.pixels[0].tobytes())
    goal = Goal([Target([Term(picture)])])
    found = await directions(models.embedder, models.clip, goal, Patience())
    return ContrastiveScorer(models.clip, found, models.vectors(), remember=remember)


async def test_the_truth_scores_highest(models: Models, scenes: Scenes) -> None:
    first: Scorer = await scorer(models, scenes)
    texts = list(dict.fromkeys(scenes.english))
    scores = await first.score(texts, None)
    assert int(np.argmax(scores.values)) == 0
    assert scores.cost.encoded_texts == len(texts)
    assert scores.cost.times.batch_size > 0


async def test_texts_with_vectors_are_not_encoded(models: Models, scenes: Scenes) -> None:
    first = await scorer(models, scenes)
    embedded = await first.embed(scenes.english[:5])
    assert embedded.cost.encoded_texts == 5
    rows = models.engine.rows(TEXT)
    scores = await first.score(scenes.english[:5], embedded.vectors)
    assert models.engine.rows(TEXT) == rows
    assert (scores.cost.encoded_texts, scores.cost.known_texts) == (0, 0)
    assert scores.values == (await first.score(scenes.english[:5], None)).values


async def test_texts_are_encoded_anew_where_nothing_is_remembered(
    models: Models, scenes: Scenes
) -> None:
    forgetful = await scorer(models, scenes, remember=False)
    for _ in range(2):
        scores = await forgetful.score(scenes.english[:3], None)
        assert scores.cost.encoded_texts == 3


async def test_many_vectors_score_as_few_do(models: Models, scenes: Scenes) -> None:
    first, dimension = await scorer(models, scenes), models.clip.dimension
    many = random_vectors(LIGHT // dimension + 1, dimension)
    scores = await first.score([""] * len(many), many)
    few = await first.score([""] * 100, many[:100])
    np.testing.assert_allclose(scores.values[:100], few.values, atol=1e-6)
    assert len(scores.values) == len(many)


async def test_nothing_scores_nothing(models: Models, scenes: Scenes) -> None:
    assert (await (await scorer(models, scenes)).score([], None)).values == []
