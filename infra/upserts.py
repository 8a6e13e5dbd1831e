"""Rows into a table in few statements: what is there under a key is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

from infra.arrays import arrays, unnested
from infra.database import Statement
from infra.sql import Sql, quoted

Values = tuple[Any, ...]
# SQLite takes 32,766; more of them in one statement cost more than they save.
PARAMETERS_MAX = 2_000


class Upsert:
    """Makes the statements that store rows of one table.

    PostgreSQL takes an array for each column, in half the time that it needs to read JSON. SQLite takes plain
    parameters, in half the time that it needs to read JSON, and many in one statement: between two statements the
    thread may have to wait for the interpreter.
    """

    def __init__(self, sql: Sql, table: str, kinds: Sequence[tuple[str, str]], key: Sequence[str]) -> None:
        """`kinds` are the columns in order, by name and kind."""
        names = [name for name, _ in kinds]
        self._postgresql = sql.postgresql
        self._kinds = [kind for _, kind in kinds]
        self._into = f"INSERT INTO {table} ({quoted(names)})"
        self._replacing = sql.replacing(names, key)
        self._whole = f"{self._into} SELECT * FROM {unnested(self._kinds)} {self._replacing}"
        self._width = len(names)
        self._most = 1 << ((PARAMETERS_MAX // self._width).bit_length() - 1)

    def statements(self, rows: Sequence[Values]) -> list[Statement]:
        """The statements that store the rows, which bear different keys."""
        if not rows:
            return []
        if self._postgresql:
            return [(self._whole, arrays(self._kinds, rows))]
        return [self._some(rows[start : start + self._most]) for start in range(0, len(rows), self._most)]

    def _some(self, rows: Sequence[Values]) -> Statement:
        # Room for a power of two, of which LIMIT takes what there is: so few texts that they are parsed once.
        room = 1 << (len(rows) - 1).bit_length()
        values = list(chain.from_iterable(rows))
        values += [None] * (self._width * (room - len(rows)))
        values.append(len(rows))
        return f"{self._into} {_room(room, self._width)} {self._replacing}", values


@cache
def _room(rows: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"SELECT * FROM (VALUES {', '.join([row] * rows)}) LIMIT ?"
