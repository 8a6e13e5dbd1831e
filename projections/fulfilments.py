"""The course of every order, and what the built-in rules say of it: the finest facts, one row an order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from msgspec.structs import replace

from domain.calendar import business_day
from domain.deliveries import DeliveryDispatched, DeliveryReceived
from domain.envelope import Payload, Recorded
from domain.fulfilment import Asked, Came, Course, Held, Sent, Stated, Taken
from domain.numbers import ZERO, Quantity
from domain.orders import (
    OrderAmended,
    OrderCancelled,
    OrderClosed,
    OrderConfirmed,
    OrderHeld,
    OrderPlaced,
    OrderReleased,
)
from domain.otif import BUILT_IN, DEFAULT, DISPATCHED, judge, last_day
from projections.documents import Change, Document
from projections.orders import lines_of
from projections.rows import Row, Rows, table

Statement = Recorded[OrderPlaced] | Recorded[OrderAmended] | Recorded[OrderConfirmed]
Since = tuple[datetime, Statement]  # from when a statement speaks
Head = tuple[datetime | None, date | None, str, str, str, str]
Part = tuple[Sent | None, tuple[Came, ...]]

_EMPTY = Course()


@table("fulfilments", key=("dealer", "order"), appears="placed")
class Fulfilment(Row):
    """How one order was carried out. Verdicts are those of the built-in rules, whatever the time.

    An outcome is on_time, late, early, not_shipped, no_window, or empty where nothing was expected. What begins
    with `sent_` judges the dispatch, all else the arrival.
    """

    dealer: str
    order: str
    placed: datetime | None = None
    ordered_on: date | None = None  # the business day
    day: date | None = None  # on which the last window closes, in its own offset
    due: datetime | None = None  # when the last window closes
    moved: datetime | None = None  # when the last of it left or arrived
    rep: str = ""
    territory: str = ""  # as the order states it
    carrier: str = ""  # of the last delivery
    city: str = ""  # where the order goes to
    country: str = ""
    lines: int = 0
    cases: Quantity = ZERO
    place_ok: bool | None = None
    outcome: str = ""
    cause: str = ""
    days_late: int = 0
    in_full: bool = False
    ok: bool = False
    lines_on_time: int = 0
    lines_in_full: int = 0
    lines_ok: int = 0
    cases_ok: Quantity = ZERO
    sent_outcome: str = ""
    sent_cause: str = ""
    sent_days_late: int = 0
    sent_in_full: bool = False
    sent_ok: bool = False
    sent_lines_on_time: int = 0
    sent_lines_in_full: int = 0
    sent_lines_ok: int = 0
    sent_cases_ok: Quantity = ZERO
    course: Course = _EMPTY


def fold_order(change: Change, rows: Rows) -> None:
    """Put what the order's own document says; what its deliveries said stays."""
    data = change.event.data
    if type(data) is OrderClosed and data.initiator != "dealer":
        return
    head, course = _head(change.after), course_of(change.after)
    if head == _head(change.before) and course == course_of(change.before):
        return
    row = rows.edit(Fulfilment, change.document.dealer, change.document.id)
    row.placed, row.ordered_on, row.rep, row.territory, row.city, row.country = head
    old = row.course
    if old.sent or old.came:
        course = replace(course, sent=old.sent, came=old.came)
    if course != old:
        row.course = course
        _judge(row)


@lru_cache(maxsize=2048)
def _head(document: Document | None) -> Head:
    """What an order says of itself as a whole."""
    placed = document.one(OrderPlaced) if document is not None else None
    if placed is None or document is None:
        return None, None, "", "", "", ""
    data = placed.data
    address = data.ship_to.address if data.ship_to is not None else None
    city, country = (address.city or "", address.country or "") if address is not None else ("", "")
    opened = data.placed or document.opened(OrderPlaced)
    return (
        opened,
        business_day(opened or placed.time),
        data.rep or "",
        data.territory or "",
        city,
        country,
    )


