"""Rows stored many at a time: every row arrives once, whatever their number."""

from __future__ import annotations

import sqlite3

import pytest

from infra.sql import Sql
from infra.tables import SQLITE
from infra.upserts import PARAMETERS_MAX, Upsert

PAIRS = Upsert(Sql(SQLITE), "pairs", (("name", "text"), ("size", "integer")), ("name",))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 127, 128, 129, PARAMETERS_MAX // 2 + 1, PARAMETERS_MAX])
def test_as_many_rows_are_stored_as_were_given(number: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pairs (name TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
    rows = [(f"{n:05}", n) for n in range(number)]

    for sql, values in PAIRS.statements(rows):
        connection.execute(sql, values)

    assert connection.execute("SELECT * FROM pairs ORDER BY name").fetchall() == rows
    connection.close()


def test_a_row_under_a_key_that_is_there_takes_the_new_values() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pairs (name TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")

    for rows in ([("a", 1), ("b", 2), ("c\u00e9'", 3)], [("b", 5)]):
        for sql, values in PAIRS.statements(rows):
            connection.execute(sql, values)

    assert connection.execute("SELECT * FROM pairs").fetchall() == [("a", 1), ("b", 5), ("c\u00e9'", 3)]
    connection.close()
