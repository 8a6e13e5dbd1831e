"""Everything below a territory, however deep; a tree that bites its own tail ends all the same."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from api.problems import Problem
from api.query import Query
from api.views import PARENT, TERRITORIES, TERRITORY

_TERRITORIES = sa.table(TERRITORIES, sa.column(TERRITORY), sa.column(PARENT))


def below(connection: sa.Connection, top: str) -> list[str]:
    """The territory and all that are part of it, in order; a bad_parameter problem where there is none such."""
    children: dict[str, list[str]] = {}
    known = set()
    for territory, parent in connection.execute(sa.select(_TERRITORIES)):
        children.setdefault(parent or "", []).append(territory)
        known |= {territory, parent or ""}
    if not top or top not in known:
        reason = f"there is no territory {top!r}: see /{TERRITORIES}"
        raise Problem("bad_parameter", reason, [("under", reason)])
    found = {top: None}
    for territory in (walk := [top]):
        for child in children.get(territory, ()):
            if child not in found:
                found[child] = None
                walk.append(child)
    return sorted(found)


def narrowed(connection: sa.Connection, query: Query) -> Query:
    """The query with `under` as a filter of territories, beside one that it may have already."""
    if query.under is None:
        return query
    named = query.filters.get(TERRITORY)
    found = [one for one in below(connection, query.under) if named is None or one in named]
    return msgspec.structs.replace(query, filters={**query.filters, TERRITORY: found})
