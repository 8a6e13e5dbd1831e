"""What the log says of a dealer in a period, by the names cards use (domain.md §3.13)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.calendar import business_day
from domain.numbers import ZERO, portion
from domain.otif import BUILT_IN, DEFAULT, judge
from domain.scoring import Figure
from projections.conduct import COUNTS, ConductDay
from projections.fulfilments import Fulfilment
from projections.ledger import Payment
from projections.otif import OtifOrder
from projections.receivables import InvoiceBalance
from projections.rows import Tables, Window
from projections.target_plans import TargetPlan
from projections.target_sales import SALES
from projections.targets import Target, targets

Filters = Mapping[str, Sequence[Any]]
Figures = dict[str, dict[str, Figure]]

ONE = Decimal(1)
CHECKS = ("stock_checks", "skus_present")


def figures_of(
    tables: Tables,
    period: tuple[date, date],
    at: datetime,
    filters: Filters,
    known: Collection[str],
) -> Figures:
    """The figures of every dealer in [from, to) up to an instant; what the log cannot say is not there.

    A place of which only stock checks are known is a dealer if it is `known` as one, else a warehouse.
    """
    found: Figures = {}
    of = of_dealers(filters)
    first, last = period[0], min(period[1], business_day(at) + timedelta(days=1))
    if last <= first:
        return found
    window = ("day", first, last)
    for dealer, *counts in tables.sums(ConductDay, ("dealer",), COUNTS, window, **of):
        held = dict(zip(COUNTS, [Decimal(number) for number in counts], strict=True))
        if dealer in known or any(held[name] for name in COUNTS if name not in CHECKS):
            found[dealer] = _conduct(held)
    _add_deliveries(tables, found, window, at, of)
    _add_payments(tables, found, window, business_day(at), of)
    _add_targets(tables, found, period, at, of)
    return found


def _add_deliveries(
    tables: Tables, found: Figures, window: Window, at: datetime, of: Mapping[str, Sequence[Any]]
) -> None:
    """Orders by how they came; one of which nothing came is judged, as failed, once its window has closed."""
    outcomes = ("on_time", "late", "early")
    on_time: dict[str, Decimal] = {}
    judged: dict[str, Decimal] = {}
    for dealer, *numbers in tables.sums(OtifOrder, ("dealer",), outcomes, window, policy=[DEFAULT], **of):
        on_time[dealer], *failed = [Decimal(number) for number in numbers]
        judged[dealer] = sum(failed, on_time[dealer])
    for order in tables.select(Fulfilment, window, outcome=["not_shipped"], **of):
        if judge(order.course, BUILT_IN[DEFAULT], at).overdue:
            judged[order.dealer] = judged.get(order.dealer, ZERO) + ONE
    for dealer, number in judged.items():
        if number:
            found.setdefault(dealer, {})["on_time"] = Figure(on_time.get(dealer, ZERO), number)


def of_dealers(filters: Filters) -> dict[str, Sequence[Any]]:
    """The part of the filters that every table about dealers can be narrowed by."""
    return {"dealer": filters["dealer"]} if "dealer" in filters else {}


def _conduct(counts: Mapping[str, Decimal]) -> dict[str, Figure]:
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
        figures["skus_in_stock"] = Figure(portion(counts["skus_present"], ONE, counts["stock_checks"]))
    return figures


def _add_payments(
    tables: Tables, found: Figures, window: Window, today: date, of: Mapping[str, Sequence[Any]]
) -> None:
    """Invoices that fell due before today and were not settled in time, and payments that bounced."""
    _, first, last = window
    late: dict[str, int] = {}
    if min(last, today) > first:
        for dealer, fell_due, missed in tables.sums(
            InvoiceBalance, ("dealer",), ("falls_due", "late"), ("due_day", first, min(last, today)), **of
        ):
            if fell_due:
                late[dealer] = missed
    for payment in tables.select(Payment, ("failed_day", first, last), **of):
        late[payment.dealer] = late.get(payment.dealer, 0) + 1
    for dealer, number in late.items():
        found.setdefault(dealer, {})["late_payments"] = Figure(Decimal(number))


def _add_targets(
    tables: Tables,
    found: Figures,
    period: tuple[date, date],
    at: datetime,
    of: Mapping[str, Sequence[Any]],
) -> None:
    """Targets of single dealers that lie within the period: those of all products, and those of some."""
    plans = {
        p.target: p
        for p in tables.select(TargetPlan, ("from_day", *period), **of)
        if p.dealer and p.to_day is not None and p.to_day <= period[1]
        if p.level in ("", "base") and p.flow == "primary" and p.measure in SALES
    }
    named = [p.target for p in plans.values() if p.parent not in plans]  # a part is in its whole already
    reached: dict[tuple[str, str], dict[tuple[str, str], tuple[Decimal, Decimal]]] = {}
    for target in targets(tables, at, {"target": named}) if named else ():
        if target.actual is not None:
            some = target.category or target.skus
            name = "main_product_attainment" if some else "target_attainment"
            units = reached.setdefault((target.dealer, name), {})
            actual, value = units.get(_unit(target), (ZERO, ZERO))
            units[_unit(target)] = actual + target.actual, value + target.value
    for (dealer, name), units in reached.items():
        if figure := _together(list(units.values())):
            found.setdefault(dealer, {})[name] = figure


def _unit(target: Target) -> tuple[str, str]:
    return (target.measure, target.currency) if target.measure == "amount" else (target.measure, "")


def _together(units: Sequence[tuple[Decimal, Decimal]]) -> Figure | None:
    """The sums of one unit as they are; of several, which cannot be added, the mean of what was reached of each."""
    units = [(actual, value) for actual, value in units if value]
    if not units:
        return None
    if len(units) == 1:
        return Figure(*units[0])
    ratios = [portion(actual, ONE, value) for actual, value in units]
    return Figure(sum(ratios, ZERO), Decimal(len(ratios)))
