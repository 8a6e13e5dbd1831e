"""A database of one moment, in memory: the rows that some events make, to be read like the live one."""

from __future__ import annotations

import decimal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from functools import cache
from typing import Any

from msgspec import Struct

from domain.envelope import Payload, Recorded
from domain.numbers import EXACT
from infra.database import in_memory
from infra.definitions import definitions
from infra.sql import quoted
from infra.tables import Codec, codec_of
from projections.documents import Change
from projections.events import EventFlag
from projections.projection import Projection
from projections.replay import Replay
from projections.rows import TABLES, Key, MemoryRows, Row


class Touched(Struct, frozen=True, gc=False):
    """A stored row that says something else now: its key and its other fields, as they are stored."""

    row: type[Row]
    key: tuple[Any, ...]
    before: tuple[Any, ...]
    after: tuple[Any, ...]

    @property
    def fields(self) -> set[str]:
        """The fields that differ."""
        names = self.row.__struct_fields__[len(self.key) :]
        return {name for name, old, new in zip(names, self.before, self.after, strict=True) if old != new}


class Past:
    """Grows by the events it takes, with the folds that made the live tables. Not for two threads."""

    def __init__(self, projections: Sequence[Projection], valid_at: datetime | None = None) -> None:
        self._projections = projections
        self._rows = _Growing()
        self._replay = Replay(self._rows, valid_at)
        self._tables = {row: _Table.of(row) for row in _rows_of(projections)}
        self._written: dict[tuple[type[Row], tuple[Any, ...]], tuple[Any, ...]] = {}
        self.connection = in_memory().connect()
        memory: Any = self.connection.connection.driver_connection
        self._memory: sqlite3.Connection = memory
        self._memory.deserialize(_empty(tuple(projections)))

    def take(self, event: Recorded[Payload]) -> Change | None:
        """Fold the next event of the log; None where it changes nothing that any document says."""
        change = self._replay.take(event)
        if change is not None:
            with decimal.localcontext(EXACT):
                for projection in self._projections:
                    if change.kind in projection.kinds:
                        projection.fold(change, self._rows)
        return change

    def write(self) -> list[Touched]:
        """Bring the tables to what was taken; the rows that say something else since the last call."""
        changed = self._rows.changed
        self._rows.changed = {}
        found = []
        for row, rows in changed.items():
            table = self._tables[row]
            stored, gone = [], []
            for values in map(table.codec.write, rows.values()):
                key = values[: table.codec.key_width]
                before = self._written.get((row, key), table.empty)
                after = values[table.codec.key_width :]
                if before == after:
                    continue
                self._written[row, key] = after
                found.append(Touched(row, key, before, after))
                if after == table.empty:
                    gone.append(key)
                else:
                    stored.append(values)
            self._many(table.put, stored)
            self._many(table.delete, gone)
        return found

    def _many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._memory.cursor().executemany(sql, rows)

    def close(self) -> None:
        self.connection.close()


def _rows_of(projections: Sequence[Projection]) -> list[type[Row]]:
    return [EventFlag, *[row for projection in projections for row in projection.rows]]


@cache
def _empty(projections: tuple[Projection, ...]) -> bytes:
    """A database with the tables and views of these projections, made once: copying it takes a tenth of the time."""
    tables = {row: _Table.of(row) for row in _rows_of(projections)}
    joined = [row for row, entry in TABLES.items() if entry.sql]  # those whose tables are there
    named = definitions([(row, table.name) for row, table in tables.items()], joined)
    with closing(sqlite3.connect(":memory:")) as memory:
        for table in tables.values():
            memory.execute(table.create)
        for _, definition in named:
            memory.execute(f"CREATE VIEW {definition}")
        return memory.serialize()


class _Growing(MemoryRows):
    """Rows in memory that know which of them were touched."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[type[Row], dict[Key, Row]] = {}

    def edit(self, row: type[Any], *key: Any) -> Any:
        found = super().edit(row, *key)
        self.changed.setdefault(row, {})[key] = found
        return found

    def put(self, row: Row) -> None:
        super().put(row)
        key = tuple([getattr(row, name) for name in TABLES[type(row)].key])
        self.changed.setdefault(type(row), {})[key] = row


class _Table(Struct, frozen=True):
    """How rows of one type are kept in the database of a moment."""

    name: str
    codec: Codec
    empty: tuple[Any, ...]
    create: str
    put: str
    delete: str

    @classmethod
    def of(cls, row: type[Row]) -> _Table:
        codec = codec_of(row)
        name = f"{TABLES[row].name}__past"
        columns = quoted(column.name for column in codec.columns)
        key = quoted(TABLES[row].key)
        marks = ", ".join("?" * len(codec.columns))
        found = " AND ".join(f'"{field}" = ?' for field in TABLES[row].key)
        return cls(
            name,
            codec,
            codec.defaults(),
            f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}))",
            f"REPLACE INTO {name} VALUES ({marks})",
            f"DELETE FROM {name} WHERE {found}",
        )
