"""Stock by location, product and lot: the last count plus the moves after it, what is in transit, what is on order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import Struct

from domain.calendar import AHEAD_MAX
from domain.deliveries import DeliveryDispatched, DeliveryReceived, GoodsExchanged, ReturnReceived
from domain.numbers import ZERO, Quantity
from domain.orders import OrderPlaced
from domain.stock import BalanceOpened, SelloutReported, StockCounted, StockMoved
from projections.documents import Change, Document
from projections.flags import Flag, mark
from projections.orders import closed_at, lines_of
from projections.projection import Computed, Projection
from projections.rows import Key, Row, Rows, Tables, is_empty, table

Deltas = tuple[Decimal, Decimal, Decimal]  # on hand, blocked, in transit
_STILL: Deltas = (ZERO, ZERO, ZERO)
Bucket = tuple[str, str, str]  # location, SKU, lot; an empty lot: not told apart


@table(
    "stock_levels",
    key=("location", "sku", "lot"),
    home="shared",
    indexes=(("sku", "location"), ("due_at",)),
    scan=1,
)
class StockLevel(Row):
    """What is at a location of one product and lot. An empty lot is stock whose lot nobody named."""

    location: str
    sku: str
    lot: str
    on_hand: Quantity = ZERO  # by the last count and the moves after it; below zero is flagged, never refused
    blocked: Quantity = ZERO  # of it
    in_transit: Quantity = ZERO  # dispatched to this location and not yet arrived, short, damaged or refused
    on_order: Quantity = ZERO  # ordered for this location and not yet dispatched
    counted: Quantity = ZERO
    counted_at: datetime | None = None
    counted_sequence: int = 0
    last_move: datetime | None = None
    due_at: datetime | None = None  # the first move or count that waits because it claims to be far ahead


@table("stock_moves", key=("location", "sku", "lot", "at", "dealer", "document"), home="shared", scan=3)
class StockMove(Row):
    """What one document of a dealer, as kind/id, changed at one instant in one bucket."""

    location: str
    sku: str
    lot: str
    at: datetime
    dealer: str
    document: str
    on_hand: Quantity = ZERO
    blocked: Quantity = ZERO
    in_transit: Quantity = ZERO


@table("stock_counts", key=("location", "sku", "lot", "at", "dealer", "document"), home="shared", scan=3)
class StockCount(Row):
    """What was counted. Without a lot it is the product's whole stock; without a SKU, all that was not named: none."""

    location: str
    sku: str
    lot: str
    at: datetime
    dealer: str
    document: str
    quantity: Quantity = ZERO
    sequence: int = 0


@table("stock_lots", key=("location", "sku"), home="shared")
class StockLots(Row):
    """Whether other rows may bear on a bucket than its own; without a SKU, on every bucket of the location.

    Never taken back: it only says where to look.
    """

    location: str
    sku: str
    by_lot: bool = False  # told apart by lot
    counted: bool = False  # counted as a whole: without a lot, or, without a SKU, in full


class Dispatched(Struct, frozen=True, gc=False):
    """What one delivery took of an order's product."""

    at: datetime
    delivery: str
    quantity: Quantity


@table("order_items", key=("dealer", "order", "sku"), indexes=(("location", "sku"),))
class OrderItem(Row):
    """One product of one order, and how much of it is still to be dispatched."""

    dealer: str
    order: str
    sku: str
    location: str = ""
    ordered: Quantity = ZERO
    placed: datetime | None = None
    closed: datetime | None = None
    dispatches: tuple[Dispatched, ...] = ()


@table("stock_flags", key=("dealer", "kind", "subject"), view="flags")
class StockFlag(Flag):
    """Stock below zero; the subject is location/SKU/lot, the dealer is empty."""


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
    if (does := _EFFECTS.get(document.kind)) is not None:
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


