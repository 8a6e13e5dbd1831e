"""Whole numbers beyond 64 bits in SQLite, which has none: texts that sort after its integers, and by their size."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Any

MOST = 2**63 - 1
_WIDE = re.compile("-?([0-9]{3}_){9}[0-9]{3}")


def fitting(values: Iterable[Any]) -> list[Any]:
    """The values as SQLite can hold them. `int` reads the texts again."""
    return [_text(v) if type(v) is int and not -MOST <= v <= MOST else v for v in values]


def _text(number: int) -> str:
    # The underscores keep SQLite from taking it for a number, of which it would hold the first digits.
    return f"{'-' if number < 0 else ''}{abs(number):039_}"


def whole(stored: Any) -> Any:
    """The number that a stored text stands for; anything else as it is."""
    return int(stored) if type(stored) is str and _WIDE.fullmatch(stored) else stored


def high(text: str) -> int:
    """All above the lower 32 bits of such a number."""
    return int(text) >> 32


def low(text: str) -> int:
    """Its lower 32 bits."""
    return int(text) & (2**32 - 1)


class Connection(sqlite3.Connection):
    """Takes whole numbers of any size as parameters; for SQL to add them up it has `high_half` and `low_half`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.create_function("high_half", 1, high, deterministic=True)
        self.create_function("low_half", 1, low, deterministic=True)

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _Cursor)


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        try:
            return super().execute(sql, parameters)
        except OverflowError:  # before anything was done
            return super().execute(sql, _held(parameters))

    def executemany(self, sql: str, rows: Iterable[Any]) -> _Cursor:
        return super().executemany(sql, map(_held, rows))


def _held(parameters: Any) -> Any:
    if isinstance(parameters, dict):
        return dict(zip(parameters, fitting(parameters.values()), strict=True))
    return fitting(parameters)
