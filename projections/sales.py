"""Sales: what every dealer bought, took, returned, was charged for and sold on, by day and product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from domain.calendar import business_day, shifted
from domain.numbers import ZERO
from domain.orders import OrderClosed, OrderConfirmed, OrderHeld, OrderReleased
from domain.stock import SelloutReported
from projections.documents import Change, Document
from projections.products import Product, list_product
from projections.projection import Projection
from projections.rows import Key, Row, Rows
from projections.sales_orders import (
    STAGES_OF,
    Groups,
    Part,
    SalesOrder,
    SoldLine,
    Stage,
    parts_of,
    still_sold,
    terms,
    worth,
)
from projections.sales_rows import DealerDay, DealerSale, Sale, SalesDay

# What these say of an order changes neither what was ordered nor whether it counts.
_SILENT = (OrderConfirmed, OrderHeld, OrderReleased, OrderClosed)


class Whose(NamedTuple):
    """The part of a row's key that an order decides, beside its day."""

    rep: str
    territory: str
    currency: str


NOBODY = Whose("", "", "")
_NONE: Groups = {}


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The orders a change is about."""
    dealer = change.document.dealer
    if change.kind == "order":
        if type(change.event.data) not in _SILENT:
            yield SalesOrder, (dealer, change.document.id)
    elif change.kind in STAGES_OF:
        for difference in differences(change):
            if difference.order:
                yield SalesOrder, (dealer, difference.order)


def further(changes: Sequence[Change], rows: Rows) -> Iterator[Iterable[tuple[type[Row], Key]]]:
    """The days that changes touch, known once their orders are, then the products of those days.

    Where a dealer's day is not stored, none of its products are: most days are new, and need not be looked for.
    """
    touched = _touched(changes, rows)
    yield [(DealerDay, day) for day in touched]
    found: list[tuple[type[Row], Key]] = []
    for day, skus in touched.items():
        dealer, on, *whose = day
        if rows.read(DealerDay, *day) is None:
            for sku in skus:
                rows.absent(SalesDay, dealer, on, sku, *whose)
        else:
            found.extend([(SalesDay, (dealer, on, sku, *whose)) for sku in skus])
    yield found


def _touched(changes: Sequence[Change], rows: Rows) -> dict[Key, set[str]]:
    """The products by dealer's day; what an order of the same batch says of it goes before what is stored."""
    days: dict[Key, set[str]] = {}
    placed: dict[tuple[str, str], Whose] = {}
    for change in changes:
        dealer, kind = change.document.dealer, change.kind
        if kind == "order":
            if type(change.event.data) in _SILENT:
                continue
            held = rows.read(SalesOrder, dealer, change.document.id)
            if held is not None:
                _add_days(days, dealer, held.parts, _whose(held))
            for found in (terms(change.before), terms(change.after)):
                if found is not None:
                    whose = Whose(found.rep, found.territory, found.currency)
                    placed[dealer, change.document.id] = whose
                    skus = days.setdefault((dealer, found.day, *whose), set())
                    skus.update([line.sku for line in found.lines])
                    if held is not None:
                        _add_days(days, dealer, held.parts, whose)
        elif kind in STAGES_OF:
            for name, gone, come, different in differences(change):
                known = placed.get((dealer, name))
                if known is None:
                    known = _whose(rows.read(SalesOrder, dealer, name)) if name else NOBODY
                for group in different:
                    for parts in (gone.get(group), come.get(group)):
                        if parts is not None:
                            _add_days(days, dealer, parts, known)
        elif kind == "report":
            for report in (resold(change.before), resold(change.after)):
                if report is not None:
                    days.setdefault((dealer, report.day, "", "", report.currency), set()).update(report.lines)
    return days


def _add_days(days: dict[Key, set[str]], dealer: str, parts: Iterable[Part], whose: Whose) -> None:
    rep, territory, currency = whose
    for part in parts:
        key = (dealer, part.day, rep, territory, part.currency or currency)
        days.setdefault(key, set()).add(part.sku)


def _whose(order: SalesOrder | None) -> Whose:
    return NOBODY if order is None else Whose(order.rep, order.territory, order.currency)


