from dataclasses import replace

import pytest

from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.measures import (
    Items,
    answer_accuracy,
    attribute_f1,
    caption_items,
    exact,
    is_answer,
)
from triptych_export.miniworld.world import Object, Scene

STAR = Object("small", "striped", "red", "star")
CIRCLE = Object("large", "plain", "blue", "circle")
ALONE = Scene((STAR,), "navy", position="top left")
PAIR = Scene((STAR, CIRCLE), "grey", relation="above")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_true_caption_has_all_items_whichever_object_comes_first(language: str) -> None:
    for scene in (ALONE, PAIR):
        for told in (scene, scene.inverted()):
            items = caption_items(caption(told, language), scene)
            assert items.told == items.true == items.right == 4 * len(scene.objects) + 2


def test_each_wrong_attribute_costs_one_item() -> None:
    wrong = replace(PAIR, objects=(replace(STAR, colour="pink", size="large"), CIRCLE))
    assert caption_items(caption(wrong), PAIR) == Items(told=10, true=10, right=8)
    assert caption_items(caption(replace(PAIR, relation="below")), PAIR).right == 9
    assert caption_items(caption(replace(ALONE, position="bottom right")), ALONE).right == 5


def test_objects_are_matched_before_the_relation() -> None:
    turned = replace(PAIR, objects=(CIRCLE, STAR))
    assert caption_items(caption(turned), PAIR).right == 9


def test_a_missing_or_a_made_up_object_costs_its_items() -> None:
    second = Scene((CIRCLE,), "grey", position="top left")
    assert caption_items(caption(second), PAIR) == Items(told=6, true=10, right=5)
    assert caption_items(caption(PAIR), second) == Items(told=10, true=6, right=5)


def test_what_does_not_parse_tells_nothing() -> None:
    assert caption_items("a red star", ALONE) == Items(told=0, true=6, right=0)


def test_figures_over_several_captions() -> None:
    texts = [caption(ALONE), "nonsense"]
    assert attribute_f1(texts, [ALONE, ALONE]) == pytest.approx(12 / 18)
    assert exact(texts, [ALONE, ALONE]) == 0.5


@pytest.mark.parametrize("given", ["red", " Red.", "red\n"])
def test_an_answer_may_differ_in_case_spacing_and_punctuation(given: str) -> None:
    assert is_answer(given, "red")


def test_answers_that_say_more_or_less_are_wrong() -> None:
    assert not is_answer("to the left of it", "to the left")
    assert not is_answer("", "red")
    assert is_answer("左边\u3002", "左边")
    assert answer_accuracy(["red", "no"], ["red", "yes"]) == 0.5
