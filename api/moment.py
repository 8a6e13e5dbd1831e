"""The tables of one moment, as views that are computed read them: typed rows and exact sums, within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from msgspec import Struct

from api.exact import added, halves, joined
from api.problems import Problem
from infra.tables import Codec, codec_of
from projections.rows import TABLES, Row, Window

R = TypeVar("R", bound=Row)


class Read(Struct, frozen=True):
    """What an answer looked at: rows of a view whose fields have these values, and which of their fields."""

    row: type[Row]
    window: Window | None
    wanted: dict[str, Sequence[Any]]
    fields: frozenset[str]


ROWS_MAX = 200_000


class Moment:
    """Reads rows within one read transaction: `projections.rows.Tables` over the database.

    All that one answer reads is bounded; beyond it the answer is a cannot_be_answered problem.
    """

    def __init__(self, connection: sa.Connection, narrow: Sequence[str]) -> None:
        self._connection = connection
        self._narrow = narrow  # the fields of the view asked, for the advice to name fewer
        self._left = ROWS_MAX
        self.reads: list[Read] = []

    def select(self, row: type[R], window: Window | None = None, /, **wanted: Sequence[Any]) -> Iterator[R]:
        """Rows whose fields have one of the wanted values each, in key order."""
        self.reads.append(Read(row, window, wanted, frozenset(row.__struct_fields__)))
        codec = codec_of(row)
        source, where = self._source(codec, window, wanted)
        statement = sa.select(source).where(*where).order_by(*[source.c[name] for name in TABLES[row].key])
        for values in self._read(statement, TABLES[row].view):
            found = codec.read(values)
            assert isinstance(found, row)
            yield found

    def sums(
        self,
        row: type[Row],
        by: Sequence[str],
        fields: Sequence[str],
        window: Window | None = None,
        /,
        **wanted: Sequence[Any],
    ) -> Iterator[tuple[Any, ...]]:
        """Exact sums of fields over those rows: the values of `by`, then the sums, in the order of the groups."""
        self.reads.append(Read(row, window, wanted, frozenset((*by, *fields))))
        codec = codec_of(row)
        source, where = self._source(codec, window, wanted)
        dialect = self._connection.dialect.name
        groups = [source.c[name] for name in by]
        parts = [part for name in fields for part in added(halves(dialect, source.c[name]))]
        statement = sa.select(*groups, *parts).where(*where).group_by(*groups).order_by(*groups)
        for values in self._read(statement.having(sa.func.count() > 0), TABLES[row].view):
            group = [codec.read_field(name, value) for name, value in zip(by, values, strict=False)]
            numbers = joined(dialect, values[len(by) :])
            yield *group, *[codec.read_field(n, number) for n, number in zip(fields, numbers, strict=True)]

    def _source(
        self, codec: Codec, window: Window | None, wanted: dict[str, Sequence[Any]]
    ) -> tuple[sa.TableClause, list[sa.ColumnElement[bool]]]:
        entry = TABLES[codec.row]
        source = sa.table(entry.view, *[sa.column(column.name) for column in codec.columns])
        where: list[sa.ColumnElement[bool]] = []
        if window is not None:
            name, first, end = window
            where.append(source.c[name] >= codec.write_field(name, first))
            where.append(source.c[name] < codec.write_field(name, end))
        for name, values in wanted.items():
            some = [codec.write_field(name, value) for value in values if value is not None]
            options = [source.c[name].in_(some)]
            if len(some) < len(values):
                options.append(source.c[name].is_(None))
            where.append(sa.or_(*options))
        return source, where

    def _read(self, statement: sa.Select[Any], view: str) -> Sequence[Sequence[Any]]:
        found = self._connection.execute(statement.limit(self._left + 1)).fetchall()
        self._left -= len(found)
        if self._left < 0:
            reason = f"more than {ROWS_MAX} rows bear on it, the last of them {view}: name fewer"
            raise Problem("cannot_be_answered", reason, [(name, reason) for name in self._narrow])
        return found
