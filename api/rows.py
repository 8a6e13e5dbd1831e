"""Rows as JSON, straight from what is stored: one generated function for each list of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from api.fields import Field, decimal_text, stored_instant_text

_TEXT = '{"null" if VALUE is None else text(VALUE)}'
_PLAIN = '{"null" if VALUE is None else VALUE}'
#: kind → the JSON of a stored value, within an f-string
_JSON = {
    "text": _TEXT,
    "day": _TEXT,
    "integer": _PLAIN,
    "json": _PLAIN,
    "boolean": '{"null" if VALUE is None else "true" if VALUE else "false"}',
    "decimal": "{decimal(VALUE)}",
    "instant": "{instant(VALUE)}",
}


def rows_json(fields: Sequence[Field], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Every row as a JSON object. Rows have a value for each field."""
    return _written(tuple([(field.name, field.kind) for field in fields]))(rows)


@lru_cache(1024)
def _written(columns: Sequence[tuple[str, str]]) -> Callable[[Iterable[Sequence[Any]]], list[str]]:
    # A page has thousands of values: a dict for each row and a converter for each value took half of its time.
    values = [f"v{number}" for number in range(len(columns))]
    members = [
        f'"{name}":{_JSON[kind].replace("VALUE", value)}'
        for value, (name, kind) in zip(values, columns, strict=True)
    ]
    row = "{{" + ",".join(members) + "}}"
    written: Callable[[Iterable[Sequence[Any]]], list[str]] = eval(
        f"lambda rows: [f'''{row}''' for {', '.join(values)}, in rows]",
        {"text": encode_basestring, "decimal": _decimal, "instant": _instant},
    )
    return written


# Rows say the same again and again: a quantity of many lines, the day that many orders were asked for.
@lru_cache(65_536)
def _decimal(stored: int | str | None) -> str:
    return "null" if stored is None else f'"{decimal_text(stored)}"'


@lru_cache(65_536)
def _instant(stored: int | None) -> str:
    return "null" if stored is None else f'"{stored_instant_text(stored)}"'
