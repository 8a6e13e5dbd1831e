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

from api.fields import Field, Stored
from api.problems import Problem
from api.query import Query
from api.selecting import beyond, conditions, cursor_after, in_order, order_of
from api.sums import read_sums
from api.views import Reader, View
from infra.database import LIVE, STOPPED, Database, DatabaseError, Position
from infra.tables import SQLITE, Codec


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
            return Page(*read_sums(connection, view, query, at), _sequence(view, reader), at)
        order = order_of(view, query)
        statement = sa.select(*[view.source.c[name] for name in view.fields])
        statement = statement.where(*conditions(view, query, at)).limit(query.limit + 1)
        statement = statement.where(*beyond(view, query, order)).order_by(
            *in_order(view, order, connection.dialect.name)
        )
        rows = connection.execute(statement).fetchall()
        places = [list(view.fields).index(name) for name, _ in order]
        last = [rows[query.limit - 1][place] for place in places] if len(rows) > query.limit else None
        return Page(
            view.shown, rows[: query.limit], cursor_after(view, order, last), _sequence(view, reader), at
        )


def read_row(opened: Opened, view: View, key: Sequence[Stored], query: Query, now: datetime) -> Page:
    """Answer with the one row under a key, or with none."""
    at = query.valid_at or now
    narrowed = Query(filters={name: [value] for name, value in zip(view.key, key, strict=True)})
    with opened.reader() as reader, _rows_of(reader, view, narrowed, at, query.valid_at) as connection:
        statement = sa.select(*[view.source.c[name] for name in view.fields])
        rows = connection.execute(statement.where(*conditions(view, narrowed, at)).limit(1)).fetchall()
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


def shown(page: Page) -> list[dict[str, Any]]:
    """The rows of a page as they are answered."""
    ways = [(field.name, field.show) for field in page.fields]
    return [
        {name: None if value is None else show(value) for (name, show), value in zip(ways, row, strict=True)}
        for row in page.rows
    ]
