import numpy as np
import pytest

from triptych_export.miniworld.neighbours import Step, combined, neighbours, steps, take
from triptych_export.miniworld.world import (
    Object,
    Scene,
    change,
    possible_changes,
    same,
    sample_scene,
)

STAR = Object("small", "striped", "red", "star")
ALONE = Scene((STAR,), "navy", position="top left")
PAIR = Scene((STAR, Object("large", "plain", "blue", "star")), "grey", relation="above")


def differences(first: Scene, second: Scene) -> int:
    """How many attributes differ, both told in the same order."""
    things = zip(first.objects, second.objects, strict=True)
    of_things = sum(
        getattr(one, name) != getattr(other, name)
        for one, other in things
        for name in ("size", "texture", "colour", "shape")
    )
    names = ("background", "position", "relation")
    return of_things + sum(getattr(first, name) != getattr(second, name) for name in names)


def test_one_object_has_every_other_value_of_every_attribute() -> None:
    assert len(neighbours(ALONE)) == 1 + 1 + 7 + 5 + 4 + 8
    assert {differences(ALONE, near) for near in neighbours(ALONE)} == {1}


def test_a_pair_never_has_one_colour_and_shape_twice() -> None:
    near = neighbours(PAIR)
    assert len(near) == 2 * (1 + 1 + 6 + 5) + 4 + 3  # the other star's colour is not taken
    assert all(len({(one.colour, one.shape) for one in scene.objects}) == 2 for scene in near)


@pytest.mark.parametrize("scene", [ALONE, PAIR])
def test_no_scene_comes_twice_nor_the_original(scene: Scene) -> None:
    found = [scene, *neighbours(scene, 2)]
    assert len({one.canonical() for one in found}) == len(found)
    assert [differences(scene, one) for one in found] == sorted(
        differences(scene, one) for one in found
    )
    assert differences(scene, found[-1]) == 2


def test_whatever_is_changed_by_lot_is_within_two_changes() -> None:
    rng = np.random.default_rng(0)
    for scene in (sample_scene(rng) for _ in range(20)):
        near = neighbours(scene, 2)
        for key in possible_changes(scene):
            changed = change(scene, key, rng)
            assert any(same(changed, one) for one in near)


def test_swapped_colours_are_reached_through_what_is_no_scene() -> None:
    swap = [Step("colour", "blue", 0), Step("colour", "red", 1)]
    assert [take(PAIR, [step]) for step in swap] == [None, None]
    swapped = take(PAIR, swap)
    assert swapped is not None
    assert [thing.colour for thing in swapped.objects] == ["blue", "red"]


def test_two_values_of_one_attribute_are_not_taken_together() -> None:
    chosen = [
        Step("position", "top right"),
        Step("position", "top center"),
        Step("size", "large", 0),
    ]
    together = [step for step, _ in combined(ALONE, chosen, most=3, least=2)]
    assert together == [(chosen[0], chosen[2]), (chosen[1], chosen[2])]
    assert set(chosen) <= set(steps(ALONE))
