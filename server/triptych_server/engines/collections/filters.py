"""The language of `SearchRequest.filter`: a subset of AIP-160 (https://google.aip.dev/160).

    filter      = disjunction { "AND" disjunction }
    disjunction = term { "OR" term }
    term        = [ "NOT" | "-" ] ( comparison | "(" filter ")" )
    comparison  = field ( "=" | "!=" ) value
                | field ( "<" | "<=" | ">" | ">=" ) ( number | string )
                | field ":" ( value | "*" )
    field       = name { "." name }
    name        = word | string
    value       = string | number | "true" | "false" | "null"

A word is letters, digits and `_`, not beginning with a digit and none of the words above. A string
stands in double quotes and has the escapes of JSON. Numbers are those of JSON.
"""

import json
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken
from lark.exceptions import UnexpectedInput

MAX_COMPARISONS = 100
MAX_DEPTH = 50  # parentheses inside parentheses

Literal: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str, ...]


class Operator(StrEnum):
    """How a comparison compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    HAS = ":"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares a field with a value. An integer is of 64 bits; larger numbers are floats."""

    field: Path
    operator: Operator
    value: Literal


@dataclass(frozen=True, slots=True)
class Present:
    """Holds when the field is there, be it null."""

    field: Path


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when the operand does not."""

    operand: "Filter"


@dataclass(frozen=True, slots=True)
class And:
    """Holds when all operands do; two or more."""

    operands: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Holds when one of the operands does; two or more."""

    operands: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Present | Not | And | Or


class FilterSyntaxError(ValueError):
    """A filter that does not parse. `position` is the offending character, counted from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def parse(text: str) -> Filter:
    """Read a filter; raises `FilterSyntaxError`."""
    parser: Any = _PARSER.parse_interactive(text)  # lark leaves most of its methods untyped
    depth = comparisons = 0
    try:
        for token in parser.iter_parse():
            depth += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
            comparisons += token.type in {"EQUALITY", "ORDER", "HAS"}
            if depth > MAX_DEPTH:
                raise _error(token, f"more than {MAX_DEPTH} parentheses inside each other")
            if comparisons > MAX_COMPARISONS:
                raise _error(token, f"more than {MAX_COMPARISONS} comparisons")
        parsed: Filter = parser.feed_eof()
    except UnexpectedInput as error:
        raise _syntax_error(text, error, parser.accepts()) from None
    return parsed


def unparse(filter: Filter) -> str:
    """The text of a filter. Filters that differ have different texts, `1` and `true` too."""
    match filter:
        case Comparison(field, operator, value):
            spaced = operator if operator is Operator.HAS else f" {operator} "
            return f"{_field_text(field)}{spaced}{json.dumps(value, ensure_ascii=False)}"
        case Present(field):
            return f"{_field_text(field)}:*"
        case Not(operand):
            return f"NOT {_operand_text(operand)}"
        case And(operands):
            return " AND ".join(map(_operand_text, operands))
        case Or(operands):
            return " OR ".join(map(_operand_text, operands))


def _operand_text(filter: Filter) -> str:
    text = unparse(filter)
    return text if isinstance(filter, Comparison | Present) else f"({text})"


def _field_text(field: Path) -> str:
    return ".".join(
        name if _WORD.fullmatch(name) else json.dumps(name, ensure_ascii=False) for name in field
    )


_GRAMMAR = r"""
    ?filter: disjunction ("AND" disjunction)*
    ?disjunction: term ("OR" term)*
    ?term: simple
         | ("NOT" | "-") simple                         -> negation
    ?simple: comparison | "(" filter ")"
    comparison: field EQUALITY value
              | field ORDER (string | number)
              | field HAS value
              | field HAS "*"                           -> presence

    field: name ("." name)*
    ?name: WORD                                         -> word
         | string
    ?value: string | number | constant
    string: STRING
    number: NUMBER
    constant: TRUE | FALSE | NULL

    TRUE: "true"
    FALSE: "false"
    NULL: "null"
    HAS: ":"
    EQUALITY: "=" | "!="
    ORDER: "<=" | ">=" | "<" | ">"
    WORD: /(?!(?:AND|OR|NOT|true|false|null)\b)[^\W\d]\w*/
    STRING: /"(?:[^"\\]|\\.)*"/s
    NUMBER: /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/

    %ignore /\s+/
