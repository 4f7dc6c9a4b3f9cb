import os
import subprocess
import sys

import numpy as np
import pytest

from triptych_export.miniworld.captions import parse
from triptych_export.miniworld.evalset import (
    AttributePairs,
    attribute_accuracy,
    attribute_pairs,
    chat_set,
    near_duplicate_set,
    question_set,
    recall_at_1,
    retrieval_set,
)
from triptych_export.miniworld.questions import QUESTION_TYPES
from triptych_export.miniworld.world import (
    CHANGES,
    Change,
    Object,
    Scene,
    change,
    possible_changes,
    same,
    sample_scene,
)


def differences(first: Scene, second: Scene) -> list[str]:
    """The names of the attributes that differ, object by object, both told in the same order."""
    names = [
        name
        for one, other in zip(first.objects, second.objects, strict=True)
        for name in ("size", "texture", "colour", "shape")
        if getattr(one, name) != getattr(other, name)
    ]
    return names + [
        name
        for name in ("background", "position", "relation")
        if getattr(first, name) != getattr(second, name)
    ]


@pytest.fixture(scope="module", params=CHANGES)
def pairs(request: pytest.FixtureRequest) -> AttributePairs:
    return attribute_pairs(request.param, count=300)


def test_a_changed_scene_differs_in_exactly_the_named_attribute(pairs: AttributePairs) -> None:
    swapped = {"swapped_colours": "colour", "swapped_shapes": "shape"}.get(pairs.key)
    expected = [swapped, swapped] if swapped else [pairs.key]
    for scene, changed in zip(pairs.scenes, pairs.changed, strict=True):
        assert differences(scene, changed) == expected


def test_a_changed_caption_is_false_of_the_scene_in_both_languages(pairs: AttributePairs) -> None:
    for language in ("en", "zh"):
        for scene, true, false in zip(
            pairs.scenes, pairs.captions(language), pairs.changed_captions(language), strict=True
        ):
            told, wrong = parse(true), parse(false)
            assert told is not None
            assert wrong is not None
            assert same(told, scene)
            assert not same(wrong, scene)


def test_a_swap_keeps_the_colours_and_shapes_of_the_picture() -> None:
    rng = np.random.default_rng(0)
    keys: tuple[Change, ...] = ("swapped_colours", "swapped_shapes")
    for key in keys:
        for _ in range(200):
            scene = sample_scene(rng, objects=2)
            if key in possible_changes(scene):
                changed = change(scene, key, rng)
                for name in ("colour", "shape"):
                    before = sorted(getattr(thing, name) for thing in scene.objects)
                    assert before == sorted(getattr(thing, name) for thing in changed.objects)


def test_a_change_that_a_scene_does_not_have_is_refused() -> None:
    rng = np.random.default_rng(0)
    alone = Scene((Object("small", "plain", "red", "star"),), "navy", position="top left")
    twins = (Object("small", "plain", "red", "star"), Object("small", "plain", "red", "heart"))
    with pytest.raises(ValueError, match="relation"):
        change(alone, "relation", rng)
    with pytest.raises(ValueError, match="swapped_colours"):
        change(Scene(twins, "navy", relation="above"), "swapped_colours", rng)


def test_objects_stay_distinct_whatever_changes() -> None:
    rng = np.random.default_rng(0)
    twins = (Object("small", "plain", "red", "star"), Object("small", "plain", "blue", "star"))
    scene = Scene(twins, "navy", relation="above")
    for _ in range(100):
        first, second = change(scene, "colour", rng).objects
        assert first.colour != second.colour


def test_the_retrieval_set_has_no_two_scenes_alike() -> None:
    drawn = retrieval_set(1000)
    assert drawn.pictures.shape == (1000, 64, 64, 3)
    assert len({scene.canonical() for scene in drawn.scenes}) == 1000
    assert sum(len(scene.objects) == 1 for scene in drawn.scenes) == 500
    assert len(set(drawn.captions("zh"))) == 1000
    relations = [scene.relation for scene in drawn.scenes if scene.relation]
    assert min(relations.count(name) for name in set(relations)) > 80


def test_questions_are_balanced_over_types_and_languages() -> None:
    asked = question_set(400)
    assert asked.pictures.shape == (400, 64, 64, 3)
    for kind in QUESTION_TYPES:
        for language in ("en", "zh"):
            of_kind = [q for q in asked.questions if (q.type, q.language) == (kind, language)]
            assert len(of_kind) == 20
    assert all(len(turns) == 1 for turns in asked.turns)
    assert {len(scene.objects) for scene in asked.scenes} == {1, 2}


def test_chats_have_turns_before_the_one_to_answer() -> None:
    chats = chat_set(60)
    assert chats.pictures.shape == (60, 64, 64, 3)
    assert {len(turns) for turns in chats.turns} == {2, 3, 4}
    assert [turns[-1] for turns in chats.turns] == chats.questions


def test_near_duplicates_differ_in_position_or_relation_alone_and_look_alike() -> None:
    drawn = near_duplicate_set(60)
    assert len({scene.canonical() for scene in drawn.scenes}) == 60
    families: dict[tuple[object, ...], list[int]] = {}
    for index, scene in enumerate(drawn.scenes):
        told = scene.canonical()
        key = (frozenset(told.objects), told.background, told.position is None)
        families.setdefault(key, []).append(index)
    assert {len(family) for family in families.values()} >= {4, 9}
    pictures = drawn.pictures.astype(np.float64)
    for family in families.values():
        others = np.abs(pictures[family[1:]] - pictures[family[0]]).mean(axis=(1, 2, 3))
        strangers = np.abs(pictures - pictures[family[0]]).mean(axis=(1, 2, 3))
        assert others.mean() < np.median(strangers)


def test_sets_are_the_same_each_time() -> None:
    one, other = question_set(40), question_set(40)
    assert one.turns == other.turns
    assert np.array_equal(one.pictures, other.pictures)
    first, again = attribute_pairs("shape", count=20), attribute_pairs("shape", count=20)
    assert first.scenes == again.scenes
    assert first.changed == again.changed
    assert np.array_equal(first.pictures, again.pictures)


def test_perfect_features_score_one_and_opposite_ones_nothing() -> None:
    features = np.eye(5, dtype=np.float32)
    assert recall_at_1(features, features) == 1
    assert recall_at_1(features, np.roll(features, 1, axis=0)) == 0
    assert attribute_accuracy(features, features, -features) == 1
    assert attribute_accuracy(features, features, features) == 0


def test_the_world_needs_neither_torch_nor_transformers() -> None:
    program = (
        "import sys, triptych_export.miniworld.evalset;"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    path = os.pathsep.join(sys.path)
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "[]"