def fold(change: Change, rows: Rows) -> None:
    """Take off what the document was worth and put on what it is worth now."""
    if change.kind == "order":
        if type(change.event.data) not in _SILENT:
            _order(change, rows)
    elif change.kind == "report":
        _resell(rows, change.document.dealer, resold(change.before), -1)
        _resell(rows, change.document.dealer, resold(change.after), 1)
    elif change.kind == "product":
        list_product(change, rows)
    else:
        _move(change, rows)


def _order(change: Change, rows: Rows) -> None:
    before, after = terms(change.before), terms(change.after)
    if before is after or (before is not None and before == after):
        return
    order = rows.edit(SalesOrder, change.document.dealer, change.document.id)
    _enter_order(rows, order, -1)
    order.day = None if after is None else after.day
    order.rep = "" if after is None else after.rep
    order.territory = "" if after is None else after.territory
    order.currency = "" if after is None else after.currency
    order.cancelled = after is not None and after.cancelled
    order.lines = () if after is None else after.lines
    _enter_order(rows, order, 1)


class Difference(NamedTuple):
    """What a delivery, return or invoice says of an order, as it was and as it is, and where the two differ."""

    order: str
    gone: Groups
    come: Groups
    different: list[tuple[Stage, str]]


@lru_cache(maxsize=2048)
def differences(change: Change) -> list[Difference]:
    """What a change makes different, by order; under the empty name what belongs to none."""
    old, new = parts_of(change.before), parts_of(change.after)
    found = []
    for name in {**old, **new} if old else new:
        gone, come = old.get(name, _NONE), new.get(name, _NONE)
        different = [key for key in ({**gone, **come} if gone else come) if gone.get(key) != come.get(key)]
        if different:
            found.append(Difference(name, gone, come, different))
    return found


def _move(change: Change, rows: Rows) -> None:
    """A delivery, return or invoice: only the stages and products it says something else of are entered anew."""
    for name, gone, come, different in differences(change):
        if not name:
            nowhere = SalesOrder(change.document.dealer, "")
            for key in different:
                _enter_parts(rows, nowhere, key, (), gone.get(key, ()), -1)
                _enter_parts(rows, nowhere, key, (), come.get(key, ()), 1)
            continue
        order = rows.edit(SalesOrder, change.document.dealer, name)
        if order.cancelled:
            _enter_order(rows, order, -1)
            _replace(order, change, come)
            _enter_order(rows, order, 1)
            continue
        lines = _by_sku(order.lines)
        before = _by_stage(order.parts)
        _replace(order, change, come)
        after = _by_stage(order.parts)
        for key in different:
            mine = lines.get(key[1], ())
            if key in before:
                _enter_parts(rows, order, key, mine, before[key], -1)
            if key in after:
                _enter_parts(rows, order, key, mine, after[key], 1)


def _replace(order: SalesOrder, change: Change, come: Groups) -> None:
    document, stages = change.document.id, STAGES_OF[change.kind]
    kept = [p for p in order.parts if p.document != document or p.stage not in stages]
    order.parts = (*kept, *[part for group in come.values() for part in group])


def _by_sku(lines: Iterable[SoldLine]) -> dict[str, list[SoldLine]]:
    found: dict[str, list[SoldLine]] = {}
    for line in lines:
        found.setdefault(line.sku, []).append(line)
    return found


def _by_stage(parts: Iterable[Part]) -> dict[tuple[Stage, str], list[Part]]:
    found: dict[tuple[Stage, str], list[Part]] = {}
    for part in parts:
        found.setdefault((part.stage, part.sku), []).append(part)
    return found


def _enter_order(rows: Rows, order: SalesOrder, sign: int) -> None:
    """Put on, or take off, what an order and all that names it are worth."""
    if order.day is None and not order.parts:
        return
    parts = _by_stage(order.parts)
    if order.day is not None:
        sold: Iterable[SoldLine] = order.lines
        if order.cancelled:
            sold = [
                line
                for sku, lines in _by_sku(order.lines).items()
                for line in still_sold(lines, _quantity(parts.get(("dispatched", sku), ())))
            ]
        _enter_lines(rows, order, order.day, sold, sign)
    if parts:
        by_sku = _by_sku(order.lines)
        for key, group in parts.items():
            _enter_parts(rows, order, key, by_sku.get(key[1], ()), group, sign)


