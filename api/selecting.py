"""Which rows a query means and in what order, as SQL for both dialects; every order has one place for a row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from api import cursor
from api.fields import Stored
from api.query import Query
from api.views import View
from api.windows import Range
from domain.calendar import AHEAD_MAX, microseconds
from infra.tables import POSTGRESQL

Order = list[tuple[str, bool]]  # field, downwards

_AHEAD_US = int(AHEAD_MAX.total_seconds()) * 1_000_000


def conditions(view: View, query: Query, at: datetime) -> list[sa.ColumnElement[bool]]:
    """What rows must fulfil: the filters, and not to lie further ahead than is shown."""
    column = view.source.c
    wanted: list[sa.ColumnElement[bool]] = []
    for name, values in query.filters.items():
        some = [value for value in values if value is not None]
        options = [column[name] == some[0] if len(some) == 1 else column[name].in_(some)] if some else []
        if len(some) < len(values):
            options.append(column[name].is_(None))
        wanted.append(sa.or_(sa.false(), *options))
    if query.range or query.base:
        ranges = [query.range] if query.base is None else [query.range, query.base]
        wanted.append(sa.or_(*[within(view, range) for range in ranges]))
    if query.after is not None:
        wanted.append(column[view.follows] > query.after)
    if view.appears:
        appears = column[view.appears]
        wanted.append(sa.or_(appears.is_(None), appears <= microseconds(at) + _AHEAD_US))
    return wanted


def within(view: View, range: Range) -> sa.ColumnElement[bool]:
    """Which rows lie in a range."""
    column = view.source.c[view.period]
    since, until = range.stored()
    wanted = [] if since is None else [column >= since]
    return sa.and_(sa.true(), *wanted, *([] if until is None else [column < until]))


def order_of(view: View, query: Query) -> Order:
    """The sort, then the key: an order in which every row has its own place."""
    order: Order = [(query.sort, query.descending)] if query.sort else []
    rest = [name for name in (query.by if query.summing else view.key) if name != query.sort]
    return order + [(name, False) for name in rest]


def in_order(view: View, order: Order, dialect: str) -> list[sa.ColumnElement[Any]]:
    """The order as SQL, nulls last. Downwards an index can serve it: both dialects have them first in an index."""
    found: list[sa.ColumnElement[Any]] = []
    for name, downwards in order:
        column = view.source.c[name]
        if view.fields[name].nullable and dialect == POSTGRESQL:
            found.append(sa.nulls_last(column.desc() if downwards else column.asc()))
            continue
        if view.fields[name].nullable and not downwards:
            found.append(sa.case((column.is_(None), 1), else_=0))
        found.append(column.desc() if downwards else column.asc())
    return found


def beyond(view: View, query: Query, order: Order) -> list[sa.ColumnElement[bool]]:
    """The rows after the cursor's place in the order."""
    if not query.cursor:
        return []
    kinds = [view.fields[name].stored_type for name, _ in order]
    last = cursor.read(query.cursor, named(order), kinds).last
    columns = [view.source.c[name] for name, _ in order]
    if not any(downwards or view.fields[name].nullable for name, downwards in order) and None not in last:
        return [sa.tuple_(*columns) > sa.tuple_(*[sa.literal(value) for value in last])]
    rest: sa.ColumnElement[bool] = sa.false()
    for column, (name, downwards), value in reversed(list(zip(columns, order, last, strict=True))):
        after, level = _after(column, downwards, value, view.fields[name].nullable)
        rest = sa.or_(after, sa.and_(level, rest))
    return [rest]


def _after(
    column: sa.ColumnElement[Any], downwards: bool, value: Stored, nullable: bool
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    if value is None:
        return sa.false(), column.is_(None)
    bound = sa.literal(value)
    after = column < bound if downwards else column > bound
    return (sa.or_(after, column.is_(None)) if nullable else after), column == bound


def named(order: Order) -> str:
    """The order as its cursors name it."""
    return ",".join(("-" if downwards else "") + name for name, downwards in order)


def cursor_after(view: View, order: Order, last: Sequence[Any] | None) -> str | None:
    """The cursor of a page that ended with a row of these values; None where it was the last page."""
    if last is None:
        return None
    kinds = [view.fields[name].kind for name, _ in order]
    values = [
        bool(v) if kind == "boolean" and v is not None else v for v, kind in zip(last, kinds, strict=True)
    ]
    return cursor.write(cursor.Cursor(named(order), values))
