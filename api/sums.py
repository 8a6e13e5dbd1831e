"""Sums over the rows a query means, by group, exact however large, and never across currencies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from api import cursor
from api.fields import Field
from api.query import Query
from api.selecting import Order, beyond, conditions, cursor_after, in_order, named, order_of
from api.views import View
from infra.tables import POSTGRESQL, SQLITE

MASK = 2**32 - 1


Sums = tuple[list[Field], list[list[Any]], str | None]  # fields, rows as stored, cursor


def read_sums(connection: sa.Connection, view: View, query: Query, at: datetime) -> Sums:
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
    statement = sa.select(*groups, count, *parts).where(*conditions(view, query, at)).group_by(*groups)
    by_sum = query.sort in query.sums or (query.sort == "count" and "count" not in query.by)
    order = order_of(view, query)
    skipped = 0
    if by_sum:
        skipped, statement = _by_sum(view, query, order, statement, count, parts, wide)
    else:
        statement = statement.where(*beyond(view, query, order)).order_by(
            *in_order(view, order, connection.dialect.name)
        )
    found = connection.execute(statement.limit(query.limit + 1)).fetchall()
    rows = [_joined(row, len(groups) + 1, wide) for row in found]
    places = [query.by.index(name) for name, _ in order if name in query.by]
    more = len(rows) > query.limit
    if by_sum:
        following = cursor.write(cursor.Cursor(named(order), [skipped + query.limit])) if more else None
    else:
        last = [rows[query.limit - 1][place] for place in places] if more else None
        following = cursor_after(view, order, last)
    fields = [view.fields[name] for name in query.by]
    fields.append(Field("count", "integer", False, int))
    fields += [view.fields[name] for name in query.sums]
    return fields, rows[: query.limit], following


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
        [value] = cursor.read(query.cursor, named(order), [int]).last
        skipped = value if isinstance(value, int) and value > 0 else 0
    rest = in_order(view, order[1:], POSTGRESQL if wide else SQLITE)
    return skipped, statement.order_by(*sorted_by, *rest).offset(skipped)


def _joined(row: Sequence[Any], plain: int, wide: bool) -> list[Any]:
    parts = [int(part) for part in row[plain:]]
    if not wide:
        parts = [(high << 32) + low for high, low in zip(parts[::2], parts[1::2], strict=True)]
    return [*row[:plain], *parts]
