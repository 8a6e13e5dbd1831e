"""What documents do to stock: moves and counts by bucket, what orders ask for, and what deliveries take of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from msgspec import Struct

from domain.deliveries import DeliveryDispatched, DeliveryReceived, GoodsExchanged, ReturnReceived
from domain.numbers import ZERO, Quantity
from domain.orders import OrderPlaced
from domain.stock import BalanceOpened, SelloutReported, StockCounted, StockMoved
from projections.documents import Change, Document
from projections.orders import closed_at, lines_of

Deltas = tuple[Decimal, Decimal, Decimal]  # on hand, blocked, in transit
STILL: Deltas = (ZERO, ZERO, ZERO)
Bucket = tuple[str, str, str]  # location, SKU, lot; an empty lot: not told apart


class Dispatched(Struct, frozen=True, gc=False):
    """What one delivery took of an order's product."""

    at: datetime
    delivery: str
    quantity: Quantity


class Effects(Struct):
    """What one document does to stock, wherever it stands: all a fold has to take off or put on."""

    moves: dict[tuple[str, str, str, datetime], Deltas]
    counts: dict[tuple[str, str, str, datetime], tuple[Decimal, int]]

    def move(
        self,
        bucket: Bucket,
        at: datetime,
        on_hand: Decimal = ZERO,
        blocked: Decimal = ZERO,
        in_transit: Decimal = ZERO,
    ) -> None:
        key = (*bucket, at)
        held = self.moves.get(key)
        if held is not None:
            on_hand, blocked, in_transit = held[0] + on_hand, held[1] + blocked, held[2] + in_transit
        self.moves[key] = on_hand, blocked, in_transit

    def count(self, bucket: Bucket, at: datetime, quantity: Decimal, sequence: int) -> None:
        held = self.counts.get((*bucket, at))
        self.counts[(*bucket, at)] = quantity + (held[0] if held is not None else ZERO), sequence


NOTHING = Effects({}, {})


def effects(document: Document | None) -> Effects:
    """What a document's statements do to stock; nothing for a document that does not stand."""
    return NOTHING if document is None else _effects(document)


@lru_cache(maxsize=2048)
def _effects(document: Document) -> Effects:
    found = Effects({}, {})
    if (does := EFFECTS.get(document.kind)) is not None:
        does(document, found)
    return found


def _delivery(document: Document, found: Effects) -> None:
    dispatched = document.one(DeliveryDispatched)
    receipts = sorted(document.each(DeliveryReceived), key=lambda r: (r.data.arrived, r.data.receipt))
    to = document.dealer
    under_way: dict[tuple[str, str], Decimal] = {}
    if dispatched is not None:
        data, at = dispatched.data, document.opened(DeliveryDispatched) or dispatched.time
        to = data.to or to
        for line in data.lines:
            lot = line.lot or ""
            if data.from_ is not None:
                found.move((data.from_, line.sku, lot), at, -line.quantity)
            found.move((to, line.sku, lot), at, in_transit=line.quantity)
            under_way[line.sku, lot] = under_way.get((line.sku, lot), ZERO) + line.quantity
    for receipt in receipts:
        arrived = receipt.data.arrived
        for taken in receipt.data.lines:
            found.move((to, taken.sku, taken.lot or ""), arrived, taken.accepted)
            resolved = (
                taken.accepted + (taken.short or ZERO) + (taken.damaged or ZERO) + (taken.refused or ZERO)
            )
            if dispatched is not None:
                for lot, quantity in _arrive(under_way, taken.sku, taken.lot, resolved):
                    found.move((to, taken.sku, lot), max(arrived, at), in_transit=-quantity)


def _arrive(
    under_way: dict[tuple[str, str], Decimal], sku: str, lot: str | None, quantity: Decimal
) -> Iterator[tuple[str, Decimal]]:
    """Take what has arrived from what is under way: its own lot first, then whatever lot there is."""
    own = [(sku, lot)] if lot is not None and (sku, lot) in under_way else []
    for key in own + [key for key in under_way if key[0] == sku and key not in own]:
        step = min(quantity, under_way[key])
        if step > ZERO:
            under_way[key] -= step
            quantity -= step
            yield key[1], step


def _return(document: Document, found: Effects) -> None:
    if (event := document.one(ReturnReceived)) is not None:
        sign = -1 if event.data.direction == "to_company" else 1
        at = document.opened(ReturnReceived) or event.time
        for line in event.data.lines:
            found.move((document.dealer, line.sku, line.lot or ""), at, sign * line.quantity)


def _exchange(document: Document, found: Effects) -> None:
    """With an outlet, the dealer takes `in` and gives `out`; without one, it is the company that does."""
    if (event := document.one(GoodsExchanged)) is None:
        return
    outlet, at = event.data.outlet, document.opened(GoodsExchanged) or event.time
    for sign, lines in ((1, event.data.in_), (-1, event.data.out)):
        for line in lines:
            quantity, lot = sign * line.quantity, line.lot or ""
            found.move((document.dealer, line.sku, lot), at, quantity if outlet else -quantity)
            if outlet:
                found.move((outlet, line.sku, lot), at, -quantity)


