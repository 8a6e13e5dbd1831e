"""Representatives and what they look after, and who looks after what on which day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from msgspec import Struct

from domain.calendar import business_day
from domain.territories import RepAssigned
from projections.documents import Change, Document
from projections.holdings import FOREVER, NEVER, Claim, flatten, put_difference
from projections.rows import Key, Row, Rows, table

KINDS = ("org", "territory", "dealer", "outlet", "route")
#: What one representative at a time answers for. Many belong to one unit.
HELD = ("territory", "dealer", "outlet", "route")


class Assignment(Struct, frozen=True, gc=False):
    """What a representative looks after, from one day up to another."""

    kind: str
    target: str
    from_day: date
    to_day: date


@table("reps", key=("rep",), home="shared")
class Rep(Row):
    """A representative with everything it was ever assigned to, and the days between which that was."""

    rep: str
    from_day: date | None = None
    to_day: date | None = None
    assignments: tuple[Assignment, ...] = ()


@table(
    "rep_assignments",
    key=("rep", "from_day", "kind", "target"),
    home="shared",
    indexes=(("kind", "target", "from_day"),),
)
class RepAssignment(Row):
    """That a representative looks after a unit, territory, dealer, outlet or route from one day up to another."""

    rep: str
    from_day: date
    kind: str
    target: str
    to_day: date = NEVER


@table(
    "rep_holdings",
    key=("kind", "target", "from_day"),
    home="shared",
    indexes=(("rep", "from_day"),),
)
class RepHolding(Row):
    """The representative a territory's, dealer's, outlet's or route's days belong to, disjoint: the last to begin."""

    kind: str
    target: str
    from_day: date
    rep: str = ""
    to_day: date = NEVER


@table("rep_targets", key=("kind", "target"), home="shared")
class RepTarget(Row):
    """Everybody who was ever assigned to a target."""

    kind: str
    target: str
    claims: tuple[Claim, ...] = ()


def rep_keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change of a representative touches."""
    yield Rep, (change.document.id,)
    for target in _changed(change):
        yield RepTarget, target


def fold_rep(change: Change, rows: Rows) -> None:
    """Put the representative's assignments as they now stand, and who holds their targets by them."""
    rep, new = change.document.id, _claims(change.after)
    put_difference(rows, _rows(rep, _claims(change.before)), _rows(rep, new))
    row = rows.edit(Rep, rep)
    row.assignments = tuple(
        [Assignment(*target, c.from_day, c.to_day) for target in sorted(new) for c in new[target]]
    )
    row.from_day = min([a.from_day for a in row.assignments], default=None)
    row.to_day = max([a.to_day for a in row.assignments], default=None)
    for target in _changed(change):
        held = rows.edit(RepTarget, *target)
        others = [claim for claim in held.claims if claim.value != rep]
        old = _holdings(held)
        held.claims = tuple(
            sorted([*others, *new.get(target, ())], key=lambda c: (c.from_day, c.begun, c.value))
        )
        put_difference(rows, old, _holdings(held))


Target = tuple[str, str]


def _changed(change: Change) -> list[Target]:
    """The targets that are held by one at a time and whose claims a change makes different."""
    old, new = _claims(change.before), _claims(change.after)
    return [t for t in sorted({*old, *new}) if t[0] in HELD and old.get(t) != new.get(t)]


@lru_cache(maxsize=1024)
def _claims(document: Document | None) -> dict[Target, tuple[Claim, ...]]:
    """A representative's claims by target, in the order in which they begin."""
    found: dict[Target, list[Claim]] = {}
    if document is None:
        return {}
    for assigned in sorted(document.each(RepAssigned), key=lambda a: (a.data.from_, a.time)):
        data, day = assigned.data, business_day(assigned.data.from_)
        end = business_day(data.until) if data.until is not None else FOREVER
        for kind in KINDS:
            if target := getattr(data.to, kind):
                claim = Claim(data.rep, day, end, data.from_, assigned.time)
                found.setdefault((kind, target), []).append(claim)
    return {target: tuple(claims) for target, claims in found.items()}


def _rows(rep: str, claims: dict[Target, tuple[Claim, ...]]) -> dict[Key, RepAssignment]:
    """One row a day and target: of two that begin on one day, the later."""
    return {
        (rep, c.from_day, *target): RepAssignment(rep, c.from_day, *target, c.to_day)
        for target, held in claims.items()
        for c in held
    }


def _holdings(row: RepTarget) -> dict[Key, RepHolding]:
    return {
        (row.kind, row.target, start): RepHolding(row.kind, row.target, start, rep, end)
        for start, end, rep in flatten(row.claims)
    }
