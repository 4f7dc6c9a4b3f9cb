"""What texts are compared with, on the shipped model."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from calls import png
from mils_models import Models, open_models
from scenes import Scenes
from vectors import unit

from triptych_server.capabilities.concurrency import Patience
from triptych_server.capabilities.mils.targets import (
    Aggregation,
    Directions,
    Goal,
    Target,
    Term,
    directions,
    total,
)
from triptych_server.errors import InvalidArgument, ResourceExhausted
from triptych_server.media.content import Content, EncodedImage, RawImage, Text
from triptych_server.settings import SHIPPED_REPOSITORY

RED, BLUE = Text("red"), Text("blue")


def picture(scenes: Scenes, number: int) -> RawImage:
    pixels = scenes.pixels[number]
    return RawImage(*pixels.shape[:2], pixels.tobytes())


def target(*sources: Content | np.ndarray) -> Target:
    return Target([Term(source) for source in sources])


async def embedded(models: Models, content: Content) -> np.ndarray:
    return (await models.embedder.embed(models.clip, content)).vector


async def directed(
    models: Models, *targets: Target, negatives: Sequence[Target] = ()
) -> Directions:
    return await directions(models.embedder, models.clip, Goal(targets, negatives), Patience())


async def refused(
    models: Models, *targets: Target, negatives: Sequence[Target] = ()
) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        await directed(models, *targets, negatives=negatives)
    return caught.value


async def test_a_picture_is_compared_with_by_its_vector(models: Models, scenes: Scenes) -> None:
    raw, file = picture(scenes, 0), EncodedImage(png(scenes.pixels[0]))
    found = await directed(models, target(raw), target(file))
    expected = await embedded(models, raw)
    np.testing.assert_allclose(found.targets, [expected, expected], atol=1e-6)
    assert found.targets.dtype == np.float32
    assert found.negatives.shape == (0, models.clip.dimension)
    assert found.cost.encoded_texts == 0
    assert found.cost.times.inference_ns > 0


async def test_a_picture_less_red_and_with_blue(models: Models, scenes: Scenes) -> None:
    terms = [Term(picture(scenes, 0)), Term(RED, -1.0), Term(BLUE, 0.5)]
    found = await directed(models, Target(terms))
    vectors = [await embedded(models, each.source) for each in terms]
    np.testing.assert_allclose(
        found.targets[0], unit(vectors[0] - vectors[1] + 0.5 * vectors[2]), atol=1e-6
    )
    assert found.cost.encoded_texts == 2


async def test_vectors_need_not_be_of_unit_length(models: Models) -> None:
    own = np.random.default_rng(3).standard_normal(models.clip.dimension).astype(np.float32)
    scales = [1, 1e-30, 1e30]
    found = await directed(models, *(target((own * scale).astype(np.float32)) for scale in scales))
    np.testing.assert_allclose(found.targets, [unit(own)] * 3, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e38])
async def test_weights_count_beside_each_other_alone(models: Models, scale: float) -> None:
    found = await directed(models, Target([Term(RED, 3 * scale), Term(BLUE, -scale)]))
    red, blue = await embedded(models, RED), await embedded(models, BLUE)
    np.testing.assert_allclose(found.targets[0], unit(3 * red - blue), atol=1e-6)


async def test_negatives_are_embedded_apart(models: Models) -> None:
    found = await directed(models, target(RED), negatives=[target(BLUE), target(RED)])
    np.testing.assert_array_equal(found.negatives[1], found.targets[0])
    np.testing.assert_allclose(found.negatives[0], await embedded(models, BLUE), atol=1e-6)
    assert found.cost.encoded_texts == 3


async def test_scores_are_those_of_numpy(models: Models, scenes: Scenes) -> None:
    pictures = [target(picture(scenes, each)) for each in range(4)]
    goal = Goal(pictures[:3], pictures[3:], Aggregation.MIN)
    found = await directions(models.embedder, models.clip, goal, Patience())
    texts = np.stack([await embedded(models, Text(text)) for text in scenes.english[:6]])
    fits = texts @ np.stack([await embedded(models, picture(scenes, n)) for n in range(4)]).T
    expected = fits[:, :3].min(1) - np.maximum(fits[:, 3], 0)
    np.testing.assert_allclose(found.score(texts), expected, atol=1e-6)


def test_what_counts_is_the_mean_or_the_least() -> None:
    fits, none = np.array([[0.1, 0.5], [0.4, 0.3]]), np.zeros((2, 0))
    np.testing.assert_allclose(total(fits, none, Aggregation.MEAN), [0.3, 0.35])
    np.testing.assert_allclose(total(fits, none, Aggregation.MIN), [0.1, 0.3])


def test_the_largest_fit_of_a_negative_is_taken_off_if_it_is_above_0() -> None:
    fits, misfits = np.full((3, 1), 0.5), np.array([[0.1, 0.2], [-0.1, 0.3], [-0.1, -0.2]])
    np.testing.assert_allclose(total(fits, misfits, Aggregation.MEAN), [0.3, 0.2, 0.5])


async def test_a_picture_that_cannot_be_read_is_named(models: Models) -> None:
    broken = EncodedImage(b"no picture")
    error = await refused(models, target(RED), target(BLUE, broken))
    assert error.field == "targets[1].terms[1].content.image.encoded"
    assert error.reason == "IMAGE_UNREADABLE"
    error = await refused(models, target(RED), negatives=[target(broken)])
    assert error.field == "negatives[0].terms[0].content.image.encoded"


async def test_a_vector_of_another_dimension_is_named(models: Models) -> None:
    error = await refused(models, target(RED, np.ones(7, np.float32)))
    assert (error.field, error.reason) == (
        "targets[0].terms[1].vector.dimension",
        "DIMENSION_MISMATCH",
    )
    assert str(models.clip.dimension) in error.message


async def test_a_vector_of_zeros_is_named(models: Models) -> None:
    error = await refused(models, target(np.zeros(models.clip.dimension, np.float32)))
    assert error.field == "targets[0].terms[0].vector"


async def test_a_sum_of_nothing_is_refused(models: Models) -> None:
    nothing = Target([Term(RED), Term(BLUE), Term(RED, -1.0), Term(BLUE, -1.0)])
    assert (await refused(models, target(RED), nothing)).field == "targets[1].terms"


async def test_a_call_that_finds_no_room_at_its_beginning_is_refused() -> None:
    async with open_models(SHIPPED_REPOSITORY, queue_rows=1) as models:
        outcomes = await asyncio.gather(
            *(directed(models, target(RED)) for _ in range(12)), return_exceptions=True
        )
        assert {type(each) for each in outcomes} == {Directions, ResourceExhausted}
        # With one term in, the others of the call wait for it.
        found = await directed(models, *[target(BLUE)] * 12)
        assert found.targets.shape == (12, models.clip.dimension)