def fold_delivery(change: Change, rows: Rows) -> None:
    """Take what a delivery did for orders off, and put on what it does now."""
    old, new = parts(change.before), parts(change.after)
    if old == new:
        return
    dealer, delivery = change.document.dealer, change.document.id
    for order in {**old, **new}:
        if old.get(order) == new.get(order):
            continue
        row = rows.edit(Fulfilment, dealer, order)
        (was, _), (sent, came) = old.get(order, _NO_PART), new.get(order, _NO_PART)
        course = row.course
        receipts = came
        if course.came:
            others = [receipt for receipt in course.came if receipt.delivery != delivery]
            receipts = tuple(sorted([*others, *came], key=_receipt_order)) if others else came
        if sent == was:
            row.course = replace(course, came=receipts)
            _judge(row, arrivals_only=True)
            continue
        loads = [load for load in course.sent if load.delivery != delivery]
        if sent is not None:
            loads.append(sent)
        loads.sort(key=_load_order)
        row.course = replace(course, sent=tuple(loads), came=receipts)
        row.carrier = loads[-1].carrier if loads else ""
        _judge(row)


_NO_PART: Part = (None, ())


def _load_order(load: Sent) -> tuple[datetime, str]:
    return load.at, load.delivery


def _receipt_order(receipt: Came) -> tuple[datetime, str, str]:
    return receipt.at, receipt.delivery, receipt.receipt


def _judge(row: Fulfilment, *, arrivals_only: bool = False) -> None:
    """Set what the built-in rules say; what arrives makes no difference to what left."""
    said = judge(row.course, BUILT_IN[DEFAULT])
    window = said.window
    row.lines, row.cases, row.place_ok = said.lines, said.cases, said.right_place
    row.due, row.day = (window.to, last_day(window)) if window is not None else (None, None)
    moved = [load.at for load in row.course.sent] + [receipt.at for receipt in row.course.came]
    row.moved = max(moved, default=None)
    row.outcome, row.cause, row.days_late = said.outcome, said.cause, said.days_late
    row.in_full, row.ok = said.in_full, said.ok
    row.lines_on_time, row.lines_in_full = said.lines_on_time, said.lines_in_full
    row.lines_ok, row.cases_ok = said.lines_ok, said.cases_ok
    if arrivals_only:
        return
    if row.course.sent:
        said = judge(row.course, BUILT_IN[DISPATCHED])
    elif row.course.came:
        said = judge(replace(row.course, came=()), BUILT_IN[DISPATCHED])
    row.sent_outcome, row.sent_cause, row.sent_days_late = said.outcome, said.cause, said.days_late
    row.sent_in_full, row.sent_ok = said.in_full, said.ok
    row.sent_lines_on_time, row.sent_lines_in_full = said.lines_on_time, said.lines_in_full
    row.sent_lines_ok, row.sent_cases_ok = said.lines_ok, said.cases_ok


def parts(document: Document | None) -> dict[str, Part]:
    """What a delivery did, by the order that it, or its receipt, names."""
    return {} if document is None else _parts(document)


@lru_cache(maxsize=2048)
def _parts(document: Document) -> dict[str, Part]:
    found: dict[str, Part] = {}
    dispatched = document.one(DeliveryDispatched)
    named = None
    if dispatched is not None and (named := dispatched.data.order) is not None:
        data, loaded = dispatched.data, [(line.sku, line.quantity) for line in dispatched.data.lines]
        at = document.opened(DeliveryDispatched) or dispatched.time
        sent = Sent(at, document.id, _added(loaded), data.carrier or "", data.to or "")
        found[named] = sent, ()
    arrivals: dict[str, list[Came]] = {}
    for event in document.each(DeliveryReceived):
        receipt = event.data
        order = receipt.order or named
        if order is not None:
            taken = tuple(
                [
                    Taken(line.sku, line.accepted, (line.damaged or ZERO) + (line.refused or ZERO))
                    for line in receipt.lines
                ]
            )
            came = Came(receipt.arrived, document.id, receipt.receipt, taken, receipt.place)
            arrivals.setdefault(order, []).append(came)
    for order, came_by in arrivals.items():
        load, _ = found.get(order, (None, ()))
        found[order] = load, tuple(sorted(came_by, key=_receipt_order))
    return found


def _added(lines: Iterable[tuple[str, Decimal]]) -> tuple[tuple[str, Decimal], ...]:
    found: dict[str, Decimal] = {}
    for sku, quantity in lines:
        found[sku] = found[sku] + quantity if sku in found else quantity
    return tuple(found.items())


def course_of(document: Document | None) -> Course:
    """What an order's document says of its course; nothing of an order that was not placed."""
    return _EMPTY if document is None else _course_of(document)


