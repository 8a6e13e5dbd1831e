"""Stock at locations: moves, counts, what dealers sold on, and what was there at the start."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from domain.calendar import Instant, half_open
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import ZERO, Currency, Money, Quantity, UnsignedQuantity, exact, exact_fields
from domain.places import Place
from domain.texts import LINES_MAX, Text


class MovedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How much of one SKU and lot was moved; only an adjustment may be below zero."""

    sku: Id
    quantity: Quantity
    lot: Id | None = None
    produced: Instant | None = None
    owner: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity")


@fact("stock.moved.v1", families=("deliveries",))
class StockMoved(Payload, frozen=True, kw_only=True):
    """Stock of a location changed; a move that names a delivery is linked to it and not counted again."""

    movement: Id
    location: Id
    to_location: Id | None = None
    dealer: Id | None = None
    kind: Literal["in", "out", "transfer", "adjust", "scrap", "block", "release"]
    delivery: Id | None = None
    reason: Text | None = None
    lines: Annotated[tuple[MovedLine, ...], Meta(max_length=LINES_MAX)]

    def __post_init__(self) -> None:
        if self.kind != "adjust":
            for number, line in enumerate(self.lines):
                if line.quantity < ZERO:
                    exact(f"lines[{number}].quantity", line.quantity, least=ZERO)


class CountedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How much of one SKU and lot was there."""

    sku: Id
    quantity: UnsignedQuantity
    lot: Id | None = None
    produced: Instant | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


@fact("stock.counted.v1", families=("deliveries",), effective=lambda data: data.at)
class StockCounted(Payload, frozen=True, kw_only=True):
    """A location's stock at an instant; in a full count an absent SKU means none."""

    count: Id
    location: Id
    dealer: Id | None = None
    at: Instant
    scope: Literal["full", "listed"]
    method: Literal["count", "dealer_report", "system"]
    by: Id | None = None
    lines: Annotated[tuple[CountedLine, ...], Meta(max_length=LINES_MAX)]


class SoldLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How much of one SKU was sold on, in the reporter's own code where it differs."""

    sku: Id
    quantity: UnsignedQuantity
    net: Money | None = None
    lot: Id | None = None
    their_sku: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)
        exact_fields(self, "net")


@fact("sellout.reported.v1", families=("field",), effective=lambda data: data.from_)
class SelloutReported(Payload, frozen=True, kw_only=True):
    """What a dealer sold to outlets (secondary), or an outlet to consumers (tertiary), in a period."""

    report: Id
    dealer: Id
    flow: Literal["secondary", "tertiary"]
    outlet: Id | None = None
    from_: Instant = field(name="from")
    to: Instant
    lines: Annotated[tuple[SoldLine, ...], Meta(max_length=LINES_MAX)]
    currency: Currency | None = None

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)


class BalanceLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One part of an opening balance: goods, crates, an open invoice, or a sum."""

    sku: Id | None = None
    lot: Id | None = None
    produced: Instant | None = None
    owner: Id | None = None
    asset: Id | None = None
    invoice: Id | None = None
    due: Instant | None = None
    budget: Id | None = None
    category: Id | None = None
    quantity: Quantity | None = None
    amount: Money | None = None
    currency: Currency | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", "amount")


@fact("balance.opened.v1", families=("plans",), effective=lambda data: data.as_of)
class BalanceOpened(Payload, frozen=True, kw_only=True):
    """What had come together before the first event: the figures start from here."""

    balance: Id
    dealer: Id | None = None
    location: Id | None = None
    kind: Literal["stock", "receivable", "crates", "sales", "points", "budget"]
    as_of: Instant
    lines: Annotated[tuple[BalanceLine, ...], Meta(max_length=LINES_MAX)]


# What was put in and taken out again stands as the last word on these children.
@fact(
    "code.packed.v1",
    families=("field",),
    document="code",
    slot=("children", "action"),
)
class CodePacked(Payload, frozen=True, kw_only=True):
    """Coded units were packed into a coded parent, or taken out of it."""

    parent: Id
    children: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=5000)]
    sku: Id
    lot: Id | None = None
    action: Literal["add", "remove"]


@fact("code.scanned.v1", families=("field",), effective=lambda data: data.at)
class CodeScanned(Payload, frozen=True, kw_only=True):
    """Somebody has seen a coded unit at a place."""

    scan: Id
    code: Id
    by: Literal["inspector", "dealer", "outlet", "consumer"]
    place: Place
    at: Instant
