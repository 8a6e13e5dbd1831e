"""Reading rows: every page, row and sum is one read transaction, together with the positions it is true at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.computing import rows_of
from api.fields import Field, Stored
from api.known import POLICY, refuse_unknown_policies
from api.past import Replaying
from api.problems import Problem
from api.query import Query
from api.selecting import beyond, conditions, cursor_after, in_order, order_of
from api.sums import coarsest, read_sums
from api.tree import narrowed
from api.views import Reader, View
from domain.gaps import Gap
from infra.database import LIVE, STOPPED, Database, DatabaseError, Position, driver_errors
from infra.materialising import Moment, moment_of
from infra.tables import SQLITE


class Page(Struct, frozen=True):
    """Rows as stored, the fields they have, and how far the log was taken in when they were read.

    They do not open up to their events where a policy was put in that is in no event.
    """

    fields: Sequence[Field]
    rows: Sequence[Sequence[Any]]
    next: str | None
    sequence: int
    at: datetime
    opens: bool = True


class Opened:
    """The database as the API reads it, opened when it can be; several threads may read at once.

    Where it is of a moment, questions that name no instant are of that one.
    """

    def __init__(self, url: str, replaying: Replaying) -> None:
        self.url = url
        self.replaying = replaying
        self._database: Database | None = None
        self._moment: Moment | None = None
        self.gaps: tuple[Gap, ...] = ()  # of the log, that were passed; as they were when it was last read

    @property
    def database(self) -> Database:
        """The database; raises DatabaseError where it cannot be opened (yet)."""
        if self._database is None:
            try:
                database = Database(self.url, read_only=True)
                self._moment = moment_of(database)
                self._database = database
            except driver_errors() as error:
                raise DatabaseError(f"the database cannot be opened: {error}") from error
        return self._database

    def moment(self) -> Moment | None:
        """What moment the database is of; None where it goes on."""
        return self._moment if self.database is not None else None

    def meant(self, query: Query) -> Query:
        """The query with the instant of the moment, where it names none."""
        moment = self.moment()
        if moment is None or moment.valid_at is None or query.valid_at is not None:
            return query
        return msgspec.structs.replace(query, valid_at=moment.valid_at)

    @contextmanager
    def asked(self, view: View, query: Query) -> Iterator[Reader]:
        """The database as a question means it: now, or the moment that is made of the events that bear on it."""
        moment = self.moment()
        its_own = moment is not None and query.valid_at == moment.valid_at
        if its_own and query.known_at is None and not query.without:
            with self.reader() as reader:
                yield reader
            return
        with self.reader() as reader, self.replaying.moment(reader, view, query) as there:
            yield there

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
                positions = _positions(connection)
                self.gaps = _gaps(connection) if positions else ()
                yield Reader(connection, positions, self._moment.policies if self._moment is not None else ())
        except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            raise self._away(error) from error

    def positions(self) -> list[Position]:
        """Every position; none where no projector has been here yet."""
        with self.reader() as reader:
            return list(reader.positions)

    def _away(self, error: sa.exc.DBAPIError) -> Exception:
        said = str(error.orig)
        kind = type(error.orig).__name__
        if "no such table" in said or "UndefinedTable" in kind:
            return Problem(
                "not_built", "the projector has not built this yet: start it, or ask again shortly"
            )
        if "no such column" in said or "UndefinedColumn" in kind:
            return Problem(
                "not_built",
                "what serves was built by another program, which did not know all of this: ask again when the "
                "projector of this one has built it beside",
            )
        if "integer overflow" in said:
            return Problem(
                "cannot_be_answered",
                "what settles one invoice in it is beyond the 9.2 × 10^12 that SQLite adds up: ask for other rows by "
                "name; PostgreSQL adds up any, where the present is asked for",
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


def _gaps(connection: sa.Connection) -> tuple[Gap, ...]:
    found = connection.exec_driver_sql("SELECT first_sequence, last_sequence FROM gaps ORDER BY 1")
    return tuple([Gap(*values) for values in found])


def reached(view: View, query: Query, positions: Sequence[Position]) -> int | None:
    """The lowest sequence among the projections that serve an answer; None where one is not there yet."""
    wanted = view.projections | view.tree if query.under is not None else view.projections
    serving = [p for p in positions if p.projection in wanted and p.status in (LIVE, STOPPED)]
    if {p.projection for p in serving} < wanted:
        return None
    return min(p.sequence for p in serving)


def read_page(opened: Opened, view: View, query: Query, now: datetime) -> Page:
    """Answer a query with a page of rows or of sums."""
    at = query.valid_at or now
    if POLICY in query.filters:  # of the book as it is now, whatever moment is asked for
        with opened.reader() as reader:
            refuse_unknown_policies(reader, view, query)
    with opened.asked(view, query) as reader:
        sequence, opens = reached(view, query, reader.positions) or 0, not reader.tried
        query = narrowed(reader.connection, query)
        view = coarsest(view, query)
        with rows_of(reader.connection, view, query, at) as (connection, view):
            if query.summing:
                return Page(*read_sums(connection, view, query, at), sequence, at, opens)
            order = order_of(view, query)
            dialect = connection.dialect.name
            statement = _selected(view, query, at, dialect).limit(query.limit + 1)
            statement = statement.where(*beyond(view, query, order, dialect))
            statement = statement.order_by(*in_order(view, order, dialect))
            rows = connection.execute(statement).fetchall()
            places = [list(view.fields).index(name) for name, _ in order]
            last = [rows[query.limit - 1][place] for place in places] if len(rows) > query.limit else None
            return Page(view.shown, rows[: query.limit], cursor_after(view, order, last), sequence, at, opens)


def read_row(opened: Opened, view: View, key: Sequence[Stored], query: Query, now: datetime) -> Page:
    """Answer with the one row under a key, or with none."""
    at = query.valid_at or now
    filters = {name: [value] for name, value in zip(view.key, key, strict=True)}
    query = msgspec.structs.replace(query, filters=filters)
    with (
        opened.asked(view, query) as reader,
        rows_of(reader.connection, view, query, at) as (connection, meant),
    ):
        statement = _selected(meant, query, at, connection.dialect.name)
        rows = connection.execute(statement.limit(1)).fetchall()
        sequence = reached(view, query, reader.positions) or 0
        return Page(view.shown, rows, None, sequence, at, not reader.tried)


def _selected(view: View, query: Query, at: datetime, dialect: str) -> sa.Select[Any]:
    columns = [view.source.c[name] for name in view.fields]
    return sa.select(*columns).where(*conditions(view, query, at, dialect))


def shown(page: Page) -> list[dict[str, Any]]:
    """The rows of a page as they are answered."""
    ways = [(field.name, field.show) for field in page.fields]
    return [
        {name: None if value is None else show(value) for (name, show), value in zip(ways, row, strict=True)}
        for row in page.rows
    ]
