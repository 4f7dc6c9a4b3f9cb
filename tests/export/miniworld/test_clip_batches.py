import numpy as np
import pytest

from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.world import same
from triptych_export.training.clip_batches import Batch, sample_batch

SIZE = 48


@pytest.fixture(scope="module")
def batch() -> Batch:
    return sample_batch(SIZE, negatives=2, phrases=16, rng=np.random.default_rng(0))


def test_a_batch_pairs_pictures_with_captions_in_both_languages(batch: Batch) -> None:
    assert batch.pictures.shape == (SIZE, 64, 64, 3)
    english, chinese = (batch.captions[language].texts for language in ("en", "zh"))
    assert len(english) == len(chinese) == 3 * SIZE
    for one, other in zip(english[:SIZE], chinese[:SIZE], strict=True):
        first, second = parse(one), parse(other)
        assert first is not None
        assert second is not None
        assert same(first, second)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_only_texts_that_are_true_elsewhere_are_left_out(batch: Batch, language: str) -> None:
    captions = batch.captions[language]
    told = [parse(text) for text in captions.texts]
    for row in range(SIZE):
        for column, other in enumerate(told):
            true = same(told[row], other) and row != column
            assert captions.clashes[row, column] == true


def test_every_phrase_is_true_of_its_own_picture(batch: Batch) -> None:
    phrases = batch.phrases
    assert phrases.matches[np.arange(16), phrases.owners].all()
    assert len(set(phrases.owners)) == 16


def test_the_same_seed_gives_the_same_batch(batch: Batch) -> None:
    again = sample_batch(SIZE, negatives=2, phrases=16, rng=np.random.default_rng(0))
    assert np.array_equal(again.pictures, batch.pictures)
    assert again.captions["zh"].texts == batch.captions["zh"].texts
    assert again.phrases.texts == batch.phrases.texts
