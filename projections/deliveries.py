"""Deliveries: what was loaded, what arrived when and where, and what of it served which order on time and in full."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from domain.calendar import business_day
from domain.deliveries import DeliveryDispatched, DeliveryFailed, DeliveryReceived
from domain.fulfilment import same_place
from domain.numbers import ZERO, Quantity
from domain.places import Place
from projections.documents import Change, Document
from projections.fulfilments import Fulfilment, fold_delivery, fold_order, parts
from projections.otif import ANSWERS, VIEWS, OtifPolicy, fold_policy, rules_of
from projections.projection import Projection
from projections.rows import Key, Row, Rows, table


@table(
    "deliveries",
    key=("dealer", "delivery"),
    indexes=(("dispatched_at",), ("dealer", "order"), ("carrier", "dispatched_at")),
    appears="dispatched_at",
)
class Delivery(Row):
    """One delivery: what left, what arrived of it, and whether within the window that it bears itself.

    `on_time`, `late` and `arrivals` are 0 or 1, so that they can be summed: a delivery with no window of its own,
    or not yet arrived, is neither on time nor late.
    """

    dealer: str
    delivery: str
    order: str = ""
    carrier: str = ""
    origin: str = ""
    destination: str = ""  # empty: the dealer
    day: date | None = None  # the business day on which it left, or arrived where nobody told of its leaving
    dispatched_at: datetime | None = None
    requested_from: datetime | None = None
    requested_to: datetime | None = None
    promised_from: datetime | None = None
    promised_to: datetime | None = None
    first_arrival: datetime | None = None
    last_arrival: datetime | None = None
    receipts: int = 0
    dispatched: Quantity = ZERO
    accepted: Quantity = ZERO
    short: Quantity = ZERO
    damaged: Quantity = ZERO
    refused: Quantity = ZERO
    deliveries: int = 0
    arrivals: int = 0
    on_time: int = 0
    late: int = 0
    in_full: bool | None = None  # all that was loaded was accepted; unknown before it has arrived
    place_ok: bool | None = None  # against `destination`; fulfilments compare with where the order goes to
    failures: int = 0  # 1 where an attempt failed
    failed: str = ""  # the reason of the last attempt that failed


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    dealer, name = change.document.dealer, change.document.id
    if change.kind == "order":
        yield Fulfilment, (dealer, name)
        return
    if change.kind == "policy":
        for document in (change.before, change.after):
            for version in rules_of(document):
                yield OtifPolicy, (name, version)
        return
    for order in {**parts(change.before), **parts(change.after)}:
        yield Fulfilment, (dealer, order)


def fold(change: Change, rows: Rows) -> None:
    """Put the delivery as it now stands, and what it does for its orders."""
    if change.kind == "order":
        fold_order(change, rows)
        return
    if change.kind == "policy":
        fold_policy(change, rows)
        return
    rows.put(_delivery(change.document, change.after))
    fold_delivery(change, rows)


def _delivery(about: Document, document: Document | None) -> Delivery:
    """The delivery as its document says it is."""
    row = Delivery(about.dealer, about.id)
    if document is None:
        return row
    row.deliveries = 1
    dispatched = document.one(DeliveryDispatched)
    if dispatched is not None:
        data = dispatched.data
        row.order, row.carrier = data.order or "", data.carrier or ""
        row.origin, row.destination = data.from_ or "", data.to or ""
        row.dispatched_at = document.opened(DeliveryDispatched)
        row.day = business_day(row.dispatched_at or dispatched.time)
        if data.requested is not None:
            row.requested_from, row.requested_to = data.requested.from_, data.requested.to
        if data.promised is not None:
            row.promised_from, row.promised_to = data.promised.from_, data.promised.to
        row.dispatched = sum([line.quantity for line in data.lines], ZERO)
    _arrive(row, document)
    if (failed := document.one(DeliveryFailed)) is not None:
        row.failures, row.failed = 1, failed.data.reason
    return row


def _arrive(row: Delivery, document: Document) -> None:
    receipts = document.each(DeliveryReceived)
    if not receipts:
        return
    for event in receipts:
        row.order = row.order or event.data.order or ""
        for line in event.data.lines:
            row.accepted += line.accepted
            row.short += line.short or ZERO
            row.damaged += line.damaged or ZERO
            row.refused += line.refused or ZERO
    arrived = sorted([event.data.arrived for event in receipts])
    row.receipts, row.arrivals = len(receipts), 1
    row.first_arrival, row.last_arrival = arrived[0], arrived[-1]
    if row.dispatched_at is None:
        row.day = business_day(arrived[0])
    else:
        row.in_full = row.accepted >= row.dispatched
    opens, closes = row.promised_from, row.promised_to
    if closes is None:
        opens, closes = row.requested_from, row.requested_to
    if opens is not None and closes is not None:
        row.late = int(arrived[-1] >= closes)
        row.on_time = int(opens <= arrived[0] and arrived[-1] < closes)
    if row.destination:
        wanted = Place(id=row.destination)
        places = {same_place(wanted, event.data.place) for event in receipts}
        row.place_ok = False if False in places else None if None in places else True


DELIVERIES = Projection(
    name="deliveries",
    rows=(Delivery, Fulfilment, OtifPolicy),
    kinds=frozenset({"order", "delivery", "policy"}),
    keys=keys,
    fold=fold,
    modules=("projections.deliveries", "projections.fulfilments", "projections.otif", "projections.orders"),
    views=VIEWS,
    computed=ANSWERS,
    reads=("parties",),
)
