"""Which rows a query means and in what order, as SQL for both dialects; every order has one place for a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa

from api import cursor
from api.exact import Parts, halves, parted
from api.fields import Stored
from api.query import Query
from api.views import View
from api.windows import Range
from domain.calendar import AHEAD_MAX, latest_day, microseconds, shifted
from infra.tables import POSTGRESQL

Order = list[tuple[str, bool]]  # field, downwards
# A database has truth as 0 or 1, and SQLite large decimals as texts.
_PLAIN: dict[str, Callable[[Any], int]] = {"boolean": bool, "decimal": int}


def conditions(view: View, query: Query, at: datetime, dialect: str) -> list[sa.ColumnElement[bool]]:
    """What rows must fulfil: the filters, and not to lie further ahead than is shown."""
    column = view.source.c
    wanted: list[sa.ColumnElement[bool]] = []
    for name, values in query.filters.items():
        some = [value for value in values if value is not None]
        if view.fields[name].kind == "decimal":
            options = [_level(view, name, value, dialect) for value in some]
        else:
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
        by_day = view.fields[view.appears].kind == "day"  # shown once it has begun anywhere
        seen = appears <= (latest_day(shown).isoformat() if by_day else microseconds(shown))
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
    column, kind = view.source.c[name], view.fields[name].kind
    return halves(dialect, column, kind) if kind == "decimal" else [column]


def _bounds(view: View, name: str, value: Stored, dialect: str) -> Parts:
    """What the parts of a field are compared with."""
    if view.fields[name].kind == "decimal" and value is not None:
        return parted(dialect, int(value))
    return [sa.literal(value)]


def _level(view: View, name: str, value: Stored, dialect: str) -> sa.ColumnElement[bool]:
    """Whether a field has a value."""
    pairs = zip(_parts(view, name, dialect), _bounds(view, name, value, dialect), strict=True)
    return sa.and_(*[part == bound for part, bound in pairs])


def beyond(view: View, query: Query, order: Order, dialect: str) -> list[sa.ColumnElement[bool]]:
    """The rows after the cursor's place in the order."""
    if not query.cursor:
        return []
    kinds = [view.fields[name].cursor_type for name, _ in order]
    last = cursor.read(query.cursor, named(order), kinds).last
    if not any(downwards or view.fields[name].nullable for name, downwards in order) and None not in last:
        parts = [_parts(view, name, dialect) for name, _ in order]
        bounds = [_bounds(view, name, value, dialect) for (name, _), value in zip(order, last, strict=True)]
        return [sa.tuple_(*chain(*parts)) > sa.tuple_(*chain(*bounds))]
    rest: sa.ColumnElement[bool] = sa.false()
    for (name, downwards), value in reversed(list(zip(order, last, strict=True))):
        after, level = _after(view, name, downwards, value, dialect)
        rest = sa.or_(after, sa.and_(level, rest))
    return [rest]


def _after(
    view: View, name: str, downwards: bool, value: Stored, dialect: str
) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """Whether a field comes after a value, and whether it is level with it."""
    column = view.source.c[name]
    if value is None:
        return sa.false(), column.is_(None)
    here = sa.tuple_(*_parts(view, name, dialect))
    there = sa.tuple_(*_bounds(view, name, value, dialect))
    after = here < there if downwards else here > there
    level = _level(view, name, value, dialect)
    return (sa.or_(after, column.is_(None)) if view.fields[name].nullable else after), level


def named(order: Order) -> str:
    """The order as its cursors name it."""
    return ",".join(("-" if downwards else "") + name for name, downwards in order)


def cursor_after(view: View, order: Order, last: Sequence[Any] | None) -> str | None:
    """The cursor of a page that ended with a row of these values; None where it was the last page."""
    if last is None:
        return None
    kinds = [view.fields[name].kind for name, _ in order]
    values = [
        v if v is None or kind not in _PLAIN else _PLAIN[kind](v) for v, kind in zip(last, kinds, strict=True)
    ]
    return cursor.write(cursor.Cursor(named(order), values))