def _quantity(parts: Iterable[Part]) -> Decimal:
    return sum([part.quantity for part in parts], ZERO)


def _enter_lines(rows: Rows, order: SalesOrder, day: date, lines: Iterable[SoldLine], sign: int) -> None:
    dealer, whose = order.dealer, (order.rep, order.territory, order.currency)
    total = None
    for line in lines:
        if total is None:
            total = rows.edit(DealerDay, dealer, day, *whose)
        quantity, net = line.quantity, line.net
        listed, discount, cost = line.list_amount, line.discount, line.cost
        if sign < 0:
            quantity, net, listed, discount, cost = -quantity, -net, -listed, -discount, -cost
        row = rows.edit(SalesDay, dealer, day, line.sku, *whose)
        total.lines += sign
        if line.free:
            row.free += quantity
            total.free += quantity
        else:
            row.ordered += quantity
            total.ordered += quantity
        row.ordered_net += net
        total.ordered_net += net
        if listed:
            row.list_amount += listed
            total.list_amount += listed
        if discount:
            row.discount += discount
            total.discount += discount
        if cost:
            row.cost += cost
            total.cost += cost


_NET = {stage: f"{stage}_net" for stages in STAGES_OF.values() for stage in stages}


def _enter_parts(
    rows: Rows,
    order: SalesOrder,
    key: tuple[Stage, str],
    lines: Sequence[SoldLine],
    parts: Sequence[Part],
    sign: int,
) -> None:
    stage, sku = key
    stage_net = _NET[stage]
    dealer, rep, territory = order.dealer, order.rep, order.territory
    for day, currency, quantity, net in worth(lines, parts, order.currency):
        if sign < 0:
            quantity, net = -quantity, -net
        row = rows.edit(SalesDay, dealer, day, sku, rep, territory, currency)
        total = rows.edit(DealerDay, dealer, day, rep, territory, currency)
        total.lines += sign
        setattr(row, stage, getattr(row, stage) + quantity)
        setattr(total, stage, getattr(total, stage) + quantity)
        if net:
            setattr(row, stage_net, getattr(row, stage_net) + net)
            setattr(total, stage_net, getattr(total, stage_net) + net)


class Resold(NamedTuple):
    """What one report says was sold on, by SKU as (quantity, net)."""

    day: date
    flow: str
    currency: str
    lines: dict[str, tuple[Decimal, Decimal]]


def resold(document: Document | None) -> Resold | None:
    """What a sell-out report says; it counts on the last day of its period."""
    return None if document is None else _resold(document)


@lru_cache(maxsize=2048)
def _resold(document: Document) -> Resold | None:
    event = document.one(SelloutReported)
    if event is None:
        return None
    data = event.data
    lines: dict[str, tuple[Decimal, Decimal]] = {}
    for line in data.lines:
        quantity, net = line.quantity, line.net or ZERO
        if (held := lines.get(line.sku)) is not None:
            quantity, net = held[0] + quantity, held[1] + net
        lines[line.sku] = quantity, net
    last = business_day(shifted(data.to, -timedelta.resolution))
    return Resold(last, data.flow, data.currency or "", lines)


def _resell(rows: Rows, dealer: str, report: Resold | None, sign: int) -> None:
    if report is None or not report.lines:
        return
    day, flow, currency, lines = report
    flow_net = flow + "_net"
    total = rows.edit(DealerDay, dealer, day, "", "", currency)
    for sku, (quantity, net) in lines.items():
        row = rows.edit(SalesDay, dealer, day, sku, "", "", currency)
        total.lines += sign
        for held in (row, total):
            setattr(held, flow, getattr(held, flow) + sign * quantity)
            if net:
                setattr(held, flow_net, getattr(held, flow_net) + sign * net)


SALES = Projection(
    name="sales",
    rows=(SalesDay, DealerDay, SalesOrder, Product),
    kinds=frozenset({"order", "report", "product", *STAGES_OF}),
    keys=keys,
    fold=fold,
    further=further,
    modules=(
        *("projections.sales", "projections.sales_orders", "projections.sales_rows"),
        *("projections.products", "projections.orders"),
    ),
    views=(DealerSale, Sale),
)