@lru_cache(maxsize=2048)
def _course_of(document: Document) -> Course:
    placed = document.one(OrderPlaced)
    if placed is None:
        return _EMPTY
    stated = _stated(document, placed)
    requested, promised = [], []
    for at, event in stated:
        data = event.data
        if isinstance(data, OrderPlaced) and data.requested is not None:
            requested.append(Stated(at, data.requested))
        if not isinstance(data, OrderAmended) and data.promised is not None:
            promised.append(Stated(at, data.promised))
    changed = [at for at, e in stated if isinstance(e.data, OrderAmended) and e.data.initiator == "dealer"]
    return Course(
        asked=_asked(document, stated),
        requested=tuple(requested),
        promised=tuple(promised),
        changed=tuple(changed),
        held=_held(document),
        withdrawn=_is_withdrawn(document),
        ship_to=placed.data.ship_to,
    )


def _stated(document: Document, placed: Recorded[OrderPlaced]) -> list[Since]:
    """What states windows, and since when: the order as it was placed, then confirmations and amendments by time.

    An order that is placed again is as old as what it restates. Every confirmation that stands is a promise of its
    time; one that bears the time of another replaces it.
    """
    later: dict[tuple[type[Payload], datetime], Statement] = {}
    for event in document.statements:
        if isinstance(event.data, OrderConfirmed | OrderAmended):
            later[type(event.data), event.time] = event  # type: ignore[assignment]
    first = document.first(OrderPlaced) or placed
    return [(first.time, placed), *[(event.time, event) for event in later.values()]]


def _asked(document: Document, stated: list[Since]) -> tuple[Asked, ...]:
    """The products of the order as it stands; what its lines state for themselves goes before the order's."""
    quantities: dict[str, Decimal] = {}
    skus: dict[str, str] = {}
    for line in lines_of(document):
        if line.quantity:
            quantities[line.sku] = line.quantity + quantities.get(line.sku, ZERO)
            skus[line.line] = line.sku
    if not any(_own(event.data) for _, event in stated):
        return tuple([Asked(sku, quantity) for sku, quantity in quantities.items()])
    return tuple(
        [
            Asked(sku, quantity, *_windows(stated, {line for line, of in skus.items() if of == sku}))
            for sku, quantity in quantities.items()
        ]
    )


def _own(data: OrderPlaced | OrderAmended | OrderConfirmed) -> bool:
    """Whether any line states a window of its own."""
    if isinstance(data, OrderConfirmed):
        return any(line.promised is not None for line in data.lines)
    return any(line.promised is not None or line.requested is not None for line in data.lines)


def _windows(stated: list[Since], lines: set[str]) -> tuple[tuple[Stated, ...], tuple[Stated, ...]]:
    """What was requested and promised for some lines, of which the last to say so speaks for all of them."""
    requested: list[Stated] = []
    promised: list[Stated] = []
    own_request = own_promise = False
    for at, event in stated:
        data = event.data
        request = data.requested if isinstance(data, OrderPlaced) else None
        promise = data.promised if not isinstance(data, OrderAmended) else None
        for line in data.lines:
            if line.line in lines:
                if line.promised is not None:
                    promise, own_promise = line.promised, True
                # What the company changes is not what the dealer asked for.
                asks = isinstance(data, OrderPlaced) or (
                    isinstance(data, OrderAmended) and data.initiator == "dealer"
                )
                if asks and (wanted := getattr(line, "requested", None)) is not None:
                    request, own_request = wanted, True
        if request is not None:
            requested.append(Stated(at, request))
        if promise is not None:
            promised.append(Stated(at, promise))
    return tuple(requested) if own_request else (), tuple(promised) if own_promise else ()


def _held(document: Document) -> tuple[Held, ...]:
    """Every hold and when it was released."""
    holds = document.each(OrderHeld)
    if not holds:
        return ()
    released = {event.data.reason: event for event in document.each(OrderReleased)}
    found = []
    for event in holds:
        release = released.get(event.data.reason)
        over = release is not None and (release.time, release.sequence) > (event.time, event.sequence)
        found.append(Held(event.data.reason, event.time, release.time if release and over else None))
    return tuple(found)


def _is_withdrawn(document: Document) -> bool:
    """Whether the dealer wants no more of it: cancelled by the dealer or by nobody named, or closed by the dealer."""
    cancelled, closed = document.one(OrderCancelled), document.one(OrderClosed)
    return (cancelled is not None and cancelled.data.initiator in (None, "dealer")) or (
        closed is not None and closed.data.initiator == "dealer"
    )
