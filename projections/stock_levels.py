"""Stock as it is true at an instant: the last count, the moves after it, and what is on order then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.numbers import ZERO
from projections.rows import Tables, is_empty
from projections.stock_effects import Bucket
from projections.stock_rows import OrderItem, StockCount, StockLevel, StockMove


def open_quantity(item: OrderItem, at: datetime | None = None) -> Decimal:
    """What is still to be dispatched by an instant, or in the end: nothing once closed, and never below zero."""
    if item.placed is None or (at is not None and item.placed > at):
        return ZERO
    if item.closed is not None and (at is None or item.closed <= at):
        return ZERO
    gone = [d.quantity for d in item.dispatches if at is None or d.at <= at]
    return max(ZERO, item.ordered - sum(gone, ZERO))


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
    return summed((level.location, level.sku, level.lot), moves, list(counts), on_order, at)


def summed(
    bucket: Bucket, moves: Iterable[StockMove], counts: Sequence[StockCount], on_order: Decimal, at: datetime
) -> StockLevel:
    """A level from what bears on it, as it is by an instant; nothing where only others were counted."""
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
