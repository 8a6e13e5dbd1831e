"""How dealers conduct themselves (考核): what cards look at and no other read model keeps, and marks given by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from domain.calendar import business_day
from domain.field import (
    AssessmentInput,
    ComplaintOpened,
    ComplaintResolved,
    ViolationConfirmed,
    ViolationDismissed,
    ViolationRecorded,
)
from domain.numbers import ZERO
from domain.orders import (
    OrderAmended,
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderHeld,
    OrderPlaced,
    OrderReleased,
)
from domain.stock import StockCounted
from projections.documents import Change, Document
from projections.rows import Key, Row, Rows, table

PRICE_KINDS = ("price", "price_floor", "underselling", "price_breach")
DIVERSION_KINDS = ("diversion", "cross_region", "cross_selling")
#: What an order can go through without its dealer having done anything: most of what there is to fold.
_IDLE = frozenset({OrderConfirmed, OrderHeld, OrderReleased, OrderClosed})

Conduct = tuple[str, date, dict[str, int]]


@table("conduct_days", key=("dealer", "day"), indexes=(("day",),), period="day")
class ConductDay(Row):
    """What a dealer did on one day that cards look at, in counts. Orders count on the day they were placed."""

    dealer: str
    day: date
    orders: int = 0
    cancelled: int = 0  # by the dealer, or nobody says by whom
    major_changes: int = 0
    minor_changes: int = 0
    price_breaches: int = 0  # confirmed, on the day they were recorded
    diversions: int = 0
    other_violations: int = 0
    violations_open: int = 0
    complaints: int = 0
    complaints_upheld: int = 0  # resolved with a decision that does not begin with "unfounded" or "不成立"
    stock_checks: int = 0
    skus_present: int = 0  # over all stock checks of the day


COUNTS = tuple(ConductDay.__struct_fields__[2:])


@table("assessment_inputs", key=("dealer", "from_day", "to_day", "criterion"))
class GivenMark(Row):
    """What a person gave a dealer by one criterion of a period."""

    dealer: str
    from_day: date
    to_day: date
    criterion: str
    value: Decimal | None = None
    grade: str = ""
    given_by: str = ""
    sequence: int = 0


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    if change.kind == "assessment_input":
        for document in (change.before, change.after):
            for place in _marks(document):
                yield GivenMark, (change.document.dealer, *place)
        return
    if type(change.event.data) in _IDLE:
        return
    for document in (change.before, change.after):
        found = conduct(document)
        if found is not None:
            yield ConductDay, (found[0], found[1])


def fold(change: Change, rows: Rows) -> None:
    """Take off what the document said of conduct before and put on what it says now."""
    if change.kind == "assessment_input":
        _put_marks(change, rows)
        return
    if type(change.event.data) in _IDLE:
        return
    old, new = conduct(change.before), conduct(change.after)
    if old == new:
        return
    for found, sign in ((old, -1), (new, 1)):
        if found is not None:
            row = rows.edit(ConductDay, found[0], found[1])
            for name, count in found[2].items():
                setattr(row, name, getattr(row, name) + sign * count)


def conduct(document: Document | None) -> Conduct | None:
    """What one document says of a dealer's conduct: dealer, day, counts."""
    return None if document is None else _conduct(document)


@lru_cache(maxsize=2048)
def _conduct(document: Document) -> Conduct | None:
    return CONDUCT[document.kind](document)


def _order(document: Document) -> Conduct | None:
    placed = document.one(OrderPlaced)
    if placed is None:
        return None
    counts = {"orders": 1}
    cancelled = document.one(OrderCancelled)
    if cancelled is not None and cancelled.data.initiator in (None, "dealer"):
        counts["cancelled"] = 1
    for statement in document.statements:
        if isinstance(statement.data, OrderAmended) and statement.data.initiator == "dealer":
            name = "major_changes" if statement.data.severity == "major" else "minor_changes"
            counts[name] = counts.get(name, 0) + 1
    day = business_day(placed.data.placed or document.opened(OrderPlaced) or placed.time)
    return document.dealer, day, counts


def _case(document: Document) -> Conduct | None:
    confirmed = document.one(ViolationConfirmed)
    since = document.opened(ViolationRecorded) or document.opened(ViolationConfirmed)
    if since is None:
        return None
    dismissed = document.one(ViolationDismissed)
    if confirmed is None or (dismissed is not None and dismissed.time > confirmed.time):
        return document.dealer, business_day(since), {} if dismissed else {"violations_open": 1}
    kind = confirmed.data.kind
    name = "price_breaches" if kind in PRICE_KINDS else "other_violations"
    name = "diversions" if kind in DIVERSION_KINDS else name
    return document.dealer, business_day(since), {name: 1}


def _complaint(document: Document) -> Conduct | None:
    since, resolved = document.opened(ComplaintOpened), document.one(ComplaintResolved)
    if since is None:
        return None
    counts = {"complaints": 1}
    if resolved is not None and resolved.data.decision is not None:
        decision = resolved.data.decision.strip().lower()
        if not decision.startswith(("unfounded", "不成立")):
            counts["complaints_upheld"] = 1
    return document.dealer, business_day(since), counts


def _count(document: Document) -> Conduct | None:
    """A count of what stands at the dealer: it is published for the dealer, or for a location of its name."""
    event = document.one(StockCounted)
    if event is None:
        return None
    dealer = document.dealer or event.data.location
    present = {line.sku for line in event.data.lines if line.quantity > ZERO}
    return dealer, business_day(event.data.at), {"stock_checks": 1, "skus_present": len(present)}


CONDUCT = {"order": _order, "case": _case, "complaint": _complaint, "count": _count}


def _marks(document: Document | None) -> dict[tuple[date, date, str], Any]:
    events = document.each(AssessmentInput) if document is not None else []
    return {
        (business_day(e.data.period.from_), business_day(e.data.period.to), e.data.criterion): e
        for e in events
    }


def _put_marks(change: Change, rows: Rows) -> None:
    old, new = _marks(change.before), _marks(change.after)
    for place in {**old, **new}:
        row = rows.edit(GivenMark, change.document.dealer, *place)
        event = new.get(place)
        row.value = event.data.value if event is not None else None
        row.grade = (event.data.grade or "") if event is not None else ""
        row.given_by = event.data.by if event is not None else ""
        row.sequence = event.sequence if event is not None else 0
