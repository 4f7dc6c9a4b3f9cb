"""Which scored texts the proposer is shown."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.capabilities.mils.candidates import Candidate
from triptych_server.capabilities.mils.selection import best_of, varied


def ranked(count: int) -> list[Candidate]:
    return [Candidate(str(place), -float(place), 0) for place in range(count)]


def test_the_best_come_worst_first() -> None:
    assert [each.text for each in best_of(ranked(5), 3)] == ["2", "1", "0"]
    assert best_of(ranked(5), 0) == []


@given(st.integers(0, 20), st.integers(0, 10), st.integers(0, 100))
def test_a_varied_choice_has_the_best_and_none_twice(held: int, count: int, seed: int) -> None:
    chosen = varied(ranked(held), count, np.random.default_rng(seed))
    places = [int(each.text) for each in chosen]
    assert places == sorted(set(places), reverse=True)
    assert len(places) <= count
    if held and count:
        assert places[-1] == 0
    if held > count:
        assert len(places) == count


def test_a_varied_choice_depends_on_its_seed() -> None:
    choices = {
        tuple(each.text for each in varied(ranked(12), 6, np.random.default_rng(seed)))
        for seed in range(20)
    }
    assert len(choices) > 10


def test_few_are_varied_by_leaving_one_out() -> None:
    choices = {
        tuple(each.text for each in varied(ranked(3), 6, np.random.default_rng(seed)))
        for seed in range(20)
    }
    assert choices == {("1", "0"), ("2", "0")}
