"""Filters as SQL conditions over a table with the columns `id`, `uri` and `metadata` (JSON text).

A field of the metadata is addressed by a JSON path. SQLite before 3.45 cannot escape a double quote
in such a path, so the names in it are written as `json_text` writes the metadata itself: without
any. A number of the filter also goes through SQLite's JSON, so that equal texts give equal numbers.

SQLite before 3.46 has room for 100 symbols on its parser's stack. So negations are pushed down to
the comparisons, AND stands without parentheses, and the deepest operand stands first: the depth of
a filter then costs one symbol for each OR.
"""

import json
import re
from typing import Any, TypeAlias

from triptych_server.engines.collections.filters import (
    And,
    Comparison,
    Filter,
    Literal,
    Not,
    Operator,
    Or,
    Path,
    Present,
)

Parameters: TypeAlias = dict[str, str]

_OPERATORS = {
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
}
_ESCAPED = re.compile(r"\\(.)")


def json_text(value: Any) -> str:
    """JSON without a single escaped double quote: it is written as `\\u0022`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if '\\"' not in text:
        return text
    return _ESCAPED.sub(lambda pair: r"\u0022" if pair[1] == '"' else pair[0], text)


def condition(filter: Filter) -> tuple[str, Parameters]:
    """An SQL expression, 0 or 1 and never NULL, and its named parameters (`f0`, `f1`, ...)."""
    translation = _Translation()
    return translation.expression(filter), translation.parameters


class _Translation:
    """One filter on its way to SQL; values and paths become parameters, never text."""

    def __init__(self) -> None:
        self.parameters: Parameters = {}

    def expression(self, filter: Filter, negated: bool = False) -> str:
        match filter:
            case Not(operand):
                return self.expression(operand, not negated)
            case And(operands) | Or(operands):
                deepest_first = sorted(operands, key=_depth, reverse=True)
                parts = [self.expression(operand, negated) for operand in deepest_first]
                either = isinstance(filter, Or) != negated
                return f"({' OR '.join(parts)})" if either else " AND ".join(parts)
            case Comparison(field, operator, value):
                holds = f"ifnull({self._comparison(field, operator, value)}, 0)"
            case Present(field):
                holds = f"{self._type(field)} IS NOT NULL"
        return f"NOT {holds}" if negated else holds

    def _comparison(self, field: Path, operator: Operator, value: Literal) -> str:
        """NULL or 0 when the field is absent."""
        if operator is Operator.HAS:
            return self._has(field, value)
        if operator is Operator.EQUAL:
            return self._equal(self._type(field), self._value(field), value)
        if operator is Operator.NOT_EQUAL:
            return f"NOT {self._equal(self._type(field), self._value(field), value)}"
        same_type = f"{self._type(field)} {_types(value)}"
        return (
            f"({same_type} AND {self._value(field)} {_OPERATORS[operator]} {self._literal(value)})"
        )

    def _has(self, field: Path, value: Literal) -> str:
        is_element = self._equal("element.type", "element.value", value)
        cases = [
            f"WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each(metadata, {self._path(field)})"
            f" AS element WHERE {is_element})"
        ]
        if isinstance(value, str):
            key = self._path((*field, value))
            contains = f"instr({self._value(field)}, {self._parameter(value)}) > 0"
            cases.append(f"WHEN 'text' THEN {contains}")
            cases.append(f"WHEN 'object' THEN json_type(metadata, {key}) IS NOT NULL")
        return f"CASE {self._type(field)} {' '.join(cases)} END"

    def _equal(self, type_: str, column: str, value: Literal) -> str:
        """NULL when the field is absent, so that its negation is not true either."""
        same_type = f"{type_} {_types(value)}"
        if value is None or isinstance(value, bool):
            return f"({same_type})"
        return f"({same_type} AND {column} = {self._literal(value)})"

    def _type(self, field: Path) -> str:
        """The JSON type of the field; NULL when it is absent."""
        match field:
            case ("id",):
                return "'text'"
            case ("uri",):
                return "CASE WHEN uri <> '' THEN 'text' END"
        return f"json_type(metadata, {self._path(field)})"

    def _value(self, field: Path) -> str:
        match field:
            case ("id",):
                return "id"
            case ("uri",):
                return "nullif(uri, '')"
        return f"json_extract(metadata, {self._path(field)})"

    def _path(self, field: Path) -> str:
        return self._parameter("$" + "".join(f".{json_text(name)}" for name in field))

    def _literal(self, value: Literal) -> str:
        if isinstance(value, str):
            return self._parameter(value)
        return f"json_extract({self._parameter(json_text(value))}, '$')"

    def _parameter(self, value: str) -> str:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"


def _depth(filter: Filter) -> int:
    match filter:
        case Not(operand):
            return _depth(operand)
        case And(operands) | Or(operands):
            return 1 + max(map(_depth, operands))
    return 0


def _types(value: Literal) -> str:
    """The JSON types whose values may equal `value`, as the right side of a comparison."""
    if value is None:
        return "= 'null'"
    if isinstance(value, bool):
        return "= 'true'" if value else "= 'false'"
    return "= 'text'" if isinstance(value, str) else "IN ('integer', 'real')"
