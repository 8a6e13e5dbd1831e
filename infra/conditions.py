"""The `where` of a mapping file: which rows are meant."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from infra.expressions import Flaw, Numbers, Resolve, Rows, Text, reader
from infra.mapping import nearest

Holds = Callable[[Rows], bool]
TESTS = ("is", "not", "empty", "above", "below")


def condition(given: dict[str, Any], column: Resolve, style: Numbers) -> Holds:
    """Every column named must pass; `"A"` and `["A", "B"]` are short for `{ is = … }`. Raises Flaw."""
    if not isinstance(given, dict):
        raise Flaw("must be a table: { column = test }")
    tests = [test for name, wanted in given.items() for test in _tests(name, wanted, column(name), style)]
    return lambda rows: all(test(rows) for test in tests)


def _tests(name: str, wanted: object, cell: Text, style: Numbers) -> list[Holds]:
    if not isinstance(wanted, dict):
        wanted = {"is": wanted}
    return [_test(name, test, value, cell, style) for test, value in wanted.items()]


def _test(name: str, test: str, value: object, cell: Text, style: Numbers) -> Holds:
    match test, value:
        case "is", _:
            words = _words(name, value)
            return lambda rows: cell(rows) in words
        case "not", _:
            words = _words(name, value)
            return lambda rows: cell(rows) not in words
        case "empty", bool():
            return lambda rows: (cell(rows) == "") is value
        case (("above" | "below"), int() | Decimal()):
            read, bound, sign = reader(style), Decimal(value), 1 if test == "above" else -1
            return lambda rows: (found := cell(rows)) != "" and sign * (read(found, name) - bound) > 0
    raise Flaw(f"{name}: {test} = {value!r} is no test. {nearest(test, TESTS)}")


def _words(name: str, value: object) -> frozenset[str]:
    words = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str | int) and not isinstance(word, bool) for word in words):
        raise Flaw(f"{name}: must be a text or a list of texts")
    return frozenset(str(word) for word in words)
