"""Who may sell in which territory, and which territory a dealer's day belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache

import msgspec
from msgspec import Struct

from domain.calendar import business_day
from domain.envelope import Recorded
from domain.territories import TerritoryAssigned, TerritoryRevoked
from projections.documents import Change, Document
from projections.flags import Flag, mark
from projections.holdings import FOREVER, NEVER, Claim, flatten, put_difference
from projections.rows import Key, Row, Rows, table, view


class Withdrawn(Struct, frozen=True, gc=False):
    """Products taken out of a wider assignment, from this day on."""

    from_day: date
    skus: tuple[str, ...]
    categories: tuple[str, ...]


@table(
    "territory_assignments",
    key=("dealer", "territory", "from_day"),
    indexes=(("territory", "from_day"),),
)
class TerritoryAssignment(Row):
    """That a dealer may sell in a territory from one day up to another: everything, or these SKUs and categories."""

    dealer: str
    territory: str
    from_day: date
    to_day: date = NEVER
    exclusive: bool | None = None
    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()


@table("territory_holdings", key=("dealer", "from_day"), indexes=(("territory", "from_day"),))
class Holding(Row):
    """The territory a dealer's days belong to, disjoint: of several assignments the one that began last.

    Until the first assignment it is what master data says, the first of which holds from the beginning.
    """

    dealer: str
    from_day: date
    territory: str = ""
    to_day: date = NEVER


@table("dealer_territories", key=("dealer",))
class DealerTerritories(Row):
    """What a dealer's holdings are made of: assignments without a scope, and master data."""

    dealer: str
    assigned: tuple[Claim, ...] = ()
    recorded: tuple[Claim, ...] = ()


class Exclusive(Struct, frozen=True, gc=False, order=True):
    """That one dealer alone may sell in a territory."""

    dealer: str
    from_day: date
    to_day: date
    skus: tuple[str, ...]
    categories: tuple[str, ...]


@table("territory_claims", key=("territory",), home="shared")
class TerritoryClaims(Row):
    """Every exclusive assignment of a territory."""

    territory: str
    exclusive: tuple[Exclusive, ...] = ()


@table("territory_flags", key=("dealer", "kind", "subject"), view="flags")
class TerritoryFlag(Flag):
    """A territory that two dealers hold exclusively at once; the subject is the territory, the dealer is empty."""


@view(
    "territory_overlaps",
    key=("territory", "dealer", "other", "from_day"),
    sql=(
        "SELECT a.territory, a.dealer, b.dealer AS other,"
        " CASE WHEN a.from_day < b.from_day THEN b.from_day ELSE a.from_day END AS from_day,"
        " CASE WHEN a.to_day < b.to_day THEN a.to_day ELSE b.to_day END AS to_day, a.skus, a.categories"
        " FROM territory_assignments a JOIN territory_assignments b ON a.territory = b.territory"
        " WHERE a.dealer < b.dealer AND a.exclusive AND b.exclusive AND a.skus = b.skus"
        " AND a.categories = b.categories AND a.from_day < b.to_day AND b.from_day < a.to_day"
    ),
    across=("territory_assignment",),
)
class TerritoryOverlap(Row):
    """Two dealers who hold one territory exclusively, for the same products, on the same days."""

    territory: str
    dealer: str
    other: str
    from_day: date
    to_day: date = NEVER
    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def assignment_keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change of a dealer's assignments touches."""
    yield DealerTerritories, (change.document.dealer,)
    for territory in {*_exclusive(change.before), *_exclusive(change.after)}:
        yield TerritoryClaims, (territory,)
        yield TerritoryFlag, ("", "territory_overlap", territory)


def fold_assignments(change: Change, rows: Rows) -> None:
    """Put the dealer's assignments as they now stand, and who holds what by them."""
    dealer = change.document.dealer
    old, new = _assignments(change.before), _assignments(change.after)
    put_difference(rows, _rows(old), _rows(new))
    hold(rows, dealer, assigned=tuple([found.claim for found in new if found.claim is not None]))
    before, after = _exclusive(change.before), _exclusive(change.after)
    for territory in sorted({*before, *after}):
        if before.get(territory) != after.get(territory):
            _claim(change, rows, territory, after.get(territory, ()))


def hold(
    rows: Rows,
    dealer: str,
    *,
    assigned: tuple[Claim, ...] | None = None,
    recorded: tuple[Claim, ...] | None = None,
) -> None:
    """Put the dealer's holdings by what is assigned or recorded now; what is not given stays."""
    row = rows.read(DealerTerritories, dealer) or DealerTerritories(dealer)
    assigned = row.assigned if assigned is None else assigned
    recorded = row.recorded if recorded is None else recorded
    if (assigned, recorded) == (row.assigned, row.recorded):
        return
    old = _holdings(row)
    row = rows.edit(DealerTerritories, dealer)
    row.assigned, row.recorded = assigned, recorded
    put_difference(rows, old, _holdings(row))


