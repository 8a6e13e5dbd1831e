"""Orders as they stand: what was asked for, promised, dispatched and accepted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

from msgspec import Struct

from domain.calendar import business_day
from domain.deliveries import DeliveryDispatched, DeliveryReceived
from domain.envelope import Payload, Recorded
from domain.numbers import ZERO, Money, Quantity
from domain.orders import (
    Line,
    OrderAmended,
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderHeld,
    OrderPlaced,
    OrderReleased,
)
from projections.documents import Change, Document
from projections.flags import Flag, mark
from projections.projection import Projection
from projections.rows import Key, Row, Rows, table


class OrderedLine(Struct, frozen=True, gc=False):
    """One line of an order as it stands."""

    line: str
    sku: str
    quantity: Quantity
    net: Money


@table(
    "orders",
    key=("dealer", "order"),
    indexes=(("placed",), ("rep", "placed"), ("territory", "placed"), ("status",)),
    appears="placed",
)
class Order(Row):
    """One order as it stands. Without a `status` only deliveries have named it so far."""

    dealer: str
    order: str
    status: str = ""  # placed, confirmed, held, cancelled or closed
    placed: datetime | None = None
    day: date | None = None  # the business day it was placed, in the publisher's own offset
    outlet: str = ""
    seller: str = ""
    rep: str = ""
    territory: str = ""
    ship_to: str = ""
    requested_from: datetime | None = None
    requested_to: datetime | None = None
    promised_from: datetime | None = None
    promised_to: datetime | None = None
    currency: str = ""
    lines: int = 0
    quantity: Quantity = ZERO
    net: Money = ZERO  # after discounts, excluding tax, as booked
    discount: Money = ZERO
    tax: Money = ZERO
    freight: Money = ZERO
    dispatched: Quantity = ZERO
    accepted: Quantity = ZERO
    content: tuple[OrderedLine, ...] = ()


@table("ordering_dealers", key=("dealer",))
class OrderingDealer(Row):
    """Whether a dealer that orders is registered."""

    dealer: str
    registered: bool = False
    orders: int = 0


@table("order_flags", key=("dealer", "kind", "subject"), view="flags")
class OrderFlag(Flag):
    """What is odd about orders: of an unknown dealer, or delivered and never placed."""


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    dealer = change.document.dealer
    if change.kind == "delivery":
        for order in {*fulfilled(change.before), *fulfilled(change.after)}:
            yield Order, (dealer, order)
        return
    yield OrderingDealer, (dealer,)
    if change.kind == "order":
        yield Order, (dealer, change.document.id)


def fold(change: Change, rows: Rows) -> None:
    """Put the order as it now stands; take a delivery's old effect off and put the new one on."""
    dealer = change.document.dealer
    if change.kind == "delivery":
        _deliver(change, rows, dealer)
    elif change.kind == "order":
        row = rows.edit(Order, dealer, change.document.id)
        orphan, was = _orphan(row), row.status != ""
        _state(row, change.after)
        if orphan != _orphan(row):
            _mark_orphan(rows, change, row)
        if (delta := (row.status != "") - was) != 0:
            _count(rows, change, dealer, delta, None)
    else:
        known = change.after is not None
        if known != (change.before is not None):
            _count(rows, change, dealer, 0, known)


def _state(row: Order, document: Document | None) -> None:
    """Set every field of the order that the order's own document decides."""
    blank = Order(row.dealer, row.order, dispatched=row.dispatched, accepted=row.accepted)
    for name in Order.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    if document is None:
        return
    placed = document.one(OrderPlaced)
    if placed is not None:
        data = placed.data
        row.placed = data.placed or document.opened(OrderPlaced)
        row.day = business_day(row.placed or placed.time)
        row.outlet, row.seller, row.rep = data.outlet or "", data.seller or "", data.rep or ""
        row.territory, row.currency = data.territory or "", data.currency
        row.ship_to = (data.ship_to.id or "") if data.ship_to else ""
        row.freight = data.freight or ZERO
        if data.requested is not None:
            row.requested_from, row.requested_to = data.requested.from_, data.requested.to
        if data.promised is not None:
            row.promised_from, row.promised_to = data.promised.from_, data.promised.to
    confirmed = document.one(OrderConfirmed)
    if confirmed is not None and confirmed.data.promised is not None:
        row.promised_from, row.promised_to = confirmed.data.promised.from_, confirmed.data.promised.to
    lines = lines_of(document)
    row.lines = len(lines)
    row.quantity = sum([line.quantity for line in lines], ZERO)
    row.net = sum([line.net for line in lines], ZERO)
    row.tax = sum([line.tax for line in lines if line.tax is not None], ZERO)
    row.discount = sum([d.amount for line in lines for d in line.discounts], ZERO)
    row.content = tuple([OrderedLine(line.line, line.sku, line.quantity, line.net) for line in lines])
    row.status = status_of(document)


