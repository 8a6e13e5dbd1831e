"""Which rows a query means and in what order, as SQL for both dialects; every order has one place for a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa

from api import cursor
from api.exact import Parts, halves, parted
from api.query import Query
from api.views import View
from api.windows import Range
from domain.calendar import AHEAD_MAX, latest_day, microseconds, shifted
from infra.tables import POSTGRESQL

Order = list[tuple[str, bool]]  # field, downwards

_READ: dict[str, Callable[[Any], int]] = {
    "boolean": bool,
    "decimal": int,
}  # what a database says in other words


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
    if view.appears and query.valid_at is None:  # else nothing was folded that was not true by then
        appears, shown = column[view.appears], shifted(at, AHEAD_MAX)
        whole = view.fields[view.appears].kind == "day"  # shown once it has begun anywhere
        seen = appears <= (latest_day(shown).isoformat() if whole else microseconds(shown))
        wanted.append(sa.or_(appears.is_(None), seen) if view.fields[view.appears].nullable else seen)
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
        column, nullable = view.source.c[name], view.fields[name].nullable
        if nullable and dialect == POSTGRESQL:
            found.append(sa.nulls_last(column.desc() if downwards else column.asc()))
            continue
        if nullable and not downwards:
            found.append(sa.case((column.is_(None), 1), else_=0))
        found += [part.desc() if downwards else part.asc() for part in _parts(view, name, dialect)]
    return found


def _parts(view: View, name: str, dialect: str) -> Parts:
    """What a field is compared by."""
    column = view.source.c[name]
    return halves(dialect, column) if view.fields[name].kind == "decimal" else [column]


def beyond(view: View, query: Query, order: Order, dialect: str) -> list[sa.ColumnElement[bool]]:
    """The rows after the cursor's place in the order."""
    if not query.cursor:
        return []
    kinds = [view.fields[name].stored_type for name, _ in order]
    last = cursor.read(query.cursor, named(order), kinds).last
    parts = [_parts(view, name, dialect) for name, _ in order]
    bounds = [
        [sa.literal(value)]
        if view.fields[name].kind != "decimal" or value is None
        else parted(dialect, int(value))
        for (name, _), value in zip(order, last, strict=True)
    ]
    if not any(downwards or view.fields[name].nullable for name, downwards in order) and None not in last:
        return [sa.tuple_(*chain(*parts)) > sa.tuple_(*chain(*bounds))]
    rest: sa.ColumnElement[bool] = sa.false()
    for these, those, (name, downwards), value in reversed(
        list(zip(parts, bounds, order, last, strict=True))
    ):
        column, nullable = view.source.c[name], view.fields[name].nullable
        if value is None:
            rest = sa.and_(column.is_(None), rest)
            continue
        here, there = sa.tuple_(*these), sa.tuple_(*those)
        after = here < there if downwards else here > there
        level = sa.and_(*[this == that for this, that in zip(these, those, strict=True)])
        rest = sa.or_(sa.or_(after, column.is_(None)) if nullable else after, sa.and_(level, rest))
    return [rest]


def named(order: Order) -> str:
    """The order as its cursors name it."""
    return ",".join(("-" if downwards else "") + name for name, downwards in order)


def cursor_after(view: View, order: Order, last: Sequence[Any] | None) -> str | None:
    """The cursor of a page that ended with a row of these values; None where it was the last page."""
    if last is None:
        return None
    kinds = [view.fields[name].kind for name, _ in order]
    values = [
        v if v is None or kind not in _READ else _READ[kind](v) for v, kind in zip(last, kinds, strict=True)
    ]
    return cursor.write(cursor.Cursor(named(order), values))
