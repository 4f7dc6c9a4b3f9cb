"""VQA's accuracy against its definition."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_export.evaluation.vqa.accuracy import answer_accuracy


@pytest.mark.parametrize(
    ("agreeing", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_ten_people(agreeing: int, accuracy: float) -> None:
    people = ["red"] * agreeing + ["blue"] * (10 - agreeing)
    assert answer_accuracy("red", people) == pytest.approx(accuracy)


def test_people_and_model_may_write_an_answer_differently() -> None:
    assert answer_accuracy("2.", ["Two", "the two", "2", "two!"]) == 1


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=11))
def test_it_is_the_mean_over_leaving_out_each_of_the_people(people: list[str]) -> None:
    # Not `a`, which is an article.
    parts = [min(part.count("b") / 3, 1) for part in combinations(people, len(people) - 1)]
    assert answer_accuracy("b", people) == pytest.approx(sum(parts) / len(parts))


def test_too_few_people_are_refused() -> None:
    with pytest.raises(ValueError, match="4 people"):
        answer_accuracy("red", ["red"] * 3)
