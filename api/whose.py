"""Whose rows a question is about: those of the dealers or places it names, or of whom it leads to."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from msgspec import Struct

from api.query import Query
from api.stage0 import EVENTS, DocumentKey, Index, naming
from domain.catalogue import BY_PAYLOAD
from domain.naming import OTHER, PROMOTION, REP, TERRITORY
from domain.plans import TargetRecord, TargetSet
from domain.territories import RepAssigned, TerritoryDefined

ASSIGNED, DEFINED = [BY_PAYLOAD[one].name for one in (RepAssigned, TerritoryDefined)]
TARGET = BY_PAYLOAD[TargetSet].document
#: Filters by what leads to dealers, and the kind of name they take.
LEADING = {
    "rep": REP,
    "stated_rep": REP,
    "promotion": PROMOTION,
    "territory": TERRITORY,
    "stated_territory": TERRITORY,
}


class Whose(Struct, frozen=True):
    """Whose rows are asked for: those of dealers, or of places, or everybody's.

    With rows of dealers `documents` of nobody count, too, and what is part of `targets`.
    """

    dealers: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    documents: frozenset[DocumentKey] = frozenset()
    everybody: bool = False


EVERYBODY = Whose(everybody=True)


def whose(index: Index, query: Query, kinds: Collection[str]) -> Whose:
    """Whose rows the filters of a query mean, where documents of these kinds are folded. Raises TooManyError.

    Rows of nobody may be anybody's doing. A representative, a territory, a promotion or a target leads to every dealer
    that ever had to do with it, whatever was said of it later.
    """
    filters = {name: frozenset(map(str, values)) for name, values in query.filters.items()}
    dealers, places = [filters.get(name, frozenset()) for name in ("dealer", "location")]
    if "" in dealers or (not dealers and "" in places):
        return EVERYBODY
    if dealers or places:
        return Whose(dealers) if dealers else Whose(places=places)
    if TARGET in kinds and (targets := filters.get("target")):
        return _of_targets(index, targets, kinds)
    for by, kind in LEADING.items():
        if (named := filters.get(by)) and "" not in named:
            return _led(index, {kind: set(named)}, kinds)
    return EVERYBODY if query.under is None else _led(index, {TERRITORY: {query.under}}, kinds)


def _of_targets(index: Index, targets: Collection[str], kinds: Collection[str]) -> Whose:
    """Whom targets were ever set for."""
    column, named = EVENTS.c, dict[str, set[str]]()
    said = index.at(index.sequences(column.kind == TARGET, column.document.in_(sorted(targets))))
    scopes = [event.data.scope for event in said if isinstance(event.data, TargetRecord)]
    for scope in scopes:
        ways = ((OTHER, scope.dealer), (REP, scope.rep), (TERRITORY, scope.territory))
        found = next(((kind, name) for kind, name in ways if name is not None), None)
        if found is None:
            return EVERYBODY
        named.setdefault(found[0], set()).add(found[1])
    return _led(index, named, kinds, {(TARGET, "", target) for target in targets})


def _led(
    index: Index,
    named: dict[str, set[str]],
    kinds: Collection[str],
    documents: Collection[DocumentKey] = frozenset(),
) -> Whose:
    """The dealers that names lead to, and the documents of nobody that have any of these names."""
    column = EVENTS.c
    dealers = set(named.get(OTHER, ()))
    territories, outlets = set(named.get(TERRITORY, ())), set[str]()
    if reps := named.get(REP):
        for event in index.at(index.sequences(column.type == ASSIGNED, column.document.in_(sorted(reps)))):
            assert isinstance(event.data, RepAssigned)
            to = event.data.to
            for name, some in ((to.dealer, dealers), (to.territory, territories), (to.outlet, outlets)):
                some |= {name} if name is not None else set()
    ways = {**named, OTHER: outlets, TERRITORY: _within(index, territories)}
    any_of = sa.or_(sa.false(), *[naming(names, what) for what, names in ways.items() if names])
    found = index.documents(any_of, column.kind.in_(sorted(kinds))).union(documents)
    of_nobody = frozenset(one for one in found if not one[1])
    targets = frozenset(name for kind, _, name in of_nobody if kind == TARGET)
    return Whose(
        frozenset(dealers | {dealer for _, dealer, _ in found} - {""}), frozenset(), targets, of_nobody
    )


def _within(index: Index, territories: set[str]) -> set[str]:
    """Territories with everything that was ever said to be part of them, however deep."""
    parts: dict[str, set[str]] = {}
    for event in index.at(index.sequences(EVENTS.c.type == DEFINED)) if territories else ():
        assert isinstance(event.data, TerritoryDefined)
        if event.data.parent is not None:
            parts.setdefault(event.data.parent, set()).add(event.data.territory)
    found, walk = set(territories), list(territories)
    for territory in walk:
        new = parts.get(territory, set()) - found
        found |= new
        walk += new
    return found
