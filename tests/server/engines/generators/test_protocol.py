"""The ranges of sampling parameters."""

from math import inf, nan

import pytest

from triptych_server.engines.generators.protocol import Sampling


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"min_tokens": -1},
        {"min_tokens": 11},
        {"temperature": -0.1},
        {"temperature": nan},
        {"temperature": inf},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"repetition_penalty": 0},
        {"repetition_penalty": nan},
        {"n": 0},
        {"n": 3, "beams": 2},
        {"stop": ("a", "")},
        {"seed": -1},
        {"beams": 0},
        {"beams": 2, "temperature": 1.0},
        {"length_penalty": inf},
    ],
)
def test_numbers_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is out of range"):
        Sampling(**({"max_tokens": 10} | wrong))