_SIGNS = {"in": 1, "out": -1, "transfer": -1, "adjust": 1, "scrap": -1}


def _movement(document: Document, found: Effects) -> None:
    event = document.one(StockMoved)
    if event is None or event.data.delivery is not None:
        return
    data, at = event.data, document.opened(StockMoved) or event.time
    for line in data.lines:
        lot = line.lot or ""
        if data.kind in ("block", "release"):
            blocked = line.quantity if data.kind == "block" else -line.quantity
            found.move((data.location, line.sku, lot), at, blocked=blocked)
            continue
        found.move((data.location, line.sku, lot), at, _SIGNS[data.kind] * line.quantity)
        if data.kind == "transfer" and data.to_location is not None:
            found.move((data.to_location, line.sku, lot), at, line.quantity)


def _count(document: Document, found: Effects) -> None:
    event = document.one(StockCounted)
    if event is None:
        return
    if event.data.scope == "full":
        found.count((event.data.location, "", ""), event.data.at, ZERO, event.sequence)
    for line in event.data.lines:
        bucket = (event.data.location, line.sku, line.lot or "")
        found.count(bucket, event.data.at, line.quantity, event.sequence)


def _balance(document: Document, found: Effects) -> None:
    event = document.one(BalanceOpened)
    if event is None or event.data.kind != "stock":
        return
    for line in event.data.lines:
        if line.sku is not None and line.quantity is not None:
            bucket = (event.data.location or document.dealer, line.sku, line.lot or "")
            found.count(bucket, event.data.as_of, line.quantity, event.sequence)


def _sellout(document: Document, found: Effects) -> None:
    """What a dealer sold on has left it by the end of the reported period."""
    event = document.one(SelloutReported)
    if event is None:
        return
    data = event.data
    for line in data.lines:
        lot = line.lot or ""
        if data.flow == "secondary":
            found.move((document.dealer, line.sku, lot), data.to, -line.quantity)
            if data.outlet is not None:
                found.move((data.outlet, line.sku, lot), data.to, line.quantity)
        elif data.outlet is not None:
            found.move((data.outlet, line.sku, lot), data.to, -line.quantity)


EFFECTS = {
    "delivery": _delivery,
    "return": _return,
    "exchange": _exchange,
    "movement": _movement,
    "count": _count,
    "balance": _balance,
    "report": _sellout,
}


class Item(Struct, frozen=True, gc=False):
    """What an order's own document says of one product."""

    location: str
    ordered: Decimal
    placed: datetime | None
    closed: datetime | None


def items(document: Document | None) -> dict[str, Item]:
    """What an order asks for, by SKU."""
    return {} if document is None or document.kind != "order" else _items(document)


@lru_cache(maxsize=2048)
def _items(document: Document) -> dict[str, Item]:
    event = document.one(OrderPlaced)
    place = event.data.ship_to.id if event is not None and event.data.ship_to is not None else None
    placed, closed = document.opened(OrderPlaced), closed_at(document)
    found: dict[str, Item] = {}
    for line in lines_of(document):
        ordered = line.quantity + (found[line.sku].ordered if line.sku in found else ZERO)
        found[line.sku] = Item(place or document.dealer, ordered, placed, closed)
    return found


def dispatches(document: Document | None) -> dict[tuple[str, str], Dispatched]:
    """What a delivery took, by order and SKU."""
    found: dict[tuple[str, str], Dispatched] = {}
    if document is not None and document.kind == "delivery":
        event = document.one(DeliveryDispatched)
        if event is not None and event.data.order is not None:
            at = document.opened(DeliveryDispatched) or event.time
            for line in event.data.lines:
                key = (event.data.order, line.sku)
                quantity = line.quantity + (found[key].quantity if key in found else ZERO)
                found[key] = Dispatched(at, document.id, quantity)
    return found


class Difference(Struct, frozen=True, gc=False):
    """What a change moves and counts, by key: as it was and as it is."""

    moves: dict[tuple[str, str, str, datetime], tuple[Deltas, Deltas]]
    counts: dict[tuple[str, str, str, datetime], tuple[Decimal, int]]
    dispatches: dict[tuple[str, str], Dispatched | None]


@lru_cache(maxsize=2048)
def difference(change: Change) -> Difference:
    """What a change of a document that moves or counts stock makes different."""
    old, new = effects(change.before), effects(change.after)
    moves = {}
    for key in {**old.moves, **new.moves} if old.moves else new.moves:
        before, after = old.moves.get(key, STILL), new.moves.get(key, STILL)
        if before != after:
            moves[key] = before, after
    counts = {}
    for key in {**old.counts, **new.counts}:
        if old.counts.get(key) != new.counts.get(key):
            counts[key] = new.counts.get(key, (ZERO, 0))
    gone, taken = dispatches(change.before), dispatches(change.after)
    changed = {key: taken.get(key) for key in {**gone, **taken} if gone.get(key) != taken.get(key)}
    return Difference(moves, counts, changed)
