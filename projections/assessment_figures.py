"""What the log says of a dealer in a period, by the names cards use (domain.md §3.13)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.calendar import earliest_day, latest_day
from domain.numbers import ZERO, portion
from domain.otif import BUILT_IN, DEFAULT, judge
from domain.scoring import Figure
from projections.conduct import COUNTS, ConductDay
from projections.fulfilments import Fulfilment
from projections.ledger import Payment
from projections.otif import LateMove, OtifOrder, OtifPolicy, course_at, otif
from projections.receivables import InvoiceBalance
from projections.rows import Tables, Window
from projections.target_plans import TargetPlan
from projections.target_sales import SALES
from projections.targets import Target, targets

Filters = Mapping[str, Sequence[Any]]
Figures = dict[str, dict[str, Figure]]

ONE = Decimal(1)
FAR = datetime.max.replace(tzinfo=UTC)
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
    first, last = period[0], min(period[1], latest_day(at) + timedelta(days=1))
    if last <= first:
        return found
    window = ("day", first, last)
    for dealer, *counts in tables.sums(ConductDay, ("dealer",), COUNTS, window, **of):
        held = dict(zip(COUNTS, [Decimal(number) for number in counts], strict=True))
        if dealer in known or any(held[name] for name in COUNTS if name not in CHECKS):
            found[dealer] = _conduct(held)
    _add_deliveries(tables, found, window, at, of)
    _add_payments(tables, found, window, at, of)
    _add_targets(tables, found, period, at, of)
    return found


def _add_deliveries(
    tables: Tables, found: Figures, window: Window, at: datetime, of: Mapping[str, Sequence[Any]]
) -> None:
    """Orders by how they came, under the company's own rule where it has published one."""
    own = any(version.rule is not None for version in tables.select(OtifPolicy, policy=[DEFAULT]))
    on_time: dict[str, int] = {}
    judged: dict[str, int] = {}
    for dealer, came, seen in (_by_own_rule if own else _by_built_in_rule)(tables, window, at, of):
        on_time[dealer] = on_time.get(dealer, 0) + came
        judged[dealer] = judged.get(dealer, 0) + seen
    for dealer, number in judged.items():
        if number:
            found.setdefault(dealer, {})["on_time"] = Figure(Decimal(on_time[dealer]), Decimal(number))


#: Dealer, orders that came on time, and all that came, or should have: a window that closed on nothing is a failure.
Came = tuple[str, int, int]


def _by_built_in_rule(
    tables: Tables, window: Window, at: datetime, of: Mapping[str, Sequence[Any]]
) -> Iterator[Came]:
    """What is stored, which is right of what had all moved by then; other orders are looked at instead."""
    outcomes = ("on_time", "late", "early")
    for dealer, *numbers in tables.sums(OtifOrder, ("dealer",), outcomes, window, policy=[DEFAULT], **of):
        yield dealer, int(numbers[0]), int(sum(numbers))
    for order in tables.select(Fulfilment, window, outcome=["not_shipped"], **of):
        by_then = order.moved is None or order.moved <= at
        if by_then and judge(order.course, BUILT_IN[DEFAULT], at).overdue:
            yield order.dealer, 0, 1
    for order in _moved_later(tables, window, at, of):
        then = judge(course_at(order.course, at), BUILT_IN[DEFAULT], at)
        on_time = int(then.outcome == "on_time") - int(order.outcome == "on_time")
        seen = int(then.outcome in outcomes or then.overdue) - int(order.outcome in outcomes)
        yield order.dealer, on_time, seen


def _moved_later(
    tables: Tables, window: Window, at: datetime, of: Mapping[str, Sequence[Any]]
) -> Iterator[Fulfilment]:
    """Orders of which something left or arrived after an instant: before it they were judged without."""
    _, first, last = window
    today = max(first, earliest_day(at))
    if today < last:
        for order in tables.select(Fulfilment, ("day", today, last), **of):
            if order.moved is not None and order.moved > at:
                yield order
    late: dict[str, list[str]] = {}
    for move in tables.select(LateMove, ("moved", at + timedelta.resolution, FAR), **of):
        if move.day is not None and first <= move.day < min(today, last):
            late.setdefault(move.dealer, []).append(move.order)
    for dealer, orders in late.items():
        yield from tables.select(Fulfilment, dealer=[dealer], order=orders)


def _by_own_rule(
    tables: Tables, window: Window, at: datetime, of: Mapping[str, Sequence[Any]]
) -> Iterator[Came]:
    """Every order judged by the version that was in force when it was placed."""
    _, first, last = window
    for order in otif(tables, at, of):
        if order.day is not None and first <= order.day < last:
            missing = order.not_shipped and order.overdue
            yield order.dealer, order.on_time, order.on_time + order.late + order.early + missing


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
    tables: Tables, found: Figures, window: Window, at: datetime, of: Mapping[str, Sequence[Any]]
) -> None:
    """Invoices that had fallen due and were not settled in time, and payments that bounced."""
    _, first, last = window
    late: dict[str, int] = {}
    near = min(last, max(first, earliest_day(at)))  # before it all fell due
    if first < near:
        for dealer, fell_due, missed in tables.sums(
            InvoiceBalance, ("dealer",), ("falls_due", "late"), ("due_day", first, near), **of
        ):
            if fell_due:
                late[dealer] = int(missed)
    for invoice in tables.select(InvoiceBalance, ("due_day", near, last), **of) if near < last else ():
        if invoice.due is not None and invoice.due <= at:
            late[invoice.dealer] = late.get(invoice.dealer, 0) + invoice.late
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