def lines_of(document: Document) -> tuple[Line, ...]:
    """The lines in force: of the order as placed or as amended, whichever was said last."""
    placed, amended = document.one(OrderPlaced), document.one(OrderAmended)
    if placed is None or (amended is not None and _later(amended, placed)):
        return amended.data.lines if amended is not None else ()
    return placed.data.lines


def status_of(document: Document) -> str:
    """cancelled, closed, held (a hold that nothing later released), confirmed or placed."""
    if document.one(OrderCancelled) is not None:
        return "cancelled"
    if document.one(OrderClosed) is not None:
        return "closed"
    released = {r.data.reason: r for r in document.each(OrderReleased)}
    for held in document.each(OrderHeld):
        release = released.get(held.data.reason)
        if release is None or _later(held, release):
            return "held"
    return "confirmed" if document.one(OrderConfirmed) is not None else "placed"


def closed_at(document: Document) -> datetime | None:
    """When nothing more was expected of the order."""
    ends = [document.opened(OrderCancelled), document.opened(OrderClosed)]
    return min((end for end in ends if end is not None), default=None)


def fulfilled(document: Document | None) -> dict[str, tuple[Decimal, Decimal]]:
    """What a delivery dispatched and handed over, by the order it names."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    if document is None:
        return found
    dispatched = document.one(DeliveryDispatched)
    if dispatched is not None and dispatched.data.order is not None:
        quantity = sum([line.quantity for line in dispatched.data.lines], ZERO)
        found[dispatched.data.order] = quantity, ZERO
    for receipt in document.each(DeliveryReceived):
        order = receipt.data.order or (dispatched.data.order if dispatched is not None else None)
        if order is not None:
            out, taken = found.get(order, (ZERO, ZERO))
            found[order] = out, taken + sum([line.accepted for line in receipt.data.lines], ZERO)
    return found


def _deliver(change: Change, rows: Rows, dealer: str) -> None:
    old, new = fulfilled(change.before), fulfilled(change.after)
    if old == new:
        return
    for order in sorted({*old, *new}):
        row = rows.edit(Order, dealer, order)
        orphan = _orphan(row)
        (out_before, taken_before), (out, taken) = old.get(order, (ZERO, ZERO)), new.get(order, (ZERO, ZERO))
        row.dispatched += out - out_before
        row.accepted += taken - taken_before
        if orphan != _orphan(row):
            _mark_orphan(rows, change, row)


def _orphan(row: Order) -> bool:
    return row.status == "" and (row.dispatched != ZERO or row.accepted != ZERO)


def _mark_orphan(rows: Rows, change: Change, row: Order) -> None:
    key = (row.dealer, "delivery_without_order", row.order)
    mark(rows, OrderFlag, change.event, key, _orphan(row))


def _count(rows: Rows, change: Change, dealer: str, orders: int, registered: bool | None) -> None:
    row = rows.edit(OrderingDealer, dealer)
    unknown = row.orders > 0 and not row.registered
    row.orders += orders
    row.registered = row.registered if registered is None else registered
    if unknown != (row.orders > 0 and not row.registered):
        mark(rows, OrderFlag, change.event, (dealer, "unknown_dealer", dealer), not unknown)


def _later(first: Recorded[Payload], second: Recorded[Payload]) -> bool:
    return (first.time, first.sequence) > (second.time, second.sequence)


ORDERS = Projection(
    name="orders",
    rows=(Order, OrderingDealer, OrderFlag),
    kinds=frozenset({"order", "delivery", "dealer"}),
    keys=keys,
    fold=fold,
    modules=("projections.orders",),
)
