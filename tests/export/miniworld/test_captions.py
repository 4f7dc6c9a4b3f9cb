import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_export.miniworld.captions import caption, describe, parse
from triptych_export.miniworld.world import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Language,
    Object,
    Scene,
    same,
    sample_scene,
)

objects = st.builds(
    Object,
    size=st.sampled_from(sorted(SIZES)),
    texture=st.sampled_from(sorted(TEXTURES)),
    colour=st.sampled_from(sorted(COLOURS)),
    shape=st.sampled_from(sorted(SHAPES)),
)
single_scenes = st.builds(
    Scene,
    objects=st.tuples(objects),
    background=st.sampled_from(sorted(BACKGROUNDS)),
    position=st.sampled_from(sorted(POSITIONS)),
)
pair_scenes = st.builds(
    Scene,
    objects=st.tuples(objects, objects),
    background=st.sampled_from(sorted(BACKGROUNDS)),
    relation=st.sampled_from(sorted(RELATIONS)),
)
scenes = single_scenes | pair_scenes
languages = st.sampled_from(["en", "zh"])

STAR = Object("small", "striped", "red", "star")
HEART = Object("large", "plain", "cyan", "heart")
ALONE = Scene((STAR,), "navy", position="top center")
PAIR = Scene((STAR, HEART), "white", relation="to the left of")


@pytest.mark.parametrize(
    ("scene", "language", "text"),
    [
        (ALONE, "en", "a small striped red star in the top center on a navy background"),
        (ALONE, "zh", "一个小的条纹红色星形在上方中间,藏青色背景"),
        (
            PAIR,
            "en",
            "a small striped red star to the left of a large cyan heart on a white background",
        ),
        (PAIR, "zh", "一个小的条纹红色星形在一个大的青色心形的左边,白色背景"),
    ],
)
def test_captions_read_as_the_grammar_says(scene: Scene, language: Language, text: str) -> None:
    assert caption(scene, language) == text


@given(scene=scenes, language=languages)
def test_a_caption_parses_back_to_its_scene(scene: Scene, language: Language) -> None:
    assert parse(caption(scene, language)) == scene


@given(scene=pair_scenes, language=languages)
def test_the_inverted_caption_tells_the_same_scene(scene: Scene, language: Language) -> None:
    told = parse(caption(scene.inverted(), language))
    assert told is not None
    assert told != scene
    assert same(told, scene)
    assert told.inverted() == scene


@given(scene=scenes, other=scenes, language=languages)
def test_canonical_captions_are_equal_only_for_equal_scenes(
    scene: Scene, other: Scene, language: Language
) -> None:
    captions = (caption(scene.canonical(), language), caption(other.canonical(), language))
    assert (captions[0] == captions[1]) == same(scene, other)


@given(scene=scenes)
def test_case_spacing_and_punctuation_do_not_matter(scene: Scene) -> None:
    english = caption(scene, "en").replace(" ", "  ").upper() + " .\n"
    chinese = caption(scene, "zh").replace(",", "\uff0c ") + "\u3002"
    assert parse(english) == scene
    assert parse(chinese) == scene


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "a small red star",
        "a small red star in the top left",
        "a small plain red star in the top left on a navy background",
        "a small red star in the above on a navy background",
        "一个小的红色星形",
        "a small red star in the top left on a navy background and a cat",
    ],
)
def test_what_is_no_caption_does_not_parse(text: str) -> None:
    assert parse(text) is None


def test_a_scene_has_a_position_or_a_relation() -> None:
    with pytest.raises(ValueError, match="one object with a position"):
        Scene((STAR,), "white", relation="above")
    with pytest.raises(ValueError, match="one object with a position"):
        Scene((STAR, HEART), "white", position="top left")


def test_sampled_scenes_have_every_attribute_and_distinct_objects() -> None:
    rng = np.random.default_rng(1)
    drawn = [sample_scene(rng) for _ in range(2000)]
    pairs = [scene for scene in drawn if len(scene.objects) == 2]
    assert 900 < len(pairs) < 1100
    assert all(a.colour != b.colour or a.shape != b.shape for a, b in (s.objects for s in pairs))
    assert {scene.background for scene in drawn} == set(BACKGROUNDS)
    assert {scene.position for scene in drawn} == {None, *POSITIONS}
    assert all(scene == scene.canonical() for scene in drawn)
    every = {describe(thing) for scene in drawn for thing in scene.objects}
    assert len(every) == len(SIZES) * len(TEXTURES) * len(COLOURS) * len(SHAPES)
