"""Vectors that callers give, and sums of vectors."""

import numpy as np
import pytest
import vectors as reference
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.capabilities.vectors import LEAST_NORM, unit, unit_sum
from triptych_server.errors import InvalidArgument

LEAST, MOST = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
FIRST, SECOND, THIRD = reference.random_vectors(3, 8)


def made_unit(vector: np.ndarray) -> np.ndarray:
    return unit(vector, "vector", dimension=len(vector), owner="the model 'clip'")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1).filter(any))
def test_any_vector_but_zero_becomes_one_of_unit_length(numbers: list[float]) -> None:
    made = made_unit(np.array(numbers, np.float32))
    assert made.dtype == np.float32
    assert np.linalg.norm(made.astype(np.float64)) == pytest.approx(1, abs=1e-6)
    largest = int(np.abs(numbers).argmax())
    assert np.sign(made[largest]) == np.sign(numbers[largest])


@pytest.mark.parametrize("length", [LEAST, 1e-20, 1.0, MOST])
def test_its_length_does_not_matter(length: float) -> None:
    vector = np.array([0, length, -length], np.float32)
    np.testing.assert_allclose(made_unit(vector), [0, 0.5**0.5, -(0.5**0.5)], atol=1e-7)


def test_a_vector_of_zeros_has_no_direction() -> None:
    with pytest.raises(InvalidArgument, match="no direction") as caught:
        made_unit(np.zeros(3, np.float32))
    assert caught.value.field == "vector"


def test_a_vector_of_another_dimension_is_refused_by_its_owner() -> None:
    with pytest.raises(
        InvalidArgument, match="the model 'clip' has vectors of 8 numbers, not 3"
    ) as e:
        unit(np.ones(3, np.float32), "vector", dimension=8, owner="the model 'clip'")
    assert (e.value.field, e.value.reason) == ("vector.dimension", "DIMENSION_MISMATCH")


@pytest.mark.parametrize("scale", [1e-45, 1.0, 1e38])
def test_weights_count_beside_each_other_alone(scale: float) -> None:
    found = unit_sum([FIRST, SECOND, THIRD], [3 * scale, -2 * scale, scale], "terms")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference.unit(3 * FIRST - 2 * SECOND + THIRD), atol=1e-6)


@pytest.mark.parametrize("left", [0.0, LEAST_NORM / 2])
def test_what_cancels_out_is_refused(left: float) -> None:
    almost = reference.unit(FIRST + left * SECOND)
    with pytest.raises(InvalidArgument, match="cancel out") as caught:
        unit_sum([almost, FIRST], [1.0, -1.0], "terms")
    assert caught.value.field == "terms"
