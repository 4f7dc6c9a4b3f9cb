import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from triptych_export.miniworld.asking import ask
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.questions import (
    QUESTION_TYPES,
    Question,
    QuestionType,
    possible_questions,
)
from triptych_export.miniworld.world import Language, Object, Scene, sample_scene

STAR = Object("small", "striped", "red", "star")
ALONE = Scene((STAR,), "navy", position="top left")
PAIR = Scene((STAR, Object("large", "plain", "blue", "star")), "grey", relation="above")
# They differ in colour alone, so that no other attribute tells them apart.
TWINS = Scene((STAR, Object("small", "striped", "blue", "star")), "grey", relation="to the left of")


def asked(
    scene: Scene, kind: QuestionType, language: Language = "en", focus: int | None = None
) -> list[Question]:
    """Many questions, however they are typed: in small letters and without their mark."""
    rng = np.random.default_rng(0)
    questions = [ask(scene, kind, language, rng, focus) for _ in range(300)]
    return [replace(one, text=one.text.lower().rstrip("?\uff1f")) for one in questions]


@pytest.mark.parametrize("kind", QUESTION_TYPES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_question_has_one_answer_in_a_scene(kind: QuestionType, language: Language) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        scene = sample_scene(rng)
        if kind in possible_questions(scene):
            answers: dict[str, set[str]] = {}
            for question in asked(scene, kind, language):
                answers.setdefault(question.text, set()).add(question.answer)
            assert all(len(told) == 1 for told in answers.values()), caption(scene)


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("colour", {"red", "blue"}),
        ("shape", {"star"}),
        ("size", {"small", "large"}),
        ("texture", {"striped", "plain"}),
        ("count", {"zero", "one", "two"}),
        ("existence", {"yes", "no"}),
        ("background", {"grey"}),
        ("yes_no", {"yes", "no"}),
    ],
)
def test_answers_are_those_of_the_scene(kind: QuestionType, answers: set[str]) -> None:
    assert {question.answer for question in asked(PAIR, kind)} == answers


def test_where_an_object_is() -> None:
    assert {question.answer for question in asked(ALONE, "position")} == {"top left"}
    assert {question.answer for question in asked(ALONE, "position", "zh")} == {"左上"}
    assert {question.answer for question in asked(PAIR, "relation")} == {
        "above",
        "below",
        "above the blue star",
        "below the red star",
        "a small striped red star",
        "a large blue star",
        "nothing",
    }


@pytest.mark.parametrize("scene", [ALONE, PAIR, TWINS])
def test_an_attribute_that_is_asked_for_is_not_told(scene: Scene) -> None:
    told = {
        "colour": r"red|blue",
        "size": r"the (small|large)",
        "texture": r"the .*striped.* (small|plain)|texture is the .*striped",
        "shape": r"star",
    }
    kinds: tuple[QuestionType, ...] = ("colour", "size", "texture", "shape")
    for kind in kinds:
        assert not [q.text for q in asked(scene, kind) if re.search(told[kind], q.text)]


def test_objects_that_differ_in_what_is_asked_are_told_apart_by_their_place() -> None:
    for question in asked(TWINS, "colour"):
        place = re.search(r"on the (left|right)$", question.text)
        assert place is not None
        assert question.answer == {"left": "red", "right": "blue"}[place[1]]


def test_yes_and_no_are_about_as_frequent() -> None:
    for kind in ("existence", "yes_no"):
        count = Counter(question.answer for question in asked(PAIR, kind))  # type: ignore[arg-type]
        assert 100 < count["yes"] < 200


def test_a_question_that_follows_may_say_it() -> None:
    for name, answer in (("is it", "red"), ("the other object", "blue")):
        named = [q for q in asked(PAIR, "colour", focus=0) if q.text.endswith(name)]
        assert {question.answer for question in named} == {answer}


def test_people_type_capitals_and_marks_as_they_like() -> None:
    rng = np.random.default_rng(0)
    english = {ask(ALONE, "background", "en", rng).text for _ in range(100)}
    assert {"what colour is the background?", "What colour is the background"} <= english
    chinese = {ask(ALONE, "background", "zh", rng).text for _ in range(100)}
    assert chinese == {"背景是什么颜色" + mark for mark in ("", "?", "\uff1f")}


def test_a_scene_is_not_asked_what_it_does_not_have() -> None:
    with pytest.raises(ValueError, match="relation"):
        ask(ALONE, "relation", "en", np.random.default_rng(0))
    with pytest.raises(ValueError, match="position"):
        ask(PAIR, "position", "en", np.random.default_rng(0))
