"""The tree of territories, and the company's own units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domain.territories import OrgDefined, TerritoryDefined
from projections.documents import Change
from projections.rows import Key, Row, Rows, Tables, table, view


@table("territories", key=("territory",), home="shared", indexes=(("parent",),))
class Territory(Row):
    """A territory and what it is part of."""

    territory: str
    name: str = ""
    parent: str = ""
    codes: tuple[str, ...] = ()


@view(
    "territory_tree",
    key=("ancestor", "territory"),
    sql=(
        "WITH RECURSIVE tree (ancestor, territory) AS ("
        "SELECT territory, territory FROM territories UNION "
        "SELECT parent, parent FROM territories WHERE parent <> '' UNION "
        "SELECT tree.ancestor, t.territory FROM tree JOIN territories t ON t.parent = tree.territory) "
        "SELECT ancestor, territory FROM tree"
    ),
)
class TerritoryBranch(Row):
    """A territory, or what names one as its part, and one that lies within it, however deep: itself too."""

    ancestor: str
    territory: str


@table("orgs", key=("org",), home="shared", indexes=(("parent",),))
class Org(Row):
    """A unit of the company and what it is part of."""

    org: str
    name: str = ""
    parent: str = ""


def subtree(tables: Tables, territory: str) -> set[str]:
    """The territory and all that lies within it, however deep; parents that form a circle end it."""
    return _within(territory, [(found.parent, found.territory) for found in tables.select(Territory)])


def units(tables: Tables, org: str) -> set[str]:
    """The unit of the company and all that are part of it, however deep."""
    return _within(org, [(found.parent, found.org) for found in tables.select(Org)])


def _within(root: str, parts: Iterable[tuple[str, str]]) -> set[str]:
    children: dict[str, list[str]] = {}
    for parent, name in parts:
        children.setdefault(parent, []).append(name)
    inside, waiting = {root}, [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in inside:
                inside.add(child)
                waiting.append(child)
    return inside


def territory_keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The row a change of a territory or a unit touches."""
    yield Territory if change.kind == "territory" else Org, (change.document.id,)


def fold_territory(change: Change, rows: Rows) -> None:
    """Put the territory as it now stands."""
    row, document = rows.edit(Territory, change.document.id), change.after
    defined = document.one(TerritoryDefined) if document is not None else None
    row.name = defined.data.name if defined is not None else ""
    row.parent = (defined.data.parent or "") if defined is not None else ""
    row.codes = defined.data.codes if defined is not None else ()


def fold_org(change: Change, rows: Rows) -> None:
    """Put the unit as it now stands."""
    row, document = rows.edit(Org, change.document.id), change.after
    defined = document.one(OrgDefined) if document is not None else None
    row.name = defined.data.name if defined is not None else ""
    row.parent = (defined.data.parent or "") if defined is not None else ""
