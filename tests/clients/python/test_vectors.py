import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triptych import vectors
from triptych.v1 import media_pb2


@given(hnp.arrays(np.float32, st.integers(1, 300)))
def test_vectors_survive_the_wire_bit_by_bit(array: np.ndarray) -> None:
    wire = vectors.to_message(array, "v").SerializeToString()
    back = vectors.from_message(media_pb2.Vector.FromString(wire))
    assert back.dtype == np.float32
    assert back.tobytes() == array.tobytes()


@given(
    st.one_of(
        hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6)),
        hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(-(2**24), 2**24)),
        st.lists(st.floats(-1e6, 1e6), min_size=1),
    )
)
def test_other_real_numbers_are_sent_as_float32(values: object) -> None:
    back = vectors.from_message(vectors.to_message(values, "v"))
    np.testing.assert_array_equal(back, np.asarray(values).astype(np.float32))


def test_a_vector_of_any_layout_is_packed_in_order() -> None:
    strided = np.arange(10, dtype=">f4")[::-2]
    assert vectors.from_message(vectors.to_message(strided, "v")).tolist() == [9, 7, 5, 3, 1]


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.zeros((2, 2)), ValueError, r"query: .*\[2, 2\]"),
        (np.float32(1), ValueError, r"query: .*\[\]"),
        ([], ValueError, r"query: .*\[0\]"),
        (["a"], TypeError, "query: .*real numbers"),
        ([1j], TypeError, "query: .*real numbers"),
        ([True], TypeError, "query: .*bool"),
    ],
)
def test_what_is_no_vector_is_refused(value: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        vectors.to_message(value, "query")


def test_a_vector_that_contradicts_its_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="dimension 3"):
        vectors.from_message(media_pb2.Vector(data=b"\0" * 8, dimension=3))
