"""When two texts are one."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from triptych_server.capabilities.mils.texts import distinct, normalised


def test_case_white_space_and_composition_make_no_difference() -> None:
    assert normalised("  A\tred\n\nSTAR ") == "a red star"
    assert normalised("Cafe\u0301") == normalised("caf\u00e9")
    assert normalised("stra\u00dfe") == normalised("STRASSE")


def test_other_words_make_a_difference() -> None:
    assert normalised("a red star") != normalised("a red, star")


def test_the_first_of_equal_texts_stays_in_its_place() -> None:
    words = ["b", "a", "B ", "c", "A"]
    assert distinct(words, str) == {"b": "b", "a": "a", "c": "c"}
    assert list(distinct(range(5), lambda place: words[place]).values()) == [0, 1, 3]
    assert list(distinct(words, str)) == ["b", "a", "c"]


@given(st.text())
def test_a_text_equals_its_compositions(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert normalised(composed) == normalised(decomposed) == normalised(text)


@given(st.text())
def test_a_normalised_text_stays(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
