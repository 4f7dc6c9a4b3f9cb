import numpy as np
import pytest

from triptych_export.miniworld.draw import RADII, RGB, SIDE, draw, draw_alike, draw_all, place
from triptych_export.miniworld.world import (
    COLOURS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    Object,
    Scene,
    sample_scene,
)

SCENES = [sample_scene(np.random.default_rng(seed)) for seed in range(200)]


def test_the_same_scene_and_seed_give_the_same_picture() -> None:
    scene = SCENES[0]
    first, again, other = (draw(scene, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_many_pictures_are_drawn_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    one_by_one = np.stack([draw(scene, rng) for scene in SCENES[:20]])
    assert np.array_equal(draw_all(SCENES[:20], np.random.default_rng(0)), one_by_one)


def test_a_picture_is_chosen_for_its_likeness() -> None:
    first = draw(SCENES[0], np.random.default_rng(0))
    alike = draw_alike(SCENES[0], first, 30, np.random.default_rng(1))
    others = draw_all([SCENES[0]] * 30, np.random.default_rng(1))
    distances = np.square(others.astype(int) - first).sum(axis=(1, 2, 3))
    assert np.square(alike.astype(int) - first).sum() == distances.min() < np.median(distances)


@pytest.mark.parametrize("scene", SCENES[:40])
def test_the_corner_or_edge_shows_the_background(scene: Scene) -> None:
    picture = draw(scene, np.random.default_rng(3)).astype(int)
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    distance = np.abs(corners - np.array(RGB[scene.background])).max(axis=1)
    assert distance.min() <= 8


def test_a_plain_object_shows_its_colour_at_its_centre() -> None:
    for colour in COLOURS:
        for shape in SHAPES:
            scene = Scene(
                (Object("large", "plain", colour, shape),), "grey", position="middle center"
            )
            rng = np.random.default_rng(1)
            picture = draw(scene, rng).astype(int)
            shown = np.abs(picture - np.array(RGB[colour])).max(axis=2) <= 8
            assert 150 < shown.sum() < 800


def test_stripes_darken_two_rows_of_five() -> None:
    scene = Scene(
        (Object("large", "striped", "cyan", "square"),), "black", position="middle center"
    )
    column = draw(scene, np.random.default_rng(2))[:, SIDE // 2].astype(int).max(axis=1)
    inside = column[24:34]
    assert (inside > 180).sum() == 6
    assert ((inside > 50) & (inside < 100)).sum() == 4


def test_a_position_is_the_third_that_holds_the_centre() -> None:
    rng = np.random.default_rng(4)
    for scene in (scene for scene in SCENES if scene.position is not None):
        radius = max(RADII[scene.objects[0].size])
        ((x, y),) = place(scene, [radius], rng)
        cell = int(3 * y / SIDE) * 3 + int(3 * x / SIDE)
        assert tuple(POSITIONS)[cell] == scene.position
        assert radius <= x <= SIDE - radius
        assert radius <= y <= SIDE - radius


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("radii", [(9.0, 9.0), (9.0, 16.0), (16.0, 16.0)])
def test_a_relation_holds_by_a_clear_margin(relation: str, radii: tuple[float, float]) -> None:
    rng = np.random.default_rng(5)
    things = (Object("small", "plain", "red", "star"), Object("large", "plain", "blue", "heart"))
    scene = Scene(things, "white", relation=relation)
    for _ in range(300):
        (x1, y1), (x2, y2) = place(scene, radii, rng)
        right, down = x2 - x1, y2 - y1
        ahead = {
            "to the left of": right,
            "to the right of": -right,
            "above": down,
            "below": -down,
        }[relation]
        aside = abs(down) if relation.startswith("to the") else abs(right)
        assert ahead > 8
        assert ahead > 1.3 * aside
