"""Dealer assessments (考核): the figures a card looks at, and the card of every dealer filled in (domain.md §3.13)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.assessment import Deducted, Figure, Judged, score
from domain.calendar import business_day
from domain.field import (
    AssessmentInput,
    ComplaintOpened,
    ComplaintResolved,
    ViolationConfirmed,
    ViolationDismissed,
    ViolationRecorded,
)
from domain.numbers import ZERO, Money, portion
from domain.orders import OrderAmended, OrderCancelled, OrderPlaced
from domain.otif import DEFAULT
from domain.policies import ASSESSMENT, DEFAULT_CARD, Policy, card_of, in_force
from domain.stock import StockCounted
from projections.contracts import Contract
from projections.dealers import DealerState
from projections.documents import Change, Document
from projections.otif import OtifOrder
from projections.policies import published
from projections.projection import Computed, Projection
from projections.receivables import Invoice, Payment, Settlement
from projections.rows import Key, Row, Rows, Tables, table, view
from projections.targets import TargetPlan, targets

Filters = Mapping[str, Sequence[Any]]

PRICE_KINDS = ("price", "price_floor", "underselling", "price_breach")
DIVERSION_KINDS = ("diversion", "cross_region", "cross_selling")


@table("conduct_days", key=("dealer", "day"), period="day")
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
    by: str = ""
    sequence: int = 0


@view("assessments", key=("dealer", "period", "policy"), period="from_day")
class Assessment(Row):
    """A dealer's card for one period under the version of a policy in force when the period ended.

    Ask with `period=` (2026, 2026-Q1, 2026-03); left out, it is the quarter before and the present one. `criteria`
    and `deductions` add up to the score: 100 × Σ earned ÷ Σ points judged − Σ deductions.
    """

    dealer: str
    period: str
    policy: str
    version: str = ""
    name: str = ""
    from_day: date | None = None
    to_day: date | None = None
    contracted: bool = False  # a contract was in force in the period
    score: Decimal | None = None
    grade: str = ""
    coverage: Decimal = ZERO
    criteria: tuple[Judged, ...] = ()
    deductions: tuple[Deducted, ...] = ()


# the fold


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    if change.kind == "assessment_input":
        for document in (change.before, change.after):
            for place in _marks(document):
                yield GivenMark, (change.document.dealer, *place)
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
    old, new = conduct(change.before), conduct(change.after)
    if old == new:
        return
    for found, sign in ((old, -1), (new, 1)):
        if found is not None:
            row = rows.edit(ConductDay, found[0], found[1])
            for name, count in found[2].items():
                setattr(row, name, getattr(row, name) + sign * count)


def conduct(document: Document | None) -> tuple[str, date, dict[str, int]] | None:
    """What one document says of a dealer's conduct: dealer, day, counts."""
    if document is None:
        return None
    return _CONDUCT[document.kind](document)


def _order(document: Document) -> tuple[str, date, dict[str, int]] | None:
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
    return document.dealer, business_day(placed.data.placed or placed.time), counts


def _case(document: Document) -> tuple[str, date, dict[str, int]] | None:
    recorded, confirmed = document.one(ViolationRecorded), document.one(ViolationConfirmed)
    first = recorded or confirmed
    if first is None:
        return None
    dismissed = document.one(ViolationDismissed)
    if confirmed is None or (dismissed is not None and dismissed.time > confirmed.time):
        return document.dealer, business_day(first.time), {} if dismissed else {"violations_open": 1}
    kind = confirmed.data.kind
    name = "price_breaches" if kind in PRICE_KINDS else "other_violations"
    name = "diversions" if kind in DIVERSION_KINDS else name
    return document.dealer, business_day(first.time), {name: 1}


def _complaint(document: Document) -> tuple[str, date, dict[str, int]] | None:
    opened, resolved = document.one(ComplaintOpened), document.one(ComplaintResolved)
    if opened is None:
        return None
    counts = {"complaints": 1}
    if resolved is not None and resolved.data.decision is not None:
        decision = resolved.data.decision.strip().lower()
        if not decision.startswith(("unfounded", "不成立")):
            counts["complaints_upheld"] = 1
    return document.dealer, business_day(opened.time), counts


def _count(document: Document) -> tuple[str, date, dict[str, int]] | None:
    """A count of what stands at the dealer: it is published for the dealer, or for a location of its name."""
    event = document.one(StockCounted)
    if event is None:
        return None
    dealer = document.dealer or event.data.location
    present = {line.sku for line in event.data.lines if line.quantity > ZERO}
    return dealer, business_day(event.data.at), {"stock_checks": 1, "skus_present": len(present)}


