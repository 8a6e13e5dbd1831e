"""Sums over the rows a query means, by group, never across currencies, and beside those of another range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from api import cursor
from api.exact import Parts, added, halves, joined, minus, sorting
from api.fields import MILLION, Field
from api.query import DIFFERENCE, PREVIOUS, RATIO, Query
from api.selecting import beyond, conditions, cursor_after, in_order, named, order_of, within
from api.views import View

Sums = tuple[list[Field], list[list[Any]], str | None]  # fields, rows as stored, cursor
_COUNT = Field("count", "integer", False, int)


def coarsest(view: View, query: Query) -> View:
    """The view to read sums from: one with the same figures in fewer rows, where the query names only its fields."""
    coarser = view.coarser
    if coarser is None or not query.sums or query.valid_at or query.after is not None:
        return view
    asked = {*query.sums, *query.by, *query.filters, *([view.period] if query.range else ())}
    alike = (coarser.appears, coarser.period) == (view.appears, view.period)
    return coarser if alike and asked <= set(coarser.fields) else view


def read_sums(connection: sa.Connection, view: View, query: Query, at: datetime) -> Sums:
    """Exact sums by group. Beside those of another range every group of either appears."""
    dialect = connection.dialect.name
    column = view.source.c
    these = within(view, query.range) if query.base is not None else None
    numbers: dict[str, Parts] = {}
    for name in query.sums:
        parts = halves(dialect, column[name], view.fields[name].kind)
        numbers[name] = added(parts, these)
        if query.base is not None:
            numbers[name + PREVIOUS] = added(parts, within(view, query.base))
            numbers[name + DIFFERENCE] = minus(numbers[name], numbers[name + PREVIOUS])
    count = sa.func.count() if these is None else added([sa.literal(1)], these)[0]
    groups = [column[name] for name in query.by]
    every = [part for parts in numbers.values() for part in parts]
    statement = (
        sa.select(*groups, count, *every).where(*conditions(view, query, at, dialect)).group_by(*groups)
    )
    order = order_of(view, query)
    skipped = 0
    if by_sum := bool(query.sort) and query.sort not in query.by:
        if query.cursor:  # a sum has no index to go on from, so the cursor is a number of groups
            [value] = cursor.read(query.cursor, named(order), [int]).last
            skipped = value if isinstance(value, int) and value > 0 else 0
        sorted_by = sorting(numbers[query.sort]) if query.sort in numbers else [count]
        rest = in_order(view, order[1:], dialect)
        statement = statement.order_by(*[k.desc() if query.descending else k.asc() for k in sorted_by], *rest)
        statement = statement.offset(skipped)
    else:
        statement = statement.where(*beyond(view, query, order, dialect)).order_by(
            *in_order(view, order, dialect)
        )
    found = connection.execute(statement.limit(query.limit + 1)).fetchall()
    plain = len(groups) + 1
    rows = [[*row[:plain], *joined(dialect, row[plain:])] for row in found]
    last = rows[query.limit - 1] if len(rows) > query.limit else None
    if by_sum:
        following = cursor.write(cursor.Cursor(named(order), [skipped + query.limit])) if last else None
    else:
        following = cursor_after(view, order, last and [last[query.by.index(name)] for name, _ in order])
    fields = [*[view.fields[name] for name in query.by], _COUNT, *[_number(view, name) for name in numbers]]
    rows = rows[: query.limit]
    return (
        (fields, rows, following) if query.base is None else (*_with_ratios(fields, rows, query), following)
    )


def _number(view: View, name: str) -> Field:
    for ending in (PREVIOUS, DIFFERENCE):
        if name not in view.fields and name.endswith(ending):
            like = view.fields[name.removesuffix(ending)]
            return Field(name, like.kind, False, like.type)
    return view.fields[name]


def _with_ratios(
    fields: Sequence[Field], rows: Sequence[list[Any]], query: Query
) -> tuple[list[Field], list[list[Any]]]:
    """After every difference how many times the other range this one is; null where that has nothing."""
    wide, found = list(fields), [list(row) for row in rows]
    for name in query.sums:
        place = [field.name for field in wide].index(name)
        wide.insert(place + 3, Field(name + RATIO, "decimal", True, str))
        for row in found:
            this, that = row[place : place + 2]
            row.insert(place + 3, round(Fraction(this * MILLION, that)) if that else None)
    return wide, found
