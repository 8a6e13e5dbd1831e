"""Stock by location, product and lot: the last count plus the moves after it, what is in transit, what is on order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from domain.calendar import AHEAD_MAX
from domain.numbers import ZERO
from projections.documents import Change
from projections.flags import mark
from projections.projection import Computed, Projection
from projections.rows import Key, Row, Rows, is_empty
from projections.stock_effects import (
    EFFECTS,
    STILL,
    Bucket,
    Deltas,
    Difference,
    Item,
    difference,
    items,
)
from projections.stock_levels import last_count, levels_at, open_quantity, summed
from projections.stock_rows import (
    OrderItem,
    StockCount,
    StockFlag,
    StockLevel,
    StockLots,
    StockMove,
    StockWait,
)


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
    waiting += [] if level.lot else _release(rows, level, limit)
    found = summed(bucket, moves, counts, level.on_order, limit)
    found.due_at = min(waiting, default=None)
    for name in StockLevel.__struct_fields__:
        setattr(level, name, getattr(found, name))


def _release(rows: Rows, level: StockLevel, limit: datetime) -> list[datetime]:
    """Take over into a level what of orders waited and is true by a limit; when the rest will be."""
    found = []
    for stored in list(rows.range(StockWait, level.location, level.sku)):
        wait = rows.edit(StockWait, stored.location, stored.sku, stored.ordered_by, stored.order)
        if wait.until is not None and wait.until <= limit:
            item = rows.read(OrderItem, wait.ordered_by, wait.order, wait.sku)
            assert item is not None, "what waits is an item's"
            _put_on_order(level, wait, _by(item, limit), wait.open)
        found += [wait.until] if wait.until is not None else []
    return found


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
                if not is_empty(level) and (not sku or level.sku == sku):
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


def _fold_items(change: Change, rows: Rows, limit: datetime) -> None:
    old, new = items(change.before), items(change.after)
    for sku in {**old, **new}:
        if old.get(sku) == new.get(sku):
            continue
        row = rows.edit(OrderItem, change.document.dealer, change.document.id, sku)
        place, was = row.location, _held(rows, row)
        item = new.get(sku) or Item("", ZERO, None, None)
        row.location, row.ordered, row.placed, row.closed = (
            item.location,
            item.ordered,
            item.placed,
            item.closed,
        )
        if place != row.location:
            _reorder(change, rows, row, place, was, (ZERO, None), limit)
            was = ZERO, None
        _reorder(change, rows, row, row.location, was, _by(row, limit), limit)


def _fold_dispatches(change: Change, rows: Rows, found: Difference, limit: datetime) -> None:
    for (order, sku), taken in found.dispatches.items():
        row = rows.edit(OrderItem, change.document.dealer, order, sku)
        was = _held(rows, row)
        kept = [d for d in row.dispatches if d.delivery != change.document.id]
        if taken is not None:
            kept.append(taken)
        row.dispatches = tuple(sorted(kept, key=lambda d: (d.at, d.delivery)))
        _reorder(change, rows, row, row.location, was, _by(row, limit), limit)


_Open = tuple[Decimal, datetime | None]  # what is still to be dispatched, and when that comes to be another


def _by(item: OrderItem, limit: datetime) -> _Open:
    """What an item leaves open by a limit; what claims to be beyond it waits."""
    said = [at for at in (item.placed, item.closed, *[d.at for d in item.dispatches]) if at is not None]
    beyond = [at for at in said if at > limit] if item.placed is not None else []
    return open_quantity(item, limit), min(beyond, default=None)


def _held(rows: Rows, item: OrderItem) -> _Open:
    """What the level of an item's place has of it: all it leaves open, unless something of it waits there."""
    level = rows.read(StockLevel, item.location, item.sku, "") if item.location else None
    if level is not None and level.due_at is not None:
        wait = rows.read(StockWait, item.location, item.sku, item.dealer, item.order)
        if wait is not None and wait.until is not None:
            return wait.open, wait.until
    return open_quantity(item), None


def _reorder(
    change: Change, rows: Rows, item: OrderItem, location: str, was: _Open, now: _Open, limit: datetime
) -> None:
    """Take over into a level what an item leaves open now."""
    if was == now:
        return
    level = rows.edit(StockLevel, location, item.sku, "")
    on_hand, (held, waited) = level.on_hand, was
    if waited is None and now[1] is None:
        level.on_order += now[0] - held
    else:
        wait = rows.edit(StockWait, location, item.sku, item.dealer, item.order)
        _put_on_order(level, wait, now, held)
        if wait.until is not None and (level.due_at is None or wait.until < level.due_at):
            level.due_at = wait.until
    alone = level.last_move is None if level.counted_at is not None else _is_counted_beside(rows, level)
    freed = waited is not None and waited == level.due_at  # what is due next may be later
    if alone or freed or _is_due(level, limit):
        _rebuild(rows, level, limit)
        _mark_negative(change, rows, level, on_hand)


def _put_on_order(level: StockLevel, wait: StockWait, now: _Open, held: Decimal) -> None:
    open, until = now
    level.on_order += open - held
    wait.open, wait.until = (open, until) if until is not None else (ZERO, None)


def _mark_negative(change: Change, rows: Rows, level: StockLevel, was: Decimal) -> None:
    if (level.on_hand < ZERO) != (was < ZERO):
        subject = f"{level.location}/{level.sku}/{level.lot}"
        mark(rows, StockFlag, change.event, ("", "negative_stock", subject), level.on_hand < ZERO)


STOCK = Projection(
    name="stock",
    rows=(StockLevel, StockMove, StockCount, StockLots, OrderItem, StockWait, StockFlag),
    kinds=frozenset({"order", *EFFECTS}),
    by_name=frozenset({"order", *EFFECTS}),
    keys=keys,
    fold=fold,
    modules=(
        "projections.stock",
        "projections.stock_effects",
        "projections.stock_levels",
        "projections.stock_rows",
        "projections.orders",
    ),
    computed=(Computed(StockLevel, levels_at, due="due_at"),),
)