def _holdings(row: DealerTerritories) -> dict[Key, Holding]:
    begin = min([claim.from_day for claim in row.assigned], default=FOREVER)
    known = [
        msgspec.structs.replace(
            claim, from_day=claim.from_day if number else NEVER, to_day=min(begin, claim.to_day)
        )
        for number, claim in enumerate(row.recorded)
    ]
    return {
        (row.dealer, start): Holding(row.dealer, start, territory, end)
        for start, end, territory in flatten([*known, *row.assigned])
    }


class _Assignment(Struct, frozen=True, gc=False):
    row: TerritoryAssignment
    claim: Claim | None  # where it has no scope


@lru_cache(maxsize=1024)
def _assignments(document: Document | None) -> tuple[_Assignment, ...]:
    """A dealer's assignments in the order in which they begin."""
    found: list[_Assignment] = []
    if document is None:
        return ()
    revoked = document.each(TerritoryRevoked)
    for assigned in sorted(document.each(TerritoryAssigned), key=lambda a: (a.data.from_, a.time)):
        row = _row(assigned, revoked)
        claim = None
        if not row.skus and not row.categories:
            claim = Claim(row.territory, row.from_day, row.to_day, assigned.data.from_, assigned.time)
        found.append(_Assignment(row, claim))
    return tuple(found)


def _rows(assignments: Iterable[_Assignment]) -> dict[Key, TerritoryAssignment]:
    """One row a day: of two that begin on one day in a territory, the later."""
    return {(a.row.dealer, a.row.territory, a.row.from_day): a.row for a in assignments}


def _row(
    assigned: Recorded[TerritoryAssigned], revoked: Iterable[Recorded[TerritoryRevoked]]
) -> TerritoryAssignment:
    data = assigned.data
    scope = tuple(sorted(data.skus)), tuple(sorted(data.categories))
    day, end = business_day(data.from_), business_day(data.to) if data.to is not None else FOREVER
    withdrawn = []
    for revocation in revoked:
        taken = revocation.data
        # Of both at one instant the one said last holds: taken back at once, or assigned anew.
        if taken.territory != data.territory or (taken.from_, revocation.time, revocation.sequence) < (
            data.from_,
            assigned.time,
            assigned.sequence,
        ):
            continue
        gone = tuple(sorted(taken.skus)), tuple(sorted(taken.categories))
        if gone in (scope, ((), ())):
            end = min(end, max(day, business_day(taken.from_)))
        elif scope == ((), ()) or not {*gone[0], *gone[1]}.isdisjoint({*scope[0], *scope[1]}):
            withdrawn.append(Withdrawn(business_day(taken.from_), *gone))
    withdrawn.sort(key=lambda part: (part.from_day, part.skus, part.categories))
    return TerritoryAssignment(
        data.dealer, data.territory, day, end, data.exclusive, *scope, tuple(withdrawn)
    )


def _exclusive(document: Document | None) -> dict[str, tuple[Exclusive, ...]]:
    found: dict[str, tuple[Exclusive, ...]] = {}
    for assignment in _assignments(document):
        row = assignment.row
        if row.exclusive and row.from_day < row.to_day:
            one = Exclusive(row.dealer, row.from_day, row.to_day, row.skus, row.categories)
            found[row.territory] = (*found.get(row.territory, ()), one)
    return found


def _claim(change: Change, rows: Rows, territory: str, mine: tuple[Exclusive, ...]) -> None:
    row = rows.edit(TerritoryClaims, territory)
    others = [claim for claim in row.exclusive if claim.dealer != change.document.dealer]
    row.exclusive = tuple(sorted([*others, *mine]))
    key = ("", "territory_overlap", territory)
    mark(rows, TerritoryFlag, change.event, key, _overlap(row.exclusive))


def _overlap(claims: Iterable[Exclusive]) -> bool:
    """Whether two dealers' claims of one scope meet; one dealer's own never do."""
    reach: dict[Key, dict[str, date]] = {}
    for claim in sorted(claims, key=lambda c: c.from_day):
        ends = reach.setdefault((claim.skus, claim.categories), {})
        if any(dealer != claim.dealer and claim.from_day < end for dealer, end in ends.items()):
            return True
        ends[claim.dealer] = max(claim.to_day, ends.get(claim.dealer, NEVER))
    return False
