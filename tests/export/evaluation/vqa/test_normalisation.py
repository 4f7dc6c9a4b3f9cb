"""Variants of one answer become equal, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_export.evaluation.vqa.normalisation import normalise

words = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 .,'-/?!\u2019:", max_size=40)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", "yes"),
        ("  the Red\tCAR \n", "red car"),
        ("two", "2"),
        ("none", "0"),
        ("ten dogs", "10 dogs"),
        ("eleven", "eleven"),
        ("an apple and a pear", "apple and pear"),
        ("dont know", "don't know"),
        ("couldntve", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("isn\u2019t", "isn't"),
        ("girl's", "girl's"),
        ("girls", "girls"),
        ("well", "well"),
        ("2:50 pm", "2:50 pm"),
        ("100,978", "100978"),
        ("1.5", "1.5"),
        ("1.", "1"),
        ("p.m.", "pm"),
        ("t-shirt", "t shirt"),
        ("red,blue", "red blue"),
        ("red , blue!", "red blue"),
        ("yes/no?", "yes no"),
        ("50%", "50%"),
        ("the", ""),
    ],
)
def test_examples(answer: str, expected: str) -> None:
    assert normalise(answer) == expected


@given(words)
def test_normalising_again_changes_nothing(answer: str) -> None:
    once = normalise(answer)
    assert normalise(once) == once


@given(words)
def test_case_spacing_and_an_article_do_not_matter(answer: str) -> None:
    assert normalise(f"  The   {answer.upper()} ") == normalise(answer)


@given(st.lists(words, min_size=1, max_size=4))
def test_words_are_normalised_each_by_itself(answers: list[str]) -> None:
    together = " ".join(filter(None, map(normalise, answers)))
    assert normalise(" ; ".join(answers)) == together
