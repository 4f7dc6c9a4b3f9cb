"""Texts that say the same as others, by their vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import random_vectors

from triptych_server.capabilities.mils import neighbours
from triptych_server.capabilities.mils.neighbours import Neighbours
from triptych_server.capabilities.mils.scorer import Vectors


def one_by_one(held: Vectors, rows: Vectors, cosine: float) -> list[int]:
    """What is admitted, by comparing every pair."""
    known, admitted = list(held), []
    for number, row in enumerate(rows):
        if not any(float(row @ other) > cosine for other in known):
            known.append(row)
            admitted.append(number)
    return admitted


@pytest.mark.parametrize("cosine", [0.5, 0.8, 0.95])
@given(held=st.integers(0, 40), count=st.integers(0, 40), seed=st.integers(0, 1000))
def test_rows_are_admitted_as_if_compared_one_by_one(
    cosine: float, held: int, count: int, seed: int
) -> None:
    vectors = random_vectors(held + count, 3, seed)
    known = Neighbours(cosine)
    known.hold(vectors[:held])
    rows = vectors[held:]
    assert known.admit(rows) == one_by_one(vectors[:held], rows, cosine)


def test_blocks_and_slices_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    monkeypatch.setattr(neighbours, "SLICE", 5)
    vectors = random_vectors(200, 4)
    known = Neighbours(0.8)
    known.hold(vectors[:50])
    first, second = known.admit(vectors[50:120]), known.admit(vectors[120:])
    admitted = [*first, *(70 + row for row in second)]
    assert 0 < len(admitted) < 150
    assert admitted == one_by_one(vectors[:50], vectors[50:], 0.8)


def test_what_is_held_is_not_admitted_again() -> None:
    vectors = random_vectors(300, 64)
    known = Neighbours(0.95)
    assert known.admit(vectors) == list(range(300))
    assert known.admit(vectors) == []


def test_a_cosine_of_1_tells_nothing_and_takes_nothing() -> None:
    vectors = np.tile(random_vectors(1, 8), (30, 1))
    known = Neighbours(1)
    known.hold(vectors)
    assert known.admit(vectors) == list(range(30))
    assert known.work(vectors) == 0
