"""The tables of one moment, as views that are computed read them: typed rows and exact sums, within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

from api.exact import added, halves, joined
from api.problems import Problem
from infra.tables import POSTGRESQL, SQLITE, codec_of
from projections.rows import TABLES, Row, Window

R = TypeVar("R", bound=Row)


class Read(Struct, frozen=True):
    """What an answer looked at: rows of a view whose fields have these values, and which of their fields."""

    row: type[Row]
    window: Window | None
    wanted: dict[str, Sequence[Any]]
    fields: frozenset[str]


class Asked(Struct, frozen=True):
    """What a statement looks like, whatever values it is asked with: it is made once, and answered often."""

    row: type[Row]
    window: str  # the field that is bounded, if any
    wanted: tuple[tuple[str, int, bool], ...]  # of each field how many values, and whether null is one more
    by: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()  # of which sums are wanted; none: rows are

    @classmethod
    def of(
        cls,
        row: type[Row],
        window: Window | None,
        wanted: Mapping[str, Sequence[Any]],
        by: Sequence[str] = (),
        fields: Sequence[str] = (),
    ) -> Asked:
        places = [
            (name, len(values) - (nulls := values.count(None)), bool(nulls))
            for name, values in wanted.items()
        ]
        return cls(row, window[0] if window is not None else "", tuple(places), tuple(by), tuple(fields))


ROWS_MAX = 200_000
_DIALECTS: dict[str, sa.Dialect] = {
    SQLITE: sqlite.dialect(paramstyle="named"),
    POSTGRESQL: postgresql.dialect(paramstyle="pyformat"),  # type: ignore[no-untyped-call]
}


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
        for values in self._read(Asked.of(row, window, wanted), window, wanted):
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
        for values in self._read(Asked.of(row, window, wanted, by, fields), window, wanted):
            group = [codec.read_field(name, value) for name, value in zip(by, values, strict=False)]
            numbers = joined(self._connection.dialect.name, values[len(by) :])
            yield *group, *[codec.read_field(n, number) for n, number in zip(fields, numbers, strict=True)]

    def _read(
        self, asked: Asked, window: Window | None, wanted: Mapping[str, Sequence[Any]]
    ) -> Sequence[Sequence[Any]]:
        codec = codec_of(asked.row)
        given: dict[str, Any] = {"most": self._left + 1}
        if window is not None:
            name, first, end = window
            given |= {"since": codec.write_field(name, first), "until": codec.write_field(name, end)}
        for name, values in wanted.items():
            some = [value for value in values if value is not None]
            given.update((f"{name}__{n}", codec.write_field(name, value)) for n, value in enumerate(some))
        text, constants = _statement(self._connection.dialect.name, asked)
        found = self._connection.exec_driver_sql(text, constants | given).fetchall()
        self._left -= len(found)
        if self._left < 0:
            view = TABLES[asked.row].view
            reason = f"more than {ROWS_MAX} rows bear on it, the last of them {view}: name fewer"
            raise Problem("cannot_be_answered", reason, [(name, reason) for name in self._narrow])
        return found


@lru_cache(1000)
def _statement(dialect: str, asked: Asked) -> tuple[str, dict[str, Any]]:
    """A statement with named places for its values, and its constants: making it costs ten times what asking does."""
    entry = TABLES[asked.row]
    source = sa.table(entry.view, *[sa.column(column.name) for column in codec_of(asked.row).columns])
    where: list[sa.ColumnElement[bool]] = []
    if asked.window:
        column = source.c[asked.window]
        where += [column >= sa.bindparam("since"), column < sa.bindparam("until")]
    for name, count, nulls in asked.wanted:
        column = source.c[name]
        options = [column.in_([sa.bindparam(f"{name}__{n}") for n in range(count)])] if count else []
        options += [column.is_(None)] if nulls else []
        where.append(sa.or_(sa.false(), *options))
    if asked.fields:
        groups = [source.c[name] for name in asked.by]
        kinds = {column.name: column.kind for column in codec_of(asked.row).columns}
        halved = [halves(dialect, source.c[name], kinds[name]) for name in asked.fields]
        parts = [part for one in halved for part in added(one)]
        statement = sa.select(*groups, *parts).group_by(*groups).order_by(*groups)
        statement = statement.having(sa.func.count() > 0)
    else:
        statement = sa.select(source).order_by(*[source.c[name] for name in entry.key])
    compiled = statement.where(*where).limit(sa.bindparam("most")).compile(dialect=_DIALECTS[dialect])
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}
