"""What an order and the documents that name it say of sales, and what each part of it is worth. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from domain.calendar import business_day
from domain.deliveries import DeliveryDispatched, DeliveryReceived, ReturnedLine, ReturnReceived
from domain.numbers import ZERO, Money, Quantity, priced, product
from domain.orders import InvoiceIssued, Line, OrderCancelled, OrderPlaced
from projections.documents import Document
from projections.orders import lines_of
from projections.rows import Row, table

Stage = Literal["dispatched", "accepted", "returned", "invoiced"]


class SoldLine(Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of an order: what it is worth, and what the parts of it are priced by."""

    line: str
    sku: str
    quantity: Quantity
    net: Money
    list_amount: Money = ZERO
    discount: Money = ZERO
    cost: Money = ZERO
    free: bool = False


class Part(Struct, frozen=True, gc=False, omit_defaults=True):
    """What one document moved or charged of one product of an order on one day.

    `net` and `currency` where the document states them itself; `line` where it names the order's line.
    """

    document: str
    stage: Stage
    sku: str
    day: date
    quantity: Quantity
    net: Money | None = None
    currency: str = ""
    line: str = ""


class Terms(Struct, frozen=True, gc=False):
    """What an order's own document says: whose it is, when, and what of."""

    day: date
    rep: str
    territory: str
    currency: str
    cancelled: bool
    lines: tuple[SoldLine, ...]


@table("sales_orders", key=("dealer", "order"), appears="day")
class SalesOrder(Row):
    """One order as its sales are reckoned from it. Without a `day` only other documents have named it so far."""

    dealer: str
    order: str
    day: date | None = None
    rep: str = ""
    territory: str = ""
    currency: str = ""
    cancelled: bool = False
    lines: tuple[SoldLine, ...] = ()
    parts: tuple[Part, ...] = ()


@lru_cache(maxsize=2048)
def terms(document: Document | None) -> Terms | None:
    """What an order's document says of its sale; None before it is placed, whatever else has come."""
    placed = document.one(OrderPlaced) if document is not None else None
    if document is None or placed is None:
        return None
    data = placed.data
    day = business_day(data.placed or document.opened(OrderPlaced) or placed.time)
    cancelled = document.one(OrderCancelled) is not None
    lines = tuple([_sold(line) for line in lines_of(document)])
    return Terms(day, data.rep or "", data.territory or "", data.currency, cancelled, lines)


def _sold(line: Line) -> SoldLine:
    quantity = line.quantity
    discount = sum([d.amount for d in line.discounts], ZERO) if line.discounts else ZERO
    cost = line.cost
    if cost is None:
        cost = _times(quantity, line.unit_cost)
    listed = _times(quantity, line.list_price)
    return SoldLine(line.line, line.sku, quantity, line.net, listed, discount, cost, line.free is not None)


def _times(quantity: Decimal, price: Decimal | None) -> Decimal:
    return ZERO if price is None else product(quantity, price)


Groups = dict[tuple[Stage, str], tuple[Part, ...]]  # by stage and SKU
Parts = dict[str, Groups]  # by order
NO_PARTS: Parts = {}


def parts_of(document: Document | None) -> Parts:
    """What a delivery, return or invoice says of orders; under the empty name what belongs to none."""
    return NO_PARTS if document is None else _parts_of(document)


@lru_cache(maxsize=2048)
def _parts_of(document: Document) -> Parts:
    merged: dict[tuple[str, Stage, str, date, str, bool], Part] = {}
    for order, part in _STAGES[document.kind](document):
        key = (order, part.stage, part.sku, part.day, part.line, part.net is None)
        held = merged.get(key)
        merged[key] = part if held is None else _together(held, part)
    found: Parts = {}
    for key, part in merged.items():
        group = found.setdefault(key[0], {})
        group[key[1:3]] = (*group.get(key[1:3], ()), part)
    return found


def _together(one: Part, other: Part) -> Part:
    net = None if one.net is None or other.net is None else one.net + other.net
    quantity = one.quantity + other.quantity
    return Part(one.document, one.stage, one.sku, one.day, quantity, net, one.currency, one.line)


