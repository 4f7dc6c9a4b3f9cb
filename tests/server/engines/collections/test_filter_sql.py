"""Filters evaluated by SQLite: worked examples, and agreement with a plain evaluation in Python."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_server.engines.collections.filter_sql import condition, json_text
from triptych_server.engines.collections.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    And,
    Comparison,
    Filter,
    Not,
    Operator,
    Or,
    Present,
    parse,
)

Holds = Callable[[Filter, dict[str, Any]], bool]

METADATA = {
    "colour": "red",
    "size": 3,
    "digits": "3",
    "share": 0.1,
    "draft": False,
    "one": True,
    "nothing": None,
    "tags": ["new", 7, True, None, 'x"y', "1"],
    "camera": {"lens": "50mm", "a.b": {"": 5}},
    'q"k': {"\\": "quoted", "\n": 1},
    "big": 2**53 + 1,
    "huge": 1.5e300,
    "颜色": "红",
    "empty": "",
    "id": "metadata's own",
}


@pytest.fixture(scope="module")
def holds() -> Iterator[Holds]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE items (id TEXT, uri TEXT, metadata TEXT)")

    def evaluate(filter: Filter, metadata: dict[str, Any]) -> bool:
        sql, parameters = condition(filter)
        connection.execute("DELETE FROM items")
        connection.execute("INSERT INTO items VALUES ('x-1', '', ?)", (json_text(metadata),))
        (value,) = connection.execute(f"SELECT {sql} FROM items", parameters).fetchone()
        assert value in (0, 1)
        return bool(value)

    yield evaluate
    connection.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('colour = "red"', True),
        ('colour = "RED"', False),
        ('colour != "blue"', True),
        ('colour < "ree"', True),
        ("size = 3", True),
        ("size = 3.0", True),
        ("size != 3.0", False),
        ("size >= 3 AND size < 3.5", True),
        ("share = 0.1", True),
        ("big = 9007199254740993", True),
        ("big = 9007199254740992", False),
        ("big > 9007199254740992", True),
        ("huge = 1.5e300", True),
        # types are never converted
        ('size = "3"', False),
        ('size != "3"', True),
        ("digits = 3", False),
        ("digits < 4", False),
        ('size < "4"', False),
        ("one = 1", False),
        ("one = true", True),
        ("draft = 0", False),
        ("draft = false", True),
        ('nothing = ""', False),
        ("nothing = null", True),
        ("nothing != null", False),
        ("size != null", True),
        ('tags = "new"', False),
        # containment
        ('colour:"e"', True),
        ('colour:""', True),
        ("digits:3", False),
        ('tags:"new"', True),
        ('tags:"ne"', False),
        ("tags:7", True),
        ("tags:7.0", True),
        ("tags:1", False),
        ("tags:true", True),
        ("tags:false", False),
        ("tags:null", True),
        (r'tags:"x\"y"', True),
        ('camera:"lens"', True),
        ('camera:"50mm"', False),
        ("size:3", False),
        # absent fields
        ("missing = 1", False),
        ("missing != 1", False),
        ("NOT missing = 1", True),
        ("-missing:*", True),
        ('missing:""', False),
        ("nothing:*", True),
        ("colour.red:*", False),
        ("tags.new:*", False),
        # names of all kinds
        ('camera."a.b"."" = 5', True),
        (r'"q\"k"."\\" = "quoted"', True),
        (r'"q\"k"."\n" = 1', True),
        (r'"q\"k":"\\"', True),
        ('颜色 = "红"', True),
        # the item's own fields
        ('id = "x-1"', True),
        ('id:"x"', True),
        ("id != 1", True),
        ("id:*", True),
        ("uri:*", False),
        ('uri = ""', False),
        ('uri != "a"', False),
        # no way out of the parameters
        ('"a\') OR 1 --" = 1', False),
        ("colour = \"' OR '1' = '1\"", False),
    ],
)
def test_what_matches(holds: Holds, text: str, expected: bool) -> None:
    assert holds(parse(text), METADATA) is expected


def test_the_largest_filters_are_within_the_limits_of_sqlite(holds: Holds) -> None:
    wide = " OR ".join(f'a{n}:"x"' for n in range(MAX_COMPARISONS - 1))
    assert holds(parse(f"{wide} AND size = 3"), METADATA) is False
    assert holds(parse("NOT (" * MAX_DEPTH + wide + ")" * MAX_DEPTH), METADATA) is False
    ladder = 'a:"x" AND b:"x" OR (' * (MAX_DEPTH - 1) + 'tags:"new"' + ")" * (MAX_DEPTH - 1)
    assert holds(parse(ladder), METADATA) is False
    assert holds(parse(ladder.replace("AND", "OR")), METADATA) is True
    tree = 'tags:"new"'
    for level in range(6):
        tree = f"NOT ({tree} {'OR' if level % 2 else 'AND'} {tree})"
    assert holds(parse(tree), METADATA) is True
    assert holds(parse("a" + ".a" * 2000 + ":*"), METADATA) is False


def test_stored_json_has_no_escaped_quote_and_reads_back() -> None:
    value = {'a"\\"': ["\\", '\\"', '"', "\\\\", "\n"]}
    text = json_text(value)
    assert '\\"' not in text.replace("\\\\", "")
    assert json.loads(text) == value


NAMES = ["a", "b", "", "q\"'.$[0]", "\\"]
names = st.sampled_from(NAMES)
scalars = st.one_of(
    st.sampled_from(["", "a", "b", "ab", 'q"\\', "红", "1", "true"]),
    st.sampled_from([0, 1, -1, 2**53 + 1, 2**53, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.0, 1.0, 0.1, -1.5, float(2**53), 1e300, 5e-324, 0.30000000000000004]),
    st.booleans(),
    st.none(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
metadata = st.dictionaries(names, values, max_size=4)
fields = st.lists(names, min_size=1, max_size=2).map(tuple)
ordered = scalars.filter(lambda value: value is not None and not isinstance(value, bool))
leaves = st.one_of(
    st.builds(Present, fields),
    st.builds(
        Comparison,
        fields,
        st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL, Operator.HAS]),
        scalars,
    ),
    st.builds(Comparison, fields, st.sampled_from(list(Operator)[2:6]), ordered),
)
filters = st.recursive(
    leaves,
    lambda operand: st.one_of(
        st.builds(Not, operand),
        st.lists(operand, min_size=2, max_size=3).map(lambda each: And(tuple(each))),
        st.lists(operand, min_size=2, max_size=3).map(lambda each: Or(tuple(each))),
    ),
    max_leaves=5,
)


@given(filters, metadata)
def test_sqlite_agrees_with_a_plain_evaluation(
    holds: Holds, filter: Filter, metadata: dict[str, Any]
) -> None:
    assert holds(filter, metadata) is plainly(filter, metadata)


ABSENT = object()


def plainly(filter: Filter, metadata: dict[str, Any]) -> bool:
    """The meaning of a filter as the API states it."""
    match filter:
        case And(operands):
            return all(plainly(each, metadata) for each in operands)
        case Or(operands):
            return any(plainly(each, metadata) for each in operands)
        case Not(operand):
            return not plainly(operand, metadata)
        case Present(field):
            return value_of(field, metadata) is not ABSENT
        case Comparison(field, operator, wanted):
            return compare(value_of(field, metadata), operator, wanted)


def value_of(field: tuple[str, ...], value: Any) -> Any:
    for name in field:
        if not isinstance(value, dict) or name not in value:
            return ABSENT
        value = value[name]
    return value


def kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def compare(value: Any, operator: Operator, wanted: Any) -> bool:
    if value is ABSENT:
        return False
    same = kind(value) is kind(wanted)
    match operator:
        case Operator.EQUAL:
            return same and bool(value == wanted)
        case Operator.NOT_EQUAL:
            return not (same and value == wanted)
        case Operator.HAS if isinstance(value, list):
            return any(kind(each) is kind(wanted) and each == wanted for each in value)
        case Operator.HAS:
            return isinstance(wanted, str) and isinstance(value, str | dict) and wanted in value
        case Operator.LESS:
            return same and bool(value < wanted)
        case Operator.LESS_OR_EQUAL:
            return same and bool(value <= wanted)
        case Operator.GREATER:
            return same and bool(value > wanted)
        case Operator.GREATER_OR_EQUAL:
            return same and bool(value >= wanted)