_CONDUCT = {"order": _order, "case": _case, "complaint": _complaint, "count": _count}


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
        row.by = event.data.by if event is not None else ""
        row.sequence = event.sequence if event is not None else 0


# the view


class Period(Struct, frozen=True, gc=False):
    """A period with its name; [from_day, to_day)."""

    name: str
    from_day: date
    to_day: date


def period_of(name: str) -> Period | None:
    """The year, quarter or month of a name: 2026, 2026-Q1, 2026-03."""
    match = re.fullmatch(r"(\d{4})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?", name)
    if match is None or int(match[1]) < 1:
        return None
    year, months = int(match[1]), 12
    month = 1
    if match[2]:
        month, months = 3 * int(match[2]) - 2, 3
    elif match[3]:
        month, months = int(match[3]), 1
    end = month + months
    if year == 9999 and end > 12:
        return None
    return Period(name, date(year, month, 1), date(year + (end > 12), end - 12 if end > 12 else end, 1))


def quarters(day: date) -> list[Period]:
    """The quarter before a day's, and the day's own."""
    now = f"{day.year}-Q{(day.month + 2) // 3}"
    first = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1) - timedelta(days=1)
    names = [f"{first.year}-Q{(first.month + 2) // 3}", now]
    return [found for name in names if (found := period_of(name)) is not None]


def assessments(tables: Tables, at: datetime, filters: Filters) -> Iterator[Assessment]:
    """Every dealer's card for the periods asked about, of what was true by an instant.

    Dealers that did nothing in a period and were under no contract have no card.
    """
    periods = [found for name in filters.get("period", ()) if (found := period_of(name)) is not None]
    if "period" not in filters:
        periods = quarters(business_day(at))
    policies = published(tables)
    names = list(filters.get("policy", ())) or _policies(policies, at)
    states = {s.dealer: s.name for s in tables.select(DealerState, **_of(filters))}
    contracts = list(tables.select(Contract, **_of(filters)))
    for period in periods:
        end = min(datetime.combine(period.to_day, datetime.min.time(), UTC), at)
        figures = figures_of(tables, period, at, filters)
        given = _given(tables, period, filters)
        contracted = {
            c.dealer for c in contracts if c.from_day < period.to_day and period.from_day < c.to_day
        }
        dealers = sorted(figures.keys() | given.keys() | contracted)
        for name in names:
            policy = next((p for p in in_force(policies, ASSESSMENT, end, name) if card_of(p)), None)
            card = card_of(policy) if policy is not None else None
            if policy is None or card is None:
                continue
            for dealer in dealers:
                filled = score(card, figures.get(dealer, {}), given.get(dealer, {}))
                row = Assessment(dealer, period.name, policy.policy, policy.version, states.get(dealer, ""))
                row.from_day, row.to_day = period.from_day, period.to_day
                row.contracted = dealer in contracted
                row.score, row.grade, row.coverage = filled.score, filled.grade, filled.coverage
                row.criteria, row.deductions = filled.criteria, filled.deductions
                yield row


def _policies(policies: Sequence[Policy], at: datetime) -> list[str]:
    """The company's own cards; where it has published none, the built-in one."""
    own = sorted({p.policy for p in policies if p.kind == ASSESSMENT and p.effective <= at})
    return own or [DEFAULT_CARD]


def _of(filters: Filters) -> dict[str, Sequence[Any]]:
    return {"dealer": filters["dealer"]} if "dealer" in filters else {}


def figures_of(
    tables: Tables, period: Period, at: datetime, filters: Filters
) -> dict[str, dict[str, Figure]]:
    """What the log says of each dealer in a period: figure by name. What it cannot say is not there."""
    found: dict[str, dict[str, Figure]] = {}
    of = _of(filters)
    end = min(period.to_day, business_day(at) + timedelta(days=1))
    if end <= period.from_day:
        return found
    window = ("day", period.from_day, end)
    for dealer, *counts in tables.sums(ConductDay, ("dealer",), COUNTS, window, **of):
        found[dealer] = _conduct_figures(dict(zip(COUNTS, [Decimal(n) for n in counts], strict=True)))
    kept = ("on_time", "late", "early")
    for dealer, *numbers in tables.sums(OtifOrder, ("dealer",), kept, window, policy=[DEFAULT], **of):
        on_time, late, early = [Decimal(number) for number in numbers]
        if judged := on_time + late + early:
            found.setdefault(dealer, {})["on_time"] = Figure(on_time, judged)
    _payment_figures(tables, found, period, at, of)
    _target_figures(tables, found, period, at, of)
    return found


