"""Whole numbers beyond 64 bits in SQLite, which has none: texts of a fixed width that it takes for no number.

They do not sort as numbers do: that takes halves (`api/exact.py`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Any

BITS = 32  # of the lower half
MASK: int = 2**BITS - 1
_END: int = 2**63
_WIDE = re.compile("-?([0-9]{3}_){9}[0-9]{3}")


def fitting(values: Iterable[Any]) -> list[Any]:
    """The values as SQLite can hold them. `int` reads the texts again."""
    return [_text(v) if type(v) is int and not -_END <= v < _END else v for v in values]


def _text(number: int) -> str:
    # The underscores keep SQLite from taking it for a number, of which it would hold the first digits.
    return f"{'-' if number < 0 else ''}{abs(number):039_}"


def whole(stored: Any) -> Any:
    """The number that a stored text stands for; anything else as it is."""
    return int(stored) if type(stored) is str and _WIDE.fullmatch(stored) else stored


def high_half(text: str) -> int:
    """All above the lower half of such a number."""
    return int(text) >> BITS


def low_half(text: str) -> int:
    """Its lower half."""
    return int(text) & MASK


class WideConnection(sqlite3.Connection):
    """Its cursors take whole numbers of any size as parameters; SQL has `high_half` and `low_half` of the texts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for half in (high_half, low_half):
            self.create_function(half.__name__, 1, half, deterministic=True)

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
