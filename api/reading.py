"""Reading rows: every page, row and sum is one read transaction, together with the positions it is true at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from msgspec import Struct

from api import cursor
from api.fields import Field, Stored
from api.problems import Problem
from api.query import Query
from api.views import Reader, View
from domain.calendar import AHEAD_MAX, microseconds
from infra.database import LIVE, STOPPED, Database, DatabaseError, Position
from infra.tables import POSTGRESQL, SQLITE, Codec

MASK = 2**32 - 1


class Page(Struct, frozen=True):
    """Rows as stored, the fields they have, and how far the log was taken in when they were read."""

    fields: Sequence[Field]
    rows: Sequence[Sequence[Any]]
    next: str | None
    sequence: int
    at: datetime


class Opened:
    """The database as the API reads it, opened when it can be; several threads may read at once."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        """The database; raises DatabaseError where it cannot be opened (yet)."""
        if self._database is None:
            try:
                self._database = Database(self.url, read_only=True)
            except (sqlite3.Error, psycopg.Error) as error:
                raise DatabaseError(f"the database cannot be opened: {error}") from error
        return self._database

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """One moment of the database."""
        database = self.database
        try:
            with database.engine.connect() as connection:
                if database.dialect == SQLITE:
                    connection.exec_driver_sql("BEGIN")
                else:
                    connection = connection.execution_options(isolation_level="REPEATABLE READ")
                yield Reader(connection, _positions(connection))
        except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            raise self._away(error) from error

    def positions(self) -> list[Position]:
        """Every position; none where no projector has been here yet."""
        with self.reader() as reader:
            return list(reader.positions)

    def _away(self, error: sa.exc.DBAPIError) -> Exception:
        said = str(error.orig)
        if "no such table" in said or "UndefinedTable" in type(error.orig).__name__:
            return Problem(
                "not_built", "the projector has not built this yet: start it, or ask again shortly"
            )
        if isinstance(error, sa.exc.OperationalError):
            return Problem("database_away", f"the database does not answer: {said.splitlines()[0]}")
        return error

    def close(self) -> None:
        if self._database is not None:
            self._database.close()


def _positions(connection: sa.Connection) -> list[Position]:
    columns = Position.__struct_fields__
    try:
        found = connection.exec_driver_sql(f"SELECT {', '.join(columns)} FROM positions")
    except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
        if "no such table" in str(error.orig) or "UndefinedTable" in type(error.orig).__name__:
            connection.rollback()
            return []
        raise
    return [Position(*values) for values in found]


def reached(view: View, positions: Sequence[Position]) -> int | None:
    """The lowest sequence among the projections that serve a view; None where one is not there yet."""
    serving = [p for p in positions if p.projection in view.projections and p.status in (LIVE, STOPPED)]
    if {p.projection for p in serving} < view.projections:
        return None
    return min(p.sequence for p in serving)


def read_page(opened: Opened, view: View, query: Query, now: datetime) -> Page:
    """Answer a query with a page of rows or of sums."""
    at = query.valid_at or now
    with opened.reader() as reader, _rows_of(reader, view, query, at) as connection:
        if query.summing:
            return _sums(connection, view, query, at, _sequence(view, reader))
        order = _order(view, query)
        statement = sa.select(*[view.source.c[name] for name in view.fields])
        statement = statement.where(*_where(view, query, at)).limit(query.limit + 1)
        statement = statement.where(*_beyond(view, query, order)).order_by(*_sorted(view, order))
        rows = connection.execute(statement).fetchall()
        places = [list(view.fields).index(name) for name, _ in order]
        last = [rows[query.limit - 1][place] for place in places] if len(rows) > query.limit else None
        return Page(view.shown, rows[: query.limit], _next(view, order, last), _sequence(view, reader), at)


def read_row(opened: Opened, view: View, key: Sequence[Stored], query: Query, now: datetime) -> Page:
    """Answer with the one row under a key, or with none."""
    at = query.valid_at or now
    narrowed = Query(filters={name: [value] for name, value in zip(view.key, key, strict=True)})
    with opened.reader() as reader, _rows_of(reader, view, narrowed, at, query.valid_at) as connection:
        statement = sa.select(*[view.source.c[name] for name in view.fields])
        rows = connection.execute(statement.where(*_where(view, narrowed, at)).limit(1)).fetchall()
        return Page(view.shown, rows, None, _sequence(view, reader), at)


def _sequence(view: View, reader: Reader) -> int:
    return reached(view, reader.positions) or 0


@contextmanager
def _rows_of(
    reader: Reader, view: View, query: Query, at: datetime, valid_at: datetime | None = None
) -> Iterator[sa.Connection]:
    """Where a view's rows are: the database, or a table of this moment where they are computed."""
    computed = view.computed
    if computed is None or not (computed.always or query.valid_at or valid_at):
        yield reader.connection
        return
    codec = Codec(view.row)
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(":memory:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        names = ", ".join(f'"{name}"' for name in view.fields)
        connection.exec_driver_sql(f"CREATE TABLE {view.name} ({names})")
        rows = [codec.write(row) for row in computed.rows(reader, at, query.filters)]
        if rows:
            marks = ", ".join("?" * len(view.fields))
            connection.exec_driver_sql(f"INSERT INTO {view.name} VALUES ({marks})", rows)
        yield connection


# conditions and orders


Order = list[tuple[str, bool]]  # field, downwards


def _where(view: View, query: Query, at: datetime) -> list[sa.ColumnElement[bool]]:
    column = view.source.c
    conditions: list[sa.ColumnElement[bool]] = []
    for name, values in query.filters.items():
        some = [value for value in values if value is not None]
        wanted = [column[name] == some[0] if len(some) == 1 else column[name].in_(some)] if some else []
        if len(some) < len(values):
            wanted.append(column[name].is_(None))
        conditions.append(sa.or_(*wanted))
    if query.after is not None:
        conditions.append(column[view.follows] > query.after)
    if view.appears:
        appears = column[view.appears]
        conditions.append(sa.or_(appears.is_(None), appears <= microseconds(at) + _AHEAD_US))
    return conditions


_AHEAD_US = int(AHEAD_MAX.total_seconds()) * 1_000_000


def _order(view: View, query: Query) -> Order:
    """The sort, then the key: an order in which every row has its own place."""
    order: Order = [(query.sort, query.descending)] if query.sort else []
    rest = [name for name in (query.by if query.summing else view.key) if name != query.sort]
    return order + [(name, False) for name in rest]


def _sorted(view: View, order: Order) -> list[sa.ColumnElement[Any]]:
    found: list[sa.ColumnElement[Any]] = []
    for name, downwards in order:
        column = view.source.c[name]
        if view.fields[name].nullable:  # nulls last in both dialects and both directions
            found.append(sa.case((column.is_(None), 1), else_=0))
        found.append(column.desc() if downwards else column.asc())
    return found


def _beyond(view: View, query: Query, order: Order) -> list[sa.ColumnElement[bool]]:
    """The rows after the cursor's place in the order."""
    if not query.cursor:
        return []
    kinds = [view.fields[name].stored_type for name, _ in order]
    last = cursor.read(query.cursor, _named(order), kinds).last
    columns = [view.source.c[name] for name, _ in order]
    if not any(downwards or view.fields[name].nullable for name, downwards in order) and None not in last:
        return [sa.tuple_(*columns) > sa.tuple_(*[sa.literal(value) for value in last])]
    beyond: sa.ColumnElement[bool] = sa.false()
    for column, (name, downwards), value in reversed(list(zip(columns, order, last, strict=True))):
        after, level = _after(column, downwards, value, view.fields[name].nullable)
        beyond = sa.or_(after, sa.and_(level, beyond))
    return [beyond]


def _after(
    column: sa.ColumnElement[Any], downwards: bool, value: Stored, nullable: bool
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    if value is None:
        return sa.false(), column.is_(None)
    after = column < value if downwards else column > value
    return (sa.or_(after, column.is_(None)) if nullable else after), column == value


def _named(order: Order) -> str:
    return ",".join(("-" if downwards else "") + name for name, downwards in order)


def _next(view: View, order: Order, last: Sequence[Any] | None) -> str | None:
    if last is None:
        return None
    kinds = [view.fields[name].kind for name, _ in order]
    values = [
        bool(v) if kind == "boolean" and v is not None else v for v, kind in zip(last, kinds, strict=True)
    ]
    return cursor.write(cursor.Cursor(_named(order), values))


# sums


def _sums(connection: sa.Connection, view: View, query: Query, at: datetime, sequence: int) -> Page:
    """Exact sums by group: 64-bit numbers are added in two halves where the database would overflow."""
    column = view.source.c
    wide = connection.dialect.name == POSTGRESQL
    parts: list[sa.ColumnElement[Any]] = []
    for name in query.sums:
        whole: sa.ColumnElement[Any] = column[name]
        halves = [whole] if wide else [whole.op(">>")(32), whole.op("&")(MASK)]
        parts += [sa.func.coalesce(sa.func.sum(half), 0) for half in halves]
    groups = [column[name] for name in query.by]
    count = sa.func.count()
    statement = sa.select(*groups, count, *parts).where(*_where(view, query, at)).group_by(*groups)
    by_sum = query.sort in query.sums or (query.sort == "count" and "count" not in query.by)
    order = _order(view, query)
    skipped = 0
    if by_sum:
        skipped, statement = _by_sum(view, query, order, statement, count, parts, wide)
    else:
        statement = statement.where(*_beyond(view, query, order)).order_by(*_sorted(view, order))
    found = connection.execute(statement.limit(query.limit + 1)).fetchall()
    rows = [_joined(row, len(groups) + 1, wide) for row in found]
    places = [query.by.index(name) for name, _ in order if name in query.by]
    more = len(rows) > query.limit
    if by_sum:
        following = cursor.write(cursor.Cursor(_named(order), [skipped + query.limit])) if more else None
    else:
        last = [rows[query.limit - 1][place] for place in places] if more else None
        following = _next(view, order, last)
    fields = [view.fields[name] for name in query.by]
    fields.append(Field("count", "integer", False, int))
    fields += [view.fields[name] for name in query.sums]
    return Page(fields, rows[: query.limit], following, sequence, at)


def _by_sum(
    view: View,
    query: Query,
    order: Order,
    statement: sa.Select[Any],
    count: sa.ColumnElement[Any],
    parts: Sequence[sa.ColumnElement[Any]],
    wide: bool,
) -> tuple[int, sa.Select[Any]]:
    """Order groups by a sum. A sum has no index to go on from, so the cursor is a number of groups."""
    if query.sort == "count":
        keys: list[sa.ColumnElement[Any]] = [count]
    else:
        number = query.sums.index(query.sort)
        if wide:
            keys = [parts[number]]
        else:  # the halves, normalised: the lower one carries into the higher
            high, low = parts[2 * number], parts[2 * number + 1]
            keys = [high + low.op(">>")(32), low.op("&")(MASK)]
    sorted_by = [key.desc() if query.descending else key.asc() for key in keys]
    skipped = 0
    if query.cursor:
        [value] = cursor.read(query.cursor, _named(order), [int]).last
        skipped = value if isinstance(value, int) and value > 0 else 0
    rest = _sorted(view, order[1:])
    return skipped, statement.order_by(*sorted_by, *rest).offset(skipped)


def _joined(row: Sequence[Any], plain: int, wide: bool) -> list[Any]:
    parts = [int(part) for part in row[plain:]]
    if not wide:
        parts = [(high << 32) + low for high, low in zip(parts[::2], parts[1::2], strict=True)]
    return [*row[:plain], *parts]


def shown(page: Page) -> list[dict[str, Any]]:
    """The rows of a page as they are answered."""
    ways = [(field.name, field.show) for field in page.fields]
    return [
        {name: None if value is None else show(value) for (name, show), value in zip(ways, row, strict=True)}
        for row in page.rows
    ]
