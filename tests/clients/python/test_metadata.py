import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych import metadata

text = st.text(st.characters(codec="utf-8"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20
)


@settings(max_examples=50)
@given(st.dictionaries(text, values))
def test_json_objects_survive_the_wire(given_object: dict[str, Any]) -> None:
    wire = metadata.to_message(given_object, "metadata").SerializeToString()
    back = metadata.from_message(struct_pb2.Struct.FromString(wire))
    assert back == given_object
    json.dumps(back, allow_nan=False)


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_come_back_as_int(number: int) -> None:
    back = metadata.from_message(metadata.to_message({"n": number}, "metadata"))["n"]
    assert back == number
    assert isinstance(back, int)


@given(st.integers(min_value=2**53 + 1) | st.integers(max_value=-(2**53) - 1))
def test_integers_that_would_be_rounded_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=r"metadata\.n: .*2\^53"):
        metadata.to_message({"n": number}, "metadata")


def test_true_is_not_one() -> None:
    back = metadata.from_message(metadata.to_message({"a": True, "b": 1}, "metadata"))
    assert back["a"] is True
    assert back["b"] is not True


def test_numpy_numbers_and_tuples_are_taken() -> None:
    given_object = {"a": np.float32(0.5), "b": np.int64(7), "c": (1, 2)}
    back = metadata.from_message(metadata.to_message(given_object, "metadata"))
    assert back == {"a": 0.5, "b": 7, "c": [1, 2]}


def test_keys_come_back_sorted() -> None:
    message = metadata.to_message(dict.fromkeys("zebra", 1), "metadata")
    assert list(metadata.from_message(message)) == sorted("zebra")


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_the_deepest_metadata_still_parses() -> None:
    deepest = nested(metadata.MAX_DEPTH)
    wire = metadata.to_message(deepest, "metadata").SerializeToString()
    assert metadata.from_message(struct_pb2.Struct.FromString(wire)) == deepest


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ({"a": {"b": [0, float("nan")]}}, ValueError, r"metadata\.a\.b\[1\]: nan"),
        ({"a": float("inf")}, ValueError, r"metadata\.a: inf"),
        ({"a": {1, 2}}, TypeError, r"metadata\.a: set has no JSON form"),
        ({"a": b"x"}, TypeError, r"metadata\.a: bytes"),
        ({1: "a"}, TypeError, "keys are strings"),
        (["a"], TypeError, "mapping, not list"),
        (nested(metadata.MAX_DEPTH + 1), ValueError, "nested more than 30"),
    ],
)
def test_what_has_no_json_form_is_refused_by_its_path(
    value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        metadata.to_message(value, "metadata")
