import pytest

from triptych_export.evaluation.mils.outcomes import Curve, Outcome, curve_of, figures_of
from triptych_export.miniworld.captions import caption
from triptych_export.miniworld.evalset import retrieval_set

SCENES = retrieval_set(2).scenes


def test_figures_are_means_over_the_scenes() -> None:
    outcomes = [
        Outcome(caption(SCENES[0]), ((0, 0.5), (40, 0.75)), steps=1, encoded_texts=60),
        Outcome("no caption", ((0, 0.25), (20, 0.5)), steps=3, encoded_texts=20),
    ]
    figures = figures_of(outcomes, SCENES)
    # Of 6 and 10 items the first 6 are right, and only these are told.
    assert figures.attribute_f1 == pytest.approx(2 * 6 / (6 + 16))
    assert figures.exact == 0.5
    assert (figures.evaluations, figures.steps, figures.encoded_texts) == (30, 2, 40)


def test_a_curve_has_the_best_until_then_and_keeps_what_ended() -> None:
    outcomes = [
        Outcome("", ((0, 0.5), (60, 0.75), (120, 1.0))),
        Outcome("", ((0, 0.25), (40, 0.5))),
    ]
    assert curve_of(outcomes) == Curve((0, 50, 100, 150), (0.375, 0.5, 0.625, 0.75))


def test_a_search_without_steps_has_one_point() -> None:
    assert curve_of([Outcome("", ((0, 0.5),))]) == Curve((0,), (0.5,))
    assert curve_of([]) == Curve((0,), (0.0,))