_EFFECTS = {
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


def open_quantity(item: OrderItem, at: datetime | None = None) -> Decimal:
    """What is still to be dispatched: nothing once closed, and never below zero."""
    if item.placed is None or (at is not None and item.placed > at):
        return ZERO
    if item.closed is not None and (at is None or item.closed <= at):
        return ZERO
    gone = [d.quantity for d in item.dispatches if at is None or d.at <= at]
    return max(ZERO, item.ordered - sum(gone, ZERO))


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
        before, after = old.moves.get(key, _STILL), new.moves.get(key, _STILL)
        if before != after:
            moves[key] = before, after
    counts = {}
    for key in {**old.counts, **new.counts}:
        if old.counts.get(key) != new.counts.get(key):
            counts[key] = new.counts.get(key, (ZERO, 0))
    gone, taken = dispatches(change.before), dispatches(change.after)
    changed = {key: taken.get(key) for key in {**gone, **taken} if gone.get(key) != taken.get(key)}
    return Difference(moves, counts, changed)


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches first."""
    dealer = change.document.dealer
    if change.kind == "order":
        for document in (change.before, change.after):
            for sku, item in items(document).items():
                yield OrderItem, (dealer, change.document.id, sku)
                yield StockLevel, (item.location, sku, "")
        return
    found = difference(change)
    for location, sku, lot, _ in found.moves:
        yield StockLevel, (location, sku, lot)
        if lot:
            yield StockLots, (location, sku)
    for location, sku, lot, _ in found.counts:
        yield StockLevel, (location, sku, lot)
        yield StockLots, (location, sku)
    for order, sku in found.dispatches:
        yield OrderItem, (dealer, order, sku)
        yield StockLevel, (dealer, sku, "")


def fold(change: Change, rows: Rows) -> None:
    """Take off what the document did before and put on what it does now."""
    limit = change.event.recorded + AHEAD_MAX
    if change.kind == "order":
        _fold_items(change, rows, limit)
        return
    found = difference(change)
    if found.dispatches:
        _fold_dispatches(change, rows, found, limit)
    if found.counts:
        for bucket in _fold_counts(change, rows, found):
            _recount(change, rows, bucket, limit)
    if found.moves:
        _fold_moves(change, rows, found, limit)


def _fold_moves(change: Change, rows: Rows, found: Difference, limit: datetime) -> None:
    dealer, name = change.document.dealer, f"{change.kind}/{change.document.id}"
    touched: dict[Bucket, tuple[StockLevel, Decimal]] = {}
    for key, (before, after) in found.moves.items():
        location, sku, lot, at = key
        rows.put(StockMove(*key, dealer, name, *after))
        if lot:
            _tell_lots_apart(rows, location, sku)
        level = rows.edit(StockLevel, location, sku, lot)
        touched.setdefault((location, sku, lot), (level, level.on_hand))
        _move(rows, level, at, before, after, limit)
    for level, was in touched.values():  # not before: a correction passes through levels that never were
        _mark_negative(change, rows, level, was)


def _move(
    rows: Rows, level: StockLevel, at: datetime, before: Deltas, after: Deltas, limit: datetime
) -> None:
    """Take a move over into its level; sum the level anew where the difference alone does not tell."""
    if (
        at > limit
        or _is_due(level, limit)
        or (level.last_move == at and after == _STILL)  # perhaps an earlier move was the last
        or (level.counted_at is None and _is_counted_beside(rows, level))
    ):
        _rebuild(rows, level, limit)
        return
    level.blocked += after[1] - before[1]
    level.in_transit += after[2] - before[2]
    if level.counted_at is None or at > level.counted_at:
        level.on_hand += after[0] - before[0]
    if level.last_move is None or level.last_move < at:
        level.last_move = at


def _tell_lots_apart(rows: Rows, location: str, sku: str) -> None:
    known = rows.read(StockLots, location, sku)
    if known is None or not known.by_lot:
        rows.edit(StockLots, location, sku).by_lot = True


def _is_counted_beside(rows: Rows, level: StockLevel) -> bool:
    """Whether a count of the whole location or product may bear on a level that has not seen it."""
    for name in ("", level.sku) if level.lot else ("",):
        known = rows.read(StockLots, level.location, name)
        if known is not None and known.counted:
            return True
    return False


def _is_due(level: StockLevel, limit: datetime) -> bool:
    return level.due_at is not None and level.due_at <= limit


def _rebuild(rows: Rows, level: StockLevel, limit: datetime) -> None:
    """Set a level from all its moves and counts up to a limit; what lies beyond waits."""
    bucket = (level.location, level.sku, level.lot)
    moves = [m for m in rows.range(StockMove, *bucket) if m.on_hand or m.blocked or m.in_transit]
    counts = list(_counts(rows, bucket))
    found = _summed(bucket, moves, counts, level.on_order, limit)
    waiting = [m.at for m in moves if m.at > limit] + [c.at for c in counts if c.sequence and c.at > limit]
    found.due_at = min(waiting, default=None)
    for name in StockLevel.__struct_fields__:
        setattr(level, name, getattr(found, name))


def _fold_counts(change: Change, rows: Rows, found: Difference) -> list[Bucket]:
    """Store the counts of a document; the buckets whose last count may be another one now."""
    buckets: dict[Bucket, None] = {}
    dealer, name = change.document.dealer, f"{change.kind}/{change.document.id}"
    for key, (quantity, sequence) in found.counts.items():
        rows.put(StockCount(*key, dealer, name, quantity, sequence))
        location, sku, lot, _ = key
        if sku:
            buckets[location, sku, lot] = None
        if lot:
            _tell_lots_apart(rows, location, sku)
            continue
        known = rows.read(StockLots, location, sku)
        if known is None or not known.counted:
            known = rows.edit(StockLots, location, sku)
            known.counted = True
        if not sku or known.by_lot:
            for level in rows.range(StockLevel, location):
                if not sku or level.sku == sku:
                    buckets[location, level.sku, level.lot] = None
    return list(buckets)


def _recount(change: Change, rows: Rows, bucket: Bucket, limit: datetime) -> None:
    """Set a bucket to its last count and the moves after it."""
    level = rows.edit(StockLevel, *bucket)
    was = level.on_hand
    newest = change.event.effective
    named = difference(change).counts.get((*bucket, newest))
    if (
        change.before is None
        and change.after is not None
        and change.after.statements[0] is change.event  # not what a withdrawn withdrawal brings back
        and newest <= limit
        and level.due_at is None
        and (named is not None or level.last_move is not None)
        and _is_after(newest, level)
        and not (level.counted_at is None and _is_counted_beside(rows, level))
    ):
        # The usual way, without reading anything: nothing known bears on the bucket after this count.
        level.counted, level.counted_sequence = named or (ZERO, change.event.sequence)
        level.counted_at, level.on_hand = newest, level.counted
        _mark_negative(change, rows, level, was)
        return
    counts = list(_counts(rows, bucket))
    if level.due_at is not None or level.last_move is None or any(c.at > limit for c in counts if c.sequence):
        _rebuild(rows, level, limit)
    else:
        level.counted, level.counted_at, level.counted_sequence = last_count(bucket, counts)
        level.on_hand = level.counted
        since = level.counted_at
        if since is None or level.last_move > since:
            for move in rows.range(StockMove, *bucket, since=since, until=level.last_move):
                if since is None or move.at > since:
                    level.on_hand += move.on_hand
    _mark_negative(change, rows, level, was)


def _is_after(at: datetime, level: StockLevel) -> bool:
    return (level.counted_at is None or level.counted_at < at) and (
        level.last_move is None or level.last_move <= at
    )


def _counts(rows: Rows, bucket: Bucket) -> Iterator[StockCount]:
    location, sku, lot = bucket
    for name in {(sku, lot), (sku, ""), ("", "")}:
        yield from rows.range(StockCount, location, *name)


def last_count(
    bucket: Bucket, counts: Iterable[StockCount], at: datetime | None = None
) -> tuple[Decimal, datetime | None, int]:
    """The last word on a bucket, as (quantity, instant, sequence): of the lot, the whole product, or the location.

    A count of the whole product says none for each of its lots by name; a full count says none for what it does
    not name. At one instant the later sequence wins, and within one count what is named.
    """
    best: tuple[datetime, int, int] | None = None
    quantity = ZERO
    for count in counts:
        if not count.sequence or (at is not None and count.at > at):
            continue
        rank = (count.at, count.sequence, bool(count.sku) + bool(count.lot))
        if best is None or rank > best:
            best = rank
            quantity = count.quantity if (count.sku, count.lot) == bucket[1:] else ZERO
    return (ZERO, None, 0) if best is None else (quantity, best[0], best[1])


def _fold_items(change: Change, rows: Rows, limit: datetime) -> None:
    old, new = items(change.before), items(change.after)
    for sku in {**old, **new}:
        if old.get(sku) == new.get(sku):
            continue
        row = rows.edit(OrderItem, change.document.dealer, change.document.id, sku)
        was, place = open_quantity(row), row.location
        item = new.get(sku) or Item("", ZERO, None, None)
        row.location, row.ordered, row.placed, row.closed = (
            item.location,
            item.ordered,
            item.placed,
            item.closed,
        )
        if place != row.location:
            _reorder(change, rows, place, sku, -was, limit)
            was = ZERO
        _reorder(change, rows, row.location, sku, open_quantity(row) - was, limit)


def _fold_dispatches(change: Change, rows: Rows, found: Difference, limit: datetime) -> None:
    for (order, sku), taken in found.dispatches.items():
        row = rows.edit(OrderItem, change.document.dealer, order, sku)
        was = open_quantity(row)
        kept = [d for d in row.dispatches if d.delivery != change.document.id]
        if taken is not None:
            kept.append(taken)
        row.dispatches = tuple(sorted(kept, key=lambda d: (d.at, d.delivery)))
        _reorder(change, rows, row.location, sku, open_quantity(row) - was, limit)


def _reorder(change: Change, rows: Rows, location: str, sku: str, delta: Decimal, limit: datetime) -> None:
    if not delta:
        return
    level = rows.edit(StockLevel, location, sku, "")
    was = level.on_hand
    level.on_order += delta
    if level.last_move is None if level.counted_at is not None else _is_counted_beside(rows, level):
        _rebuild(rows, level, limit)
        _mark_negative(change, rows, level, was)


def _mark_negative(change: Change, rows: Rows, level: StockLevel, was: Decimal) -> None:
    if (level.on_hand < ZERO) != (was < ZERO):
        subject = f"{level.location}/{level.sku}/{level.lot}"
        mark(rows, StockFlag, change.event, ("", "negative_stock", subject), level.on_hand < ZERO)


def level_at(
    level: StockLevel,
    moves: Iterable[StockMove],
    counts: Iterable[StockCount],
    ordered: Iterable[OrderItem],
    at: datetime,
) -> StockLevel:
    """A level as it was true at an instant, from its moves, the counts that bear on it, and the order items.

    `counts` are those of the lot, of the product and of the location as a whole; `ordered` the items of the
    location and product, which belong to the bucket without a lot.
    """
    on_order = ZERO if level.lot else sum([open_quantity(item, at) for item in ordered], ZERO)
    return _summed((level.location, level.sku, level.lot), moves, list(counts), on_order, at)


def _summed(
    bucket: Bucket, moves: Iterable[StockMove], counts: Sequence[StockCount], on_order: Decimal, at: datetime
) -> StockLevel:
    found = StockLevel(*bucket, on_order=on_order)
    found.counted, found.counted_at, found.counted_sequence = last_count(bucket, counts, at)
    found.on_hand = found.counted
    for move in moves:
        if move.at <= at:
            found.blocked += move.blocked
            found.in_transit += move.in_transit
            found.last_move = move.at if found.last_move is None else max(found.last_move, move.at)
            if found.counted_at is None or move.at > found.counted_at:
                found.on_hand += move.on_hand
    if found.last_move is None and not on_order:
        own = [c for c in counts if c.sequence and c.at <= at and (c.sku, c.lot) == bucket[1:]]
        if not own:  # that a whole location was counted says nothing of what it never had
            return StockLevel(*bucket)
    return found


def levels_at(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[StockLevel]:
    """Every level as it was true at an instant, of the locations and SKUs asked for."""
    wanted = {name: filters[name] for name in ("location", "sku") if name in filters}
    moves: dict[Bucket, list[StockMove]] = {}
    for move in tables.select(StockMove, **wanted):
        moves.setdefault((move.location, move.sku, move.lot), []).append(move)
    about = dict(wanted)
    if "sku" in about:
        about["sku"] = [*about["sku"], ""]  # a full count bears on every SKU
    counts: dict[Bucket, list[StockCount]] = {}
    for count in tables.select(StockCount, **about):
        counts.setdefault((count.location, count.sku, count.lot), []).append(count)
    ordered: dict[Bucket, list[OrderItem]] = {}
    for item in tables.select(OrderItem, **wanted):
        if item.placed is not None:
            ordered.setdefault((item.location, item.sku, ""), []).append(item)
    # Not of the levels stored: what says nothing now has none, and yet said something then.
    for bucket in sorted({*moves, *ordered, *(named for named in counts if named[1])}):
        location, sku, lot = bucket
        bearing = [c for name in {(sku, lot), (sku, ""), ("", "")} for c in counts.get((location, *name), ())]
        level = level_at(StockLevel(*bucket), moves.get(bucket, ()), bearing, ordered.get(bucket, ()), at)
        if not is_empty(level):
            yield level


STOCK = Projection(
    name="stock",
    rows=(StockLevel, StockMove, StockCount, StockLots, OrderItem, StockFlag),
    kinds=frozenset({"order", *_EFFECTS}),
    naming=frozenset({"order", *_EFFECTS}),
    keys=keys,
    fold=fold,
    modules=("projections.stock", "projections.orders"),
    computed=(Computed(StockLevel, levels_at, due="due_at"),),
)