"""
_WORD = re.compile(r"(?!(?:AND|OR|NOT|true|false|null)\b)[^\W\d]\w*")
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_CONSTANTS: dict[str, Literal] = {"true": True, "false": False, "null": None}


class _Build(Transformer[Token, Any]):
    """Makes the filter while the parser reduces, so that no depth of input recurses."""

    def filter(self, operands: list[Filter]) -> Filter:
        return And(tuple(operands))

    def disjunction(self, operands: list[Filter]) -> Filter:
        return Or(tuple(operands))

    def negation(self, operands: list[Filter]) -> Filter:
        return Not(operands[0])

    def comparison(self, parts: tuple[Path, Token, Literal]) -> Filter:
        field, operator, value = parts
        return Comparison(field, Operator(operator), value)

    def presence(self, parts: list[Any]) -> Filter:
        return Present(parts[0])

    def field(self, names: list[str]) -> Path:
        return tuple(names)

    def word(self, tokens: list[Token]) -> str:
        return str(tokens[0])

    def string(self, tokens: list[Token]) -> str:
        (token,) = tokens
        rest = _ESCAPE.sub(lambda escape: "_" * len(escape[0]), token)
        if "\\" in rest:
            raise _error(token, "unknown escape", offset=rest.index("\\"))
        text: str = json.loads(token, strict=False)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _error(token, "a string with half a surrogate pair")
        return text

    def number(self, tokens: list[Token]) -> float:
        (token,) = tokens
        if token.lstrip("-").isdecimal() and len(token) <= 20:
            integer = int(token)
            if -(2**63) <= integer < 2**63:
                return integer
        real = float(token)
        if math.isinf(real):
            raise _error(token, "a number out of range")
        return real

    def constant(self, tokens: list[Token]) -> Literal:
        return _CONSTANTS[tokens[0]]


_PARSER = Lark(
    _GRAMMAR, start="filter", parser="lalr", transformer=_Build(), maybe_placeholders=False
)


def _error(token: Token, problem: str, offset: int = 0) -> FilterSyntaxError:
    position = (token.start_pos or 0) + offset
    return FilterSyntaxError(f"{problem} at character {position}", position)


def _syntax_error(text: str, error: UnexpectedInput, accepts: set[str]) -> FilterSyntaxError:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        position, found = error.token.start_pos or 0, str(error.token)
    elif isinstance(error, UnexpectedCharacters):
        position, found = error.pos_in_stream or 0, error.char
    else:
        position, found = len(text), ""
    if found == '"':
        return FilterSyntaxError(f"the string at character {position} has no end", position)
    described = f'"{found}"' if found else "the end"
    message = f"expected {_expectation(accepts)} at character {position}, found {described}"
    return FilterSyntaxError(message + _hint(found, accepts), position)


def _expectation(accepts: set[str]) -> str:
    if "TRUE" in accepts:
        return "a value"
    if "NUMBER" in accepts:
        return "a number or a string"
    if "LPAR" in accepts:
        return "a comparison"
    if "WORD" in accepts:
        return "a field name"
    if "EQUALITY" in accepts:
        return "an operator (= != < <= > >= :)"
    return 'AND, OR or ")"' if "RPAR" in accepts else "AND, OR or the end"


def _hint(found: str, accepts: set[str]) -> str:
    if found.upper() in {"AND", "OR", "NOT"} and found != found.upper():
        return f"; {found.upper()} stands in upper case"
    if "STRING" in accepts and (found == "'" or _WORD.fullmatch(found)):
        return "; strings stand in double quotes"
    return ""
