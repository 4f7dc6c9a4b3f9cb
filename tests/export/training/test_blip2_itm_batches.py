import numpy as np
import pytest

from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.world import same
from triptych_export.training.blip2_itm_batches import Pairs, sample_pairs


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return sample_pairs(12, np.random.default_rng(0))


def test_the_first_texts_are_the_pictures_captions(pairs: Pairs) -> None:
    count = len(pairs.pictures)
    assert pairs.pictures.shape == (36, 64, 64, 3)
    assert pairs.owners[:count].tolist() == list(range(count))
    assert pairs.true[:count].all()


def test_a_caption_is_true_of_the_picture_that_it_is_said_to_be_true_of(pairs: Pairs) -> None:
    scenes = [parse(text) for text in pairs.texts]
    told = 0
    for owner, scene, true in zip(pairs.owners, scenes, pairs.true, strict=True):
        if scene is not None:
            own = scenes[owner]
            assert own is not None
            assert same(own, scene) == true
            told += 1
    assert told > 150


def test_pictures_with_one_caption_are_no_negatives_of_each_other(pairs: Pairs) -> None:
    scenes = [parse(text) for text in pairs.texts[: len(pairs.pictures)]]
    expected = [
        [one is not None and other is not None and same(one, other) for other in scenes]
        for one in scenes
    ]
    assert pairs.same.tolist() == expected


def test_true_and_false_are_about_as_frequent(pairs: Pairs) -> None:
    assert 0.35 < pairs.true.mean() < 0.5


def test_phrases_come_beside_captions(pairs: Pairs) -> None:
    phrases = [index for index, text in enumerate(pairs.texts) if parse(text) is None]
    assert phrases
    assert {bool(pairs.true[index]) for index in phrases} == {True, False}
