"""The filter language: what parses, to what, and what the errors say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.engines.collections.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    And,
    Comparison,
    Filter,
    FilterSyntaxError,
    Not,
    Operator,
    Or,
    Present,
    parse,
    unparse,
)


def equal(name: str, value: str | int | float | bool | None) -> Comparison:
    return Comparison((name,), Operator.EQUAL, value)


A, B, C = equal("a", 1), equal("b", 2), equal("c", 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", A),
        ("a=1", A),
        ("  a\n=\t1 ", A),
        ('colour != "red"', Comparison(("colour",), Operator.NOT_EQUAL, "red")),
        ("size<3", Comparison(("size",), Operator.LESS, 3)),
        ("size <= 3", Comparison(("size",), Operator.LESS_OR_EQUAL, 3)),
        ('day > "2024-01"', Comparison(("day",), Operator.GREATER, "2024-01")),
        ("size >= -1.5e3", Comparison(("size",), Operator.GREATER_OR_EQUAL, -1500.0)),
        ('tags:"draft"', Comparison(("tags",), Operator.HAS, "draft")),
        ("tags: 3", Comparison(("tags",), Operator.HAS, 3)),
        ("tags:null", Comparison(("tags",), Operator.HAS, None)),
        ("tags:*", Present(("tags",))),
        ('tags:"*"', Comparison(("tags",), Operator.HAS, "*")),
        ("camera.lens = true", Comparison(("camera", "lens"), Operator.EQUAL, True)),
        ('"a.b"."".c = null', Comparison(("a.b", "", "c"), Operator.EQUAL, None)),
        ('颜色 = "红"', equal("颜色", "红")),
        ("ANDROID = 1", equal("ANDROID", 1)),
        ('"NOT" = 1', equal("NOT", 1)),
        (r'a = "q\"\\\n\u00e9\ud83d\ude00"', equal("a", 'q"\\\né😀')),
        ('a = "line\nbreak"', equal("a", "line\nbreak")),
        ("a = 9223372036854775807", equal("a", 2**63 - 1)),
        ("a = 9223372036854775808", equal("a", float(2**63))),
        ("NOT a = 1", Not(A)),
        ("-a=1", Not(A)),
        ("-a=-1", Not(equal("a", -1))),
        ("-(a=1)", Not(A)),
        ("NOT (NOT a = 1)", Not(Not(A))),
        ("((a = 1))", A),
    ],
)
def test_what_a_filter_means(text: str, expected: Filter) -> None:
    parsed = parse(text)
    assert parsed == expected
    assert unparse(parsed) == unparse(expected)  # 1, 1.0 and true are equal to Python


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1 AND b = 2 OR c = 3", And((A, Or((B, C))))),
        ("a = 1 OR b = 2 AND c = 3", And((Or((A, B)), C))),
        ("(a = 1 AND b = 2) OR c = 3", Or((And((A, B)), C))),
        ("NOT a = 1 OR b = 2", Or((Not(A), B))),
        ("NOT (a = 1 OR b = 2) AND c = 3", And((Not(Or((A, B))), C))),
        ("a = 1 AND b = 2 AND c = 3", And((A, B, C))),
    ],
)
def test_not_binds_closest_then_or_then_and(text: str, expected: Filter) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "expected a comparison at character 0, found the end"),
        ("size >= )", 8, 'expected a number or a string at character 8, found ")"'),
        ("a = )", 4, 'expected a value at character 4, found ")"'),
        ("a = ", 4, "expected a value at character 4, found the end"),
        ("a", 1, "expected an operator (= != < <= > >= :) at character 1, found the end"),
        ("a ~ 1", 2, 'expected an operator (= != < <= > >= :) at character 2, found "~"'),
        ("a. = 1", 3, 'expected a field name at character 3, found "="'),
        ("a = 1 b = 2", 6, 'expected AND, OR or the end at character 6, found "b"'),
        ("a = 1)", 5, 'expected AND, OR or the end at character 5, found ")"'),
        ("(a = 1", 6, 'expected AND, OR or ")" at character 6, found the end'),
        ("a = 1 AND", 9, "expected a comparison at character 9, found the end"),
        ("NOT NOT a = 1", 4, 'expected a comparison at character 4, found "NOT"'),
        ("true = 1", 0, 'expected a comparison at character 0, found "true"'),
        (
            "a = 1 and b = 2",
            6,
            'expected AND, OR or the end at character 6, found "and"; AND stands in upper case',
        ),
        (
            "colour = red",
            9,
            'expected a value at character 9, found "red"; strings stand in double quotes',
        ),
        (
            "colour = 'red'",
            9,
            'expected a value at character 9, found "\'"; strings stand in double quotes',
        ),
        ("a < true", 4, 'expected a number or a string at character 4, found "true"'),
        ('a = "red', 4, "the string at character 4 has no end"),
        (r'a = "r\ed"', 6, "unknown escape at character 6"),
        (r'a = "\u12"', 5, "unknown escape at character 5"),
        (r'a = "\ud800"', 4, "a string with half a surrogate pair at character 4"),
        ("a = 1e999", 4, "a number out of range at character 4"),
        ("a = 01", 5, 'expected AND, OR or the end at character 5, found "1"'),
        ("a = 1 \0", 6, 'expected AND, OR or the end at character 6, found "\0"'),
    ],
)
def test_an_error_points_at_the_character(text: str, position: int, message: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)
    assert str(caught.value) == message
    assert caught.value.position == position


def test_depth_is_bounded_by_the_language_and_not_by_the_stack() -> None:
    assert parse("(" * MAX_DEPTH + "a = 1" + ")" * MAX_DEPTH) == A
    for text in ("(" * 4096, "(" * 2000 + "a = 1" + ")" * 2000, "-(" * 2000):
        with pytest.raises(FilterSyntaxError, match="parentheses inside each other"):
            parse(text)


def test_the_number_of_comparisons_is_bounded() -> None:
    assert parse(" OR ".join(["a = 1"] * MAX_COMPARISONS)) == Or((A,) * MAX_COMPARISONS)
    with pytest.raises(FilterSyntaxError, match=f"more than {MAX_COMPARISONS} comparisons"):
        parse(" OR ".join(["a = 1"] * (MAX_COMPARISONS + 1)))


ALPHABET = list("abAND OR NOT true null \"\\.:*-=!<>()0123e+'\n 红")


@given(st.one_of(st.text(), st.lists(st.sampled_from(ALPHABET)).map("".join)))
def test_any_text_parses_or_is_refused_at_a_character_of_it(text: str) -> None:
    try:
        parsed = parse(text)
    except FilterSyntaxError as error:
        position = error.position
    else:
        assert parse(unparse(parsed)) == parsed
        position = 0
    assert 0 <= position <= len(text)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
fields = st.lists(texts, min_size=1, max_size=3).map(tuple)
comparisons = st.one_of(
    st.builds(Present, fields),
    st.builds(
        Comparison,
        fields,
        st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL, Operator.HAS]),
        texts | numbers | st.booleans() | st.none(),
    ),
    st.builds(
        Comparison,
        fields,
        st.sampled_from([Operator.LESS, Operator.GREATER_OR_EQUAL]),
        texts | numbers,
    ),
)
filters = st.recursive(
    comparisons,
    lambda operand: st.one_of(
        st.builds(Not, operand),
        st.lists(operand, min_size=2, max_size=3).map(lambda each: And(tuple(each))),
        st.lists(operand, min_size=2, max_size=3).map(lambda each: Or(tuple(each))),
    ),
    max_leaves=12,
)


@given(filters)
def test_the_text_of_a_filter_parses_to_the_same_filter(filter: Filter) -> None:
    text = unparse(filter)
    parsed = parse(text)
    assert parsed == filter
    assert unparse(parsed) == text


def test_filters_that_python_holds_equal_have_different_texts() -> None:
    assert len({unparse(equal("a", value)) for value in (1, 1.0, True)}) == 3