def _conduct_figures(counts: Mapping[str, Decimal]) -> dict[str, Figure]:
    figures = {
        "price_breaches": Figure(counts["price_breaches"]),
        "diversions": Figure(counts["diversions"]),
        "other_violations": Figure(counts["other_violations"]),
        "valid_complaints": Figure(counts["complaints_upheld"]),
    }
    if counts["orders"]:
        weighted = counts["cancelled"] * 3 + counts["major_changes"] * Decimal("1.5")
        weighted += counts["minor_changes"] * Decimal("0.5")
        figures["order_change_rate"] = Figure(weighted, counts["orders"])
    if counts["stock_checks"]:
        mean = portion(counts["skus_present"], Decimal(1), counts["stock_checks"])
        figures["skus_in_stock"] = Figure(mean)
    return figures


def _payment_figures(
    tables: Tables,
    found: dict[str, dict[str, Figure]],
    period: Period,
    at: datetime,
    of: Mapping[str, Sequence[Any]],
) -> None:
    """Invoices that fell due in the period and were not settled in time, and payments that bounced in it."""
    first = datetime.combine(period.from_day, datetime.min.time(), UTC)
    last = min(datetime.combine(period.to_day, datetime.min.time(), UTC), at)
    due = [i for i in tables.select(Invoice, ("due", first, last), **of) if i.kind == "invoice"]
    if due:
        ends = {(i.dealer, i.invoice): i.due for i in due}
        paid: dict[tuple[str, str], Money] = {}
        wanted = dict(of) if len(due) > 500 else {**of, "invoice": sorted({i.invoice for i in due})}
        for part in tables.select(Settlement, **wanted):
            end = ends.get((part.dealer, part.invoice))
            if end is not None and part.at <= end:
                paid[part.dealer, part.invoice] = paid.get((part.dealer, part.invoice), ZERO) + part.amount
    late: dict[str, int] = {}
    for invoice in due:
        late.setdefault(invoice.dealer, 0)
        late[invoice.dealer] += paid.get((invoice.dealer, invoice.invoice), ZERO) < invoice.amount
    for payment in tables.select(Payment, ("failed", first, last), **of):
        late[payment.dealer] = late.get(payment.dealer, 0) + 1
    for dealer, number in late.items():
        found.setdefault(dealer, {})["late_payments"] = Figure(Decimal(number))


def _target_figures(
    tables: Tables,
    found: dict[str, dict[str, Figure]],
    period: Period,
    at: datetime,
    of: Mapping[str, Sequence[Any]],
) -> None:
    """Targets of single dealers that lie within the period, in one currency each: whole range and main products."""
    end = min(datetime.combine(period.to_day, datetime.min.time(), UTC), at)
    plans = [
        p
        for p in tables.select(TargetPlan, ("from_day", period.from_day, period.to_day), **of)
        if p.dealer and p.to_day is not None and p.to_day <= period.to_day and p.level in ("", "base")
    ]
    if not plans:
        return
    sums: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for target in targets(tables, end, {"target": [p.target for p in plans]}):
        if target.actual is None or target.flow != "primary":
            continue
        whole_range = not target.category and target.measure == "amount"
        name = "target_attainment" if whole_range else "main_product_attainment"
        reached, value = sums.get((target.dealer, name), (ZERO, ZERO))
        sums[target.dealer, name] = reached + target.actual, value + target.value
    for (dealer, name), (reached, value) in sums.items():
        found.setdefault(dealer, {})[name] = Figure(reached, value)


def _given(tables: Tables, period: Period, filters: Filters) -> dict[str, dict[str, Decimal | str]]:
    found: dict[str, dict[str, Decimal | str]] = {}
    for mark in tables.select(GivenMark, from_day=[period.from_day], to_day=[period.to_day], **_of(filters)):
        said: Decimal | str | None = mark.grade or mark.value
        if said is not None:
            found.setdefault(mark.dealer, {})[mark.criterion] = said
    return found


ASSESSMENTS = Projection(
    name="assessments",
    rows=(ConductDay, GivenMark),
    kinds=frozenset({"assessment_input", *_CONDUCT}),
    keys=keys,
    fold=fold,
    modules=("projections.assessments",),
    views=(Assessment,),
    computed=(Computed(Assessment, assessments, always=True),),
    reads=("deliveries", "parties", "policies", "receivables", "targets", "sales"),
)