def _delivery(document: Document) -> Iterator[tuple[str, Part]]:
    dispatched = document.one(DeliveryDispatched)
    named = ""
    if dispatched is not None:
        named = dispatched.data.order or ""
        day = business_day(document.opened(DeliveryDispatched) or dispatched.time)
        for line in dispatched.data.lines:
            yield named, Part(document.id, "dispatched", line.sku, day, line.quantity)
    for receipt in document.each(DeliveryReceived):
        day = business_day(receipt.data.arrived)
        order = receipt.data.order or named
        for taken in receipt.data.lines:
            if taken.accepted:
                yield order, Part(document.id, "accepted", taken.sku, day, taken.accepted)


def _return(document: Document) -> Iterator[tuple[str, Part]]:
    """Only what comes back to the company is taken from its sales; what an outlet brings back is the dealer's."""
    event = document.one(ReturnReceived)
    if event is None or event.data.direction != "to_company":
        return
    day = business_day(document.opened(ReturnReceived) or event.time)
    for line in event.data.lines:
        order, name = _origin(line, event.data.order)
        yield order, Part(document.id, "returned", line.sku, day, line.quantity, line.net, line=name)


def _origin(line: ReturnedLine, order: str | None) -> tuple[str, str]:
    return (line.of.order, line.of.line) if line.of is not None else (order or "", "")


def _invoice(document: Document) -> Iterator[tuple[str, Part]]:
    event = document.one(InvoiceIssued)
    if event is None:
        return
    data = event.data
    day = business_day(document.opened(InvoiceIssued) or event.time)
    for line in data.lines:
        quantity, net = line.quantity, line.net
        if data.kind == "credit_note":
            quantity, net = -quantity, -net
        yield (
            data.order or "",
            Part(document.id, "invoiced", line.sku, day, quantity, net, data.currency),
        )


_STAGES = {"delivery": _delivery, "return": _return, "invoice": _invoice}
STAGES_OF: dict[str, tuple[Stage, ...]] = {
    "delivery": ("dispatched", "accepted"),
    "return": ("returned",),
    "invoice": ("invoiced",),
}


Worth = tuple[date, str, Decimal, Decimal]  # day, currency, quantity, net


def worth(lines: Sequence[SoldLine], parts: Sequence[Part], currency: str) -> list[Worth]:
    """What the parts of one stage and product are worth, given the order's lines of it.

    A part states its net or has its share of what was ordered: of the line it names, else of all lines of the
    product. Shares are reckoned from the first part on, so that the parts of a whole add up to its net exactly.
    """
    if len(parts) == 1:
        [only] = parts
        whole = only.net if only.net is not None else _share(lines, only.line, only.quantity)
        return [(only.day, only.currency or currency, only.quantity, whole)]
    gone: dict[str, Decimal] = {}
    found: list[Worth] = []
    for part in sorted(parts, key=_by_day):
        net = part.net
        if net is None:
            before = gone.get(part.line, ZERO)
            gone[part.line] = after = before + part.quantity
            net = _share(lines, part.line, after)
            if before:
                net -= _share(lines, part.line, before)
        found.append((part.day, part.currency or currency, part.quantity, net))
    return found


def _by_day(part: Part) -> tuple[date, str, bool]:
    return part.day, part.document, part.net is None


def _share(lines: Sequence[SoldLine], name: str, quantity: Decimal) -> Decimal:
    if name:
        lines = [line for line in lines if line.line == name] or lines
    if len(lines) == 1:
        return priced(lines[0].net, quantity, lines[0].quantity)
    return priced(sum([n.net for n in lines], ZERO), quantity, sum([n.quantity for n in lines], ZERO))


def still_sold(lines: Sequence[SoldLine], dispatched: Decimal) -> Sequence[SoldLine]:
    """What a cancelled order's lines of one product still count for: as much as was dispatched of them.

    Goods that cost come first, free goods after them; amounts are shared as those of a delivery are.
    """
    whole = sum([line.quantity for line in lines], ZERO)
    if not whole or not dispatched:
        return ()
    if dispatched >= whole:
        return lines
    paid = min(dispatched, sum([line.quantity for line in lines if not line.free], ZERO))
    sku = lines[0].sku
    sold = SoldLine(
        "",
        sku,
        paid,
        priced(sum([line.net for line in lines], ZERO), dispatched, whole),
        list_amount=priced(sum([line.list_amount for line in lines], ZERO), dispatched, whole),
        discount=priced(sum([line.discount for line in lines], ZERO), dispatched, whole),
        cost=priced(sum([line.cost for line in lines], ZERO), dispatched, whole),
    )
    return (sold,) if paid == dispatched else (sold, SoldLine("", sku, dispatched - paid, ZERO, free=True))
