"""Where a view's rows are at an instant: stored, or computed for this one answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from api.fields import Stored
from api.moment import Moment
from api.problems import Problem
from api.query import Query
from api.selecting import conditions
from api.views import View
from domain.calendar import AHEAD_MAX, microseconds
from infra.database import in_memory
from infra.sql import Sql
from infra.tables import Codec, codec_of
from infra.wide import fitting
from projections.projection import Computed

DUE_MAX = 10_000


@contextmanager
def rows_of(
    connection: sa.Connection, view: View, query: Query, at: datetime
) -> Iterator[tuple[sa.Connection, View]]:
    """The view with a source of the rows it has at an instant, and the connection to read that from."""
    way = view.computed
    if way is None:
        yield connection, view
    elif way.always or query.valid_at is not None:
        codec = codec_of(view.row)
        found = way.answer(Moment(connection, view.key), at, wanted(codec, query.filters))
        rows = [codec.write(row) for row in found]
        with _aside(view, rows) as aside:
            yield aside, view
    elif way.due:
        yield connection, _with_due(connection, view, way, query, at)
    else:
        yield connection, view


def wanted(codec: Codec, filters: Mapping[str, Sequence[Stored]]) -> dict[str, list[Any]]:
    return {name: [codec.read_field(name, value) for value in values] for name, values in filters.items()}


@contextmanager
def _aside(view: View, rows: Sequence[tuple[Any, ...]]) -> Iterator[sa.Connection]:
    """A database of this moment with one table."""
    with in_memory().connect() as connection:
        names = ", ".join(f'"{name}"' for name in view.fields)
        connection.exec_driver_sql(f'CREATE TABLE "{view.name}" ({names})')
        if rows:
            marks = ", ".join("?" * len(view.fields))
            connection.exec_driver_sql(f'INSERT INTO "{view.name}" VALUES ({marks})', list(rows))
        yield connection


def _with_due(connection: sa.Connection, view: View, way: Computed, query: Query, at: datetime) -> View:
    """The stored rows, but computed those whose time has come since they were stored."""
    shown = at + AHEAD_MAX  # as far ahead of the log a fold takes things in
    column = view.source.c
    due = column[way.due] <= microseconds(shown)
    # By what they are called alone: of all else they may say something other by now.
    named = {name: values for name, values in query.filters.items() if name in view.key}
    meant = conditions(view, msgspec.structs.replace(query, filters=named), at, connection.dialect.name)
    keys = sa.select(*[column[name] for name in view.key]).where(due, *meant)
    found = {tuple(key) for key in connection.execute(keys.limit(DUE_MAX + 1))}
    if not found:
        return view
    if len(found) > DUE_MAX:
        reason = f"more than {DUE_MAX} rows waited for a time that has come: name fewer"
        raise Problem("cannot_be_answered", reason, [(name, reason) for name in view.key])
    codec = codec_of(view.row)
    bearing = {
        name: sorted(set(values)) for name, values in zip(view.key, zip(*found, strict=True), strict=True)
    }
    answered = way.answer(Moment(connection, view.key), shown, wanted(codec, bearing))
    rows = [row for row in map(codec.write, answered) if row[: len(view.key)] in found]
    computed = _given(connection, codec, rows)
    stored = sa.select(*column).where(sa.or_(column[way.due].is_(None), sa.not_(due)))
    whole = sa.union_all(stored, sa.select(*computed.c)).subquery(view.name)
    return msgspec.structs.replace(view, source=whole)


def _given(connection: sa.Connection, codec: Codec, rows: Sequence[tuple[Any, ...]]) -> sa.CTE:
    """Rows as a table of this one statement."""
    sql = Sql(connection.dialect.name)
    statement = sa.text(sql.given(codec).replace(sql.marked("?"), ":rows"))
    held = rows if sql.postgresql else [fitting(row) for row in rows]
    bound = statement.bindparams(rows=msgspec.json.encode(held).decode())
    return bound.columns(*[sa.column(column.name) for column in codec.columns]).cte("computed")
