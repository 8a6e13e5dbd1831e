"""What orders take of promotions, day by day, and what was planned of each (促銷)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from domain.calendar import business_day
from domain.numbers import ZERO, Money, Quantity, priced
from domain.orders import Line, OrderPlaced
from domain.promotions import (
    Baseline,
    PromotionAmended,
    PromotionApproved,
    PromotionEnded,
    PromotionPlanned,
    PromotionStarted,
    Scope,
)
from projections.documents import Change, Document
from projections.orders import lines_of, status_of
from projections.rows import Key, Row, Rows, table

ONE = Decimal(1)
_STEPS = ((PromotionEnded, "ended"), (PromotionStarted, "started"), (PromotionApproved, "approved"))


@table("promotion_plans", key=("promotion",), home="shared")
class PromotionPlan(Row):
    """A promotion as it was last planned or amended, and how far it has come."""

    promotion: str
    name: str = ""
    status: str = ""  # planned, approved, started or ended
    from_day: date | None = None
    to_day: date | None = None
    mechanics: dict[str, Any] | None = None
    scope: Scope | None = None
    baseline: Baseline | None = None
    budget: str = ""


@table(
    "promotion_days",
    key=("promotion", "dealer", "day", "sku", "currency"),
    home="shared",
    indexes=(("dealer", "day"),),
    period="day",
)
class PromotionDay(Row):
    """What was ordered under a promotion: a line that names several counts in each, with its own discount."""

    promotion: str
    dealer: str
    day: date
    sku: str
    currency: str
    lines: int = 0
    quantity: Quantity = ZERO
    net: Money = ZERO
    discount: Money = ZERO
    free: Quantity = ZERO
    cost: Money = ZERO
    costed_net: Money = ZERO  # the net of what has a cost: margin is this less cost
    costed: Quantity = ZERO  # of that what was paid for: free goods lower what a unit earns


FIGURES = ("lines", "quantity", "net", "discount", "free", "cost", "costed_net", "costed")


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    if change.kind == "promotion":
        yield PromotionPlan, (change.document.id,)
        return
    dealer = change.document.dealer
    old, new = promoted(change.before), promoted(change.after)
    if old is not new:
        for promotion, *rest in {**old, **new}:
            yield PromotionDay, (promotion, dealer, *rest)


def fold(change: Change, rows: Rows) -> None:
    """Put the promotion as it stands; take an order's old effect off and put the new one on."""
    if change.kind == "promotion":
        _put_plan(rows.edit(PromotionPlan, change.document.id), change.after)
        return
    old, new = promoted(change.before), promoted(change.after)
    if old is new:
        return
    for place in {**old, **new}:
        was, now = old.get(place, _NOTHING), new.get(place, _NOTHING)
        if was != now:
            promotion, *rest = place
            row = rows.edit(PromotionDay, promotion, change.document.dealer, *rest)
            row.lines += int(now[0] - was[0])
            for name, before, after in zip(FIGURES[1:], was[1:], now[1:], strict=True):
                setattr(row, name, getattr(row, name) + after - before)


Place = tuple[str, date, str, str]  # promotion, day, SKU, currency
_NOTHING = (ZERO,) * len(FIGURES)
_NONE: dict[Place, tuple[Decimal, ...]] = {}


def promoted(document: Document | None) -> dict[Place, tuple[Decimal, ...]]:
    """What an order takes of promotions; nothing of one that is cancelled."""
    return _NONE if document is None else _promoted(document)


@lru_cache(maxsize=2048)
def _promoted(document: Document) -> dict[Place, tuple[Decimal, ...]]:
    event = document.one(OrderPlaced)
    if event is None:
        return _NONE
    lines = [line for line in lines_of(document) if line.discounts or line.free is not None]
    if not lines or status_of(document) == "cancelled":
        return _NONE
    day = business_day(event.data.placed or document.opened(OrderPlaced) or event.time)
    found: dict[Place, tuple[Decimal, ...]] = {}
    for line in lines:
        named = names(line)
        if not named:
            continue
        cost = line.cost
        if cost is None and line.unit_cost is not None:
            cost = priced(line.unit_cost, line.quantity, ONE)
        free = line.free is not None
        sold = (ZERO, line.quantity) if free else (line.quantity, ZERO)
        costed = (ZERO, ZERO, ZERO) if cost is None else (cost, line.net, sold[0])
        for promotion, discount in named.items():
            place = promotion, day, line.sku, event.data.currency
            figures = (ONE, sold[0], line.net, discount, sold[1], *costed)
            held = found.get(place, _NOTHING)
            found[place] = tuple([a + b for a, b in zip(held, figures, strict=True)])
    return found or _NONE


def names(line: Line) -> dict[str, Decimal]:
    """The promotions a line names, with the discount each gave."""
    found: dict[str, Decimal] = {}
    for discount in line.discounts:
        if discount.promotion is not None:
            found[discount.promotion] = found.get(discount.promotion, ZERO) + discount.amount
    if line.free is not None and line.free.promotion is not None:
        found.setdefault(line.free.promotion, ZERO)
    return found


def _put_plan(row: PromotionPlan, document: Document | None) -> None:
    blank = PromotionPlan(row.promotion)
    for name in PromotionPlan.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    if document is None:
        return
    records = [s.data for s in document.statements if isinstance(s.data, PromotionPlanned | PromotionAmended)]
    row.status = next((name for step, name in _STEPS if document.one(step) is not None), "planned")
    if records:
        data = records[-1]
        row.name, row.scope, row.baseline, row.budget = (
            data.name,
            data.scope,
            data.baseline,
            data.budget or "",
        )
        row.from_day, row.to_day = business_day(data.from_), business_day(data.to)
        row.mechanics = msgspec.to_builtins(data.mechanics)
