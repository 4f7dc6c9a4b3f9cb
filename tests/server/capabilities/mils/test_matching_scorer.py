"""Texts scored by image-text matching, on the shipped model."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from mils_models import Models, open_models
from scenes import Scenes

from triptych_server.capabilities.concurrency import Patience
from triptych_server.capabilities.matching import RUN_PAIRS
from triptych_server.capabilities.mils import matching_scorer
from triptych_server.capabilities.mils.matching_scorer import RUNS, MatchingScorer
from triptych_server.capabilities.mils.scorer import Scorer
from triptych_server.capabilities.mils.targets import Aggregation, Goal, Target, Term
from triptych_server.engines.encoders import Role
from triptych_server.errors import InvalidArgument, ResourceExhausted
from triptych_server.media.content import EncodedImage, Image, RawImage, Text
from triptych_server.settings import SHIPPED_REPOSITORY


def picture(scenes: Scenes, number: int) -> RawImage:
    pixels = scenes.pixels[number]
    return RawImage(*pixels.shape[:2], pixels.tobytes())


def goal(
    targets: Sequence[Image],
    negatives: Sequence[Image] = (),
    aggregation: Aggregation = Aggregation.MEAN,
) -> Goal:
    of = [[Target([Term(image)]) for image in images] for images in (targets, negatives)]
    return Goal(*of, aggregation)


async def matched(models: Models, pictures: Sequence[Image], texts: Sequence[str]) -> np.ndarray:
    """Probabilities `[N, P]`, as the matcher gives them."""
    pairs = [(p, t) for t in range(len(texts)) for p in range(len(pictures))]
    matches = await models.matcher.match(models.itm, pictures, texts, pairs)
    return np.array(matches.probabilities).reshape(len(texts), len(pictures))


def vision_rows(models: Models) -> int:
    return models.engine.rows(models.itm.encoder(Role.VISION).name)


async def test_a_score_is_the_probability_of_a_match(models: Models, scenes: Scenes) -> None:
    scorer: Scorer = MatchingScorer(models.itm, goal([picture(scenes, 0)]), models.matcher)
    texts = scenes.english[: 2 * RUN_PAIRS + 3]
    scores = await scorer.score(texts, None)
    expected = await matched(models, [picture(scenes, 0)], texts)
    np.testing.assert_allclose(scores.values, expected[:, 0], atol=1e-5)
    assert scores.values[0] == max(scores.values)
    assert scores.cost.matched_pairs == len(texts)
    assert scores.cost.times.inference_ns > 0


async def test_slices_make_no_difference(
    models: Models, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = MatchingScorer(models.itm, goal([picture(scenes, 0)]), models.matcher)
    texts = scenes.english[:20]
    whole = await scorer.score(texts, None)
    monkeypatch.setattr(matching_scorer, "SLICE", 7)
    sliced = await scorer.score(texts, None)
    np.testing.assert_allclose(sliced.values, whole.values, atol=1e-6)
    assert sliced.cost.matched_pairs == 20


async def test_it_embeds_nothing(models: Models, scenes: Scenes) -> None:
    scorer = MatchingScorer(models.itm, goal([picture(scenes, 0)]), models.matcher)
    assert (await scorer.embed(scenes.english)).vectors is None
    assert models.engine.runs == []


@pytest.mark.parametrize("aggregation", Aggregation)
async def test_pictures_count_together_and_negatives_against(
    models: Models, scenes: Scenes, aggregation: Aggregation
) -> None:
    pictures, texts = [picture(scenes, each) for each in range(5)], scenes.english[:10]
    wanted = goal(pictures[:3], pictures[3:], aggregation)
    scores = await MatchingScorer(models.itm, wanted, models.matcher).score(texts, None)
    fits = await matched(models, pictures, texts)
    together = fits[:, :3].min(1) if aggregation is Aggregation.MIN else fits[:, :3].mean(1)
    np.testing.assert_allclose(scores.values, together - fits[:, 3:].max(1), atol=1e-5)
    assert scores.cost.matched_pairs == 5 * len(texts)


async def test_pictures_are_looked_at_once(models: Models, scenes: Scenes) -> None:
    pictures = [picture(scenes, each) for each in range(3)]
    scorer = MatchingScorer(models.itm, goal(pictures), models.matcher)
    assert (await scorer.prepare(Patience())).times.inference_ns > 0
    assert vision_rows(models) == 3
    for texts in (scenes.english[:20], scenes.english[20:40], []):
        scores = await scorer.score(texts, None)
        assert len(scores.values) == len(texts)
    assert vision_rows(models) == 3


async def test_a_picture_that_cannot_be_read_is_named(models: Models, scenes: Scenes) -> None:
    broken = EncodedImage(b"no picture")
    scorer = MatchingScorer(models.itm, goal([picture(scenes, 0), broken]), models.matcher)
    with pytest.raises(InvalidArgument) as caught:
        await scorer.prepare(Patience())
    assert caught.value.field == "targets[1].terms[0].content.image.encoded"
    scorer = MatchingScorer(models.itm, goal([picture(scenes, 0)], [broken]), models.matcher)
    with pytest.raises(InvalidArgument) as caught:
        await scorer.score(["a star"], None)
    assert caught.value.field == "negatives[0].terms[0].content.image.encoded"


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ([Term(Text("red"))], "targets[1].terms[0].content.text"),
        ([Term(np.ones(128, np.float32))], "targets[1].terms[0].vector"),
        ([Term(EncodedImage(b""), 0.5)], "targets[1].terms[0].weight"),
        ([Term(EncodedImage(b""), -1.0)], "targets[1].terms[0].weight"),
        ([Term(EncodedImage(b"")), Term(Text("red"))], "targets[1].terms"),
    ],
)
async def test_targets_that_are_no_picture_are_refused_before_any_work(
    models: Models, terms: list[Term], field: str
) -> None:
    wanted = Goal([Target([Term(EncodedImage(b""))]), Target(terms)])
    with pytest.raises(InvalidArgument, match="must be one picture") as caught:
        MatchingScorer(models.itm, wanted, models.matcher)
    assert caught.value.field == field


async def test_many_pairs_wait_for_room_and_leave_some(scenes: Scenes) -> None:
    async with open_models(SHIPPED_REPOSITORY, queue_rows=RUN_PAIRS) as models:
        pictures = [picture(scenes, each) for each in range(4)]
        scorers = [MatchingScorer(models.itm, goal(pictures), models.matcher) for _ in range(3)]
        texts = scenes.english[: 4 * RUN_PAIRS]
        scores = await asyncio.gather(*(each.score(texts, None) for each in scorers))
        assert models.engine.refused > 0
        expected = (await matched_slowly(models, pictures, texts)).mean(1)
        for each in scores:
            np.testing.assert_allclose(each.values, expected, atol=1e-5)


async def matched_slowly(
    models: Models, pictures: Sequence[Image], texts: Sequence[str]
) -> np.ndarray:
    """As `matched`, one run after the other."""
    rows = [await matched(models, pictures[:2], [text]) for text in texts]
    others = [await matched(models, pictures[2:], [text]) for text in texts]
    return np.concatenate([np.concatenate(rows), np.concatenate(others)], axis=1)


async def test_a_scorer_has_few_runs_under_way(models: Models, scenes: Scenes) -> None:
    scorer = MatchingScorer(models.itm, goal([picture(scenes, 0)]), models.matcher)
    await scorer.prepare(Patience())
    models.engine.most_rows = 0
    await scorer.score(scenes.english, None)
    assert models.engine.most_rows <= RUNS * RUN_PAIRS


async def test_a_call_that_finds_no_room_at_its_beginning_is_refused(scenes: Scenes) -> None:
    async with open_models(SHIPPED_REPOSITORY, queue_rows=1) as models:
        scorers = [
            MatchingScorer(models.itm, goal([picture(scenes, 0)]), models.matcher)
            for _ in range(12)
        ]
        models.engine.gate.clear()
        calls = [asyncio.create_task(each.prepare(Patience())) for each in scorers]
        await models.engine.wait_for(len(calls))
        models.engine.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert ResourceExhausted in {type(each) for each in outcomes}


async def test_cancelling_starts_no_more_runs(models: Models, scenes: Scenes) -> None:
    scorer = MatchingScorer(models.itm, goal([picture(scenes, 0)]), models.matcher)
    await scorer.prepare(Patience())
    models.engine.gate.clear()
    await models.engine.wait_for(1)  # of the picture
    task = asyncio.create_task(scorer.score(scenes.english, None))
    await models.engine.wait_for(RUNS)
    task.cancel()
    await asyncio.wait([task])
    assert models.engine.given_up == RUNS
    assert models.engine.asked.locked()
