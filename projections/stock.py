"""Stock by location, product and lot: the last count plus the moves after it, what is in transit, what is on order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.calendar import AHEAD_MAX
from domain.numbers import ZERO, Quantity
from projections.documents import Change
from projections.flags import Flag, mark
from projections.projection import Computed, Projection
from projections.rows import Key, Row, Rows, Tables, is_empty, table
from projections.stock_effects import (
    EFFECTS,
    STILL,
    Bucket,
    Deltas,
    Difference,
    Dispatched,
    Item,
    difference,
    items,
)


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
    due_at: datetime | None = None  # of the first that waits because it claims to be far ahead


@table(
    "stock_moves",
    key=("location", "sku", "lot", "at", "dealer", "document"),
    home="shared",
    scan=3,
    appears="at",
)
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


@table(
    "stock_counts",
    key=("location", "sku", "lot", "at", "dealer", "document"),
    home="shared",
    scan=3,
    appears="at",
)
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


@table("order_items", key=("dealer", "order", "sku"), indexes=(("location", "sku"),), appears="placed")
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
    counted: Quantity = ZERO  # what of it is in its level's `on_order`
    waits_until: datetime | None = None  # when that changes, by what claims to be far ahead


@table("stock_waits", key=("location", "sku", "dealer", "order"), home="shared", scan=2)
class StockWait(Row):
    """A product of an order of which something claims to be far ahead, and when the first of it is true."""

    location: str
    sku: str
    dealer: str
    order: str
    until: datetime | None = None


@table("stock_flags", key=("dealer", "kind", "subject"), view="flags")
class StockFlag(Flag):
    """Stock below zero; the subject is location/SKU/lot, the dealer is empty."""


def open_quantity(item: OrderItem, at: datetime | None = None) -> Decimal:
    """What is still to be dispatched: nothing once closed, and never below zero."""
    if item.placed is None or (at is not None and item.placed > at):
        return ZERO
    if item.closed is not None and (at is None or item.closed <= at):
        return ZERO
    gone = [d.quantity for d in item.dispatches if at is None or d.at <= at]
    return max(ZERO, item.ordered - sum(gone, ZERO))


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
        or (level.last_move == at and after == STILL)  # perhaps an earlier move was the last
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
    waiting = [m.at for m in moves if m.at > limit] + [c.at for c in counts if c.sequence and c.at > limit]
    on_order = level.on_order
    for wait in () if level.lot else list(rows.range(StockWait, level.location, level.sku)):
        if wait.until is not None and wait.until <= limit:
            item = rows.edit(OrderItem, wait.dealer, wait.order, wait.sku)
            on_order -= item.counted
            item.counted, item.waits_until = _open_by(item, limit)
            on_order += item.counted
            wait = rows.edit(StockWait, wait.location, wait.sku, wait.dealer, wait.order)
            wait.until = item.waits_until
        waiting += [wait.until] if wait.until is not None else []
    found = _summed(bucket, moves, counts, on_order, limit)
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
    first = (
        change.before is None
        and change.after is not None
        and change.after.statements[0] is change.event  # not what a withdrawn withdrawal brings back
    )
    if first and not _is_due(level, limit) and level.counted_at is not None and newest < level.counted_at:
        return  # the last word is a later one
    if (
        first
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
        place = row.location
        item = new.get(sku) or Item("", ZERO, None, None)
        row.location, row.ordered, row.placed, row.closed = (
            item.location,
            item.ordered,
            item.placed,
            item.closed,
        )
        _reorder(change, rows, row, place, limit)


def _fold_dispatches(change: Change, rows: Rows, found: Difference, limit: datetime) -> None:
    for (order, sku), taken in found.dispatches.items():
        row = rows.edit(OrderItem, change.document.dealer, order, sku)
        kept = [d for d in row.dispatches if d.delivery != change.document.id]
        if taken is not None:
            kept.append(taken)
        row.dispatches = tuple(sorted(kept, key=lambda d: (d.at, d.delivery)))
        _reorder(change, rows, row, row.location, limit)


def _reorder(change: Change, rows: Rows, item: OrderItem, place: str, limit: datetime) -> None:
    """Take over into the levels of an item's places what it leaves open now; what lies beyond the limit waits."""
    if place != item.location:
        _order(change, rows, item, place, (ZERO, None), limit)
    _order(change, rows, item, item.location, _open_by(item, limit), limit)


def _open_by(item: OrderItem, limit: datetime) -> tuple[Decimal, datetime | None]:
    """What is still to be dispatched by a limit, and when that changes next by what is known."""
    said = [at for at in (item.placed, item.closed, *[d.at for d in item.dispatches]) if at is not None]
    beyond = [at for at in said if at > limit] if item.placed is not None else []
    return open_quantity(item, limit), min(beyond, default=None)


def _order(
    change: Change,
    rows: Rows,
    item: OrderItem,
    location: str,
    asked: tuple[Decimal, datetime | None],
    limit: datetime,
) -> None:
    was_counted, was_waiting = item.counted, item.waits_until
    item.counted, item.waits_until = asked
    if (was_counted, was_waiting) == asked:
        return
    level = rows.edit(StockLevel, location, item.sku, "")
    was = level.on_hand
    level.on_order += item.counted - was_counted
    if item.waits_until != was_waiting:
        rows.edit(StockWait, location, item.sku, item.dealer, item.order).until = item.waits_until
        if item.waits_until is not None and (level.due_at is None or item.waits_until < level.due_at):
            level.due_at = item.waits_until
    alone = level.last_move is None if level.counted_at is not None else _is_counted_beside(rows, level)
    if alone or _is_due(level, limit) or (was_waiting is not None and was_waiting == level.due_at):
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
    rows=(StockLevel, StockMove, StockCount, StockLots, OrderItem, StockWait, StockFlag),
    kinds=frozenset({"order", *EFFECTS}),
    by_name=frozenset({"order", *EFFECTS}),
    keys=keys,
    fold=fold,
    modules=("projections.stock", "projections.stock_effects", "projections.orders"),
    computed=(Computed(StockLevel, levels_at, due="due_at"),),
)
