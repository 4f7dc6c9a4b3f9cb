"""Searches for text by a real gateway whose proposer writes random words."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import Scenes

from triptych import (
    Client,
    ContrastiveScorer,
    Limits,
    MatchingScorer,
    Proposal,
    Scoring,
    Seeds,
    SolvePolicy,
    SolveResult,
    SolveStep,
    SolveStop,
    Target,
    TargetAggregation,
    aio,
    errors,
)
from triptych.pool_building import build
from triptych_server.launch import GatewayProcess

POOL = "scenes"
SEEDED = Seeds(pool=POOL)
SHORT = Limits(max_steps=2, patience=9)
ENDLESS = Limits(max_steps=1000, patience=1000, max_evaluations=100_000)


@pytest.fixture(scope="module")
def client(search_gateway: str) -> Iterator[Client]:
    with Client(search_gateway, timeout=60) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def pool(client: Client, pools: Path, scenes: Scenes) -> None:
    """A pool of what is true of each scene, and more."""
    captions = dict.fromkeys(scenes.english)
    others = dict.fromkeys(text.replace("orange", "blue") for text in captions)
    build(client, pools / POOL, list(captions | others))


@pytest.fixture(scope="module")
def orange(scenes: Scenes) -> Any:
    """Which scene has something orange."""
    return next(place for place, text in enumerate(scenes.english) if "orange" in text)


def test_a_search_begins_with_the_best_of_a_pool(client: Client, scenes: Scenes) -> None:
    *steps, result = client.solve(scenes.pixels[0], seeds=SEEDED, limits=SHORT)
    assert [step.step for step in steps if isinstance(step, SolveStep)] == [0, 1, 2]
    bests = [step.best.score for step in steps if step.best]
    assert bests == sorted(bests)
    assert isinstance(result, SolveResult)
    assert (result.text, result.stop) == (scenes.english[0], SolveStop.STEPS)
    assert result.spending.ranked_seeds > 64
    assert result.spending.usage.completion_tokens > result.spending.evaluations > 0
    assert (result.scorer_models, result.finalist_model) == (("miniworld-clip",), "")


def test_equal_seeds_give_equal_texts(client: Client, scenes: Scenes) -> None:
    first, second, other = (
        client.solve(scenes.pixels[0], limits=SHORT, seed=seed).run().texts for seed in (1, 1, 2)
    )
    assert first == second != other


async def test_the_asyncio_client_finds_the_same(
    client: Client, search_gateway: str, scenes: Scenes
) -> None:
    options: Any = {"seeds": SEEDED, "limits": SHORT, "seed": 3}
    async with aio.Client(search_gateway, timeout=60) as asynchronous:
        result = await asynchronous.solve(scenes.pixels[0], **options).run()
        proposed = await asynchronous.propose(["red circle", "star"], count=4, seed=5)
    assert result.texts == client.solve(scenes.pixels[0], **options).run().texts
    assert proposed.results == client.propose(["red circle", "star"], count=4, seed=5).results


def test_the_text_of_a_vector_is_that_of_its_picture(client: Client, scenes: Scenes) -> None:
    options: Any = {"seeds": SEEDED, "limits": Limits(max_steps=0)}
    (vector,) = client.embed(scenes.pixels[3]).vectors
    picture = client.solve(scenes.pixels[3], **options).run()
    inverse = client.solve(3 * vector, **options).run()
    assert [text.text for text in inverse.texts] == [text.text for text in picture.texts]
    assert inverse.texts[0].score == pytest.approx(picture.texts[0].score, abs=1e-4)


def test_a_sum_moves_a_picture(client: Client, scenes: Scenes, orange: int) -> None:
    aim = Target.of(scenes.pixels[orange]) - "orange" + "blue"
    found = client.solve(aim, seeds=SEEDED, limits=Limits(max_steps=0)).run().text
    assert "blue" in found
    assert "orange" not in found


def test_a_negative_takes_off_the_score(client: Client, scenes: Scenes) -> None:
    options: Any = {"seeds": Seeds(texts=[scenes.english[0]]), "limits": Limits(max_steps=0)}
    alone = client.solve(scenes.pixels[0], **options).run()
    turned = client.solve(scenes.pixels[0], negatives=scenes.pixels[0], **options).run()
    assert alone.texts[0].score > 0.5
    assert turned.texts[0].score == pytest.approx(0, abs=1e-5)


def test_all_of_several_pictures_are_fitted_worse_than_most(client: Client, scenes: Scenes) -> None:
    options: Any = {"seeds": SEEDED, "limits": Limits(max_steps=0)}
    most = client.solve(scenes.pixels[:2], **options).run()
    least = TargetAggregation.MIN
    every = client.solve(scenes.pixels[:2], aggregation=least, **options).run()
    assert most.best is not None
    assert every.best is not None
    assert every.best.score < most.best.score


def test_finalists_are_ordered_by_how_well_they_match(client: Client, scenes: Scenes) -> None:
    scoring = Scoring([ContrastiveScorer(), MatchingScorer(weight=0.5)], finalists=5)
    limits = Limits(max_steps=0)
    result = client.solve(scenes.pixels[0], seeds=SEEDED, scoring=scoring, limits=limits).run()
    matching = [text.matching_score for text in result.texts]
    assert [score is not None for score in matching[:6]] == [True] * 5 + [False]
    assert matching[:5] == sorted(filter(None, matching[:5]), reverse=True)
    assert (result.text, result.finalist_model) == (scenes.english[0], "miniworld-blip2-itm")


def test_a_caption_is_a_beginning(client: Client, scenes: Scenes) -> None:
    seeds = Seeds(caption=True)
    result = client.solve(scenes.pixels[0], seeds=seeds, limits=Limits(max_steps=0)).run()
    assert [text.text for text in result.texts] == client.caption(scenes.pixels[0]).texts


def test_the_published_policy_encodes_the_pool_anew(client: Client, scenes: Scenes) -> None:
    options: Any = {"seeds": SEEDED, "limits": SHORT, "seed": 1}
    ours = client.solve(scenes.pixels[0], **options).run().spending
    policy = SolvePolicy.PUBLISHED
    published = client.solve(scenes.pixels[0], policy=policy, **options).run().spending
    assert published.encoded_texts > published.ranked_seeds + published.evaluations
    assert published.encoded_texts > ours.encoded_texts


def test_a_deadline_gives_the_best_so_far(client: Client, scenes: Scenes) -> None:
    stream = client.solve(scenes.pixels[0], seeds=SEEDED, limits=ENDLESS, timeout=10)
    assert stream.run().stop is SolveStop.DEADLINE
    assert stream.result is not None
    assert stream.result.text == scenes.english[0]


def test_a_search_that_is_left_makes_room_for_others(client: Client, scenes: Scenes) -> None:
    for _ in range(20):
        with client.solve(scenes.pixels[0], seeds=SEEDED, limits=ENDLESS) as stream:
            next(stream)
        assert stream.best is not None
    assert client.solve(scenes.pixels[0], seeds=SEEDED, limits=SHORT).run().text


def test_a_gateway_that_dies_leaves_the_best(
    start_search_gateway: Callable[[], GatewayProcess], scenes: Scenes
) -> None:
    with start_search_gateway() as process, Client(process.target) as client:
        stream = client.solve(scenes.pixels[0], seeds=SEEDED, limits=ENDLESS)
        next(stream)
        process.kill()
        with pytest.raises(errors.UnavailableError):
            stream.run()
    assert stream.best is not None
    assert (stream.best.text, stream.result) == (scenes.english[0], None)


@pytest.mark.parametrize(
    ("targets", "options", "kind", "field"),
    [
        (
            [np.zeros((8, 8, 3), np.uint8), b"no picture"],
            {},
            errors.InvalidArgumentError,
            "targets[1].terms[0].content.image.encoded",
        ),
        ([np.ones(3, np.float32)], {}, errors.InvalidArgumentError, "targets[0].terms[0].vector"),
        (["a"] * 17, {}, errors.InvalidArgumentError, "targets"),
        ("a", {"seeds": Seeds(pool="none")}, errors.NotFoundError, "seeds.pool"),
        ("a", {"proposal": Proposal("none")}, errors.NotFoundError, "proposal.model"),
        (
            "a",
            {"proposal": Proposal(temperature=3)},
            errors.InvalidArgumentError,
            "proposal.temperature",
        ),
        (
            "a",
            {"scoring": Scoring([MatchingScorer()])},
            errors.InvalidArgumentError,
            "targets[0]",
        ),
    ],
)
def test_what_is_asked_for_wrongly_is_named(
    client: Client, targets: Any, options: Any, kind: type[errors.TriptychError], field: str
) -> None:
    with pytest.raises(kind) as caught:
        client.solve(targets, **options).run()
    assert caught.value.field.startswith(field)


def test_captions_are_written_about_subjects(client: Client) -> None:
    proposed = client.propose(["red circle", "star"], count=6, seed=4)
    assert all(len(texts) == len(set(texts)) for texts in proposed)
    assert all(text.startswith("a red circle") for text in proposed[0])
    assert proposed.usage.completion_tokens > 12
    assert proposed.model == "random-proposer"


def test_a_pool_that_is_replaced_is_used_at_once(
    client: Client, pools: Path, scenes: Scenes
) -> None:
    seeds, limits = Seeds(pool="changing"), Limits(max_steps=0)
    for captions in (["a red circle", "a blue star"], scenes.english[:1]):
        build(client, pools / "changing", captions)
        result = client.solve(scenes.pixels[0], seeds=seeds, limits=limits).run()
        assert {text.text for text in result.texts} == set(captions)
    assert [name for name in os.listdir(pools) if "changing" in name] == ["changing"]
