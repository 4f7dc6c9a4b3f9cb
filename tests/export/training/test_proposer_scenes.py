import numpy as np
import pytest

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.measures import attribute_f1
from triptych_export.miniworld.world import sample_scene
from triptych_export.training.proposer_scenes import (
    KEYS,
    PAIR,
    Rows,
    agreement,
    change_once,
    keys_of,
    row_of,
    rows_of,
    sample_rows,
    scene_of,
    valid,
)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return sample_rows((20, 25), np.random.default_rng(0))


def f1(told: Rows, true: Rows) -> float:
    return attribute_f1([caption(scene_of(told))], [scene_of(true)])


def test_scenes_by_lot_are_scenes_half_of_them_pairs(rows: Rows) -> None:
    assert valid(rows).all()
    assert 0.4 < rows[..., PAIR].mean() < 0.6


def test_a_number_tells_the_scene(rows: Rows) -> None:
    keys = keys_of(rows)
    assert (rows_of(keys) == rows).all()
    assert keys.min() >= 0
    assert keys.max() < KEYS
    assert (keys_of(rows_of(np.array([0, KEYS - 1]))) == [0, KEYS - 1]).all()


def test_a_row_is_the_scene_told_either_way() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        scene = sample_scene(rng)
        assert scene_of(row_of(scene)) == scene
        assert scene_of(row_of(scene.inverted())) == scene


def test_agreement_is_the_attribute_f1_of_one_caption(rows: Rows) -> None:
    changed = change_once(change_once(rows, np.random.default_rng(2)), np.random.default_rng(3))
    for told, true in ((changed, rows), (rows[:, 1:], rows[:, :-1])):
        measured = agreement(told, true)
        expected = [
            [f1(*pair) for pair in zip(*line, strict=True)] for line in zip(told, true, strict=True)
        ]
        assert measured == pytest.approx(np.array(expected))


def test_a_change_leaves_most_of_a_scene_and_makes_another(rows: Rows) -> None:
    changed = change_once(rows, np.random.default_rng(4))
    assert valid(changed).all()
    assert (rows_of(keys_of(changed)) == changed).all()
    assert (keys_of(changed) != keys_of(rows)).mean() > 0.95
    assert agreement(changed, rows).mean() > 0.8
    assert (changed[..., PAIR] != rows[..., PAIR]).any()
