"""Stock as it is stored: levels, the moves and counts they are made of, and what orders ask for."""

from __future__ import annotations

from datetime import datetime

from domain.numbers import ZERO, Quantity
from projections.flags import Flag
from projections.rows import Row, table
from projections.stock_effects import Dispatched


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


@table("stock_waits", key=("location", "sku", "ordered_by", "order"), home="shared", scan=2)
class StockWait(Row):
    """A product of an order of which something claims to be far ahead, and when the next of it comes true."""

    location: str
    sku: str
    ordered_by: str  # a dealer: the row is the place's, and others' events release it
    order: str
    open: Quantity = ZERO  # what the level has of it on order meanwhile
    until: datetime | None = None


@table("stock_flags", key=("dealer", "kind", "subject"), view="flags")
class StockFlag(Flag):
    """Stock below zero; the subject is location/SKU/lot, the dealer is empty."""
