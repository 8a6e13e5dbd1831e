"""Goods and crates on their way between company, dealers and outlets."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from domain.calendar import Instant, Window
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import ZERO, Currency, Money, UnsignedQuantity, exact_fields
from domain.places import Place
from domain.texts import LINES_MAX, Text


class DispatchedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What was loaded of one SKU and lot."""

    line: Id | None = None
    order_line: Id | None = None
    sku: Id
    quantity: UnsignedQuantity
    lot: Id | None = None
    produced: Instant | None = None
    best_before: Instant | None = None
    expires: Instant | None = None
    codes: Annotated[tuple[Id, ...], Meta(max_length=5000)] = ()
    owner: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


@fact("delivery.dispatched.v1", families=("deliveries",))
class DeliveryDispatched(Payload, frozen=True, kw_only=True):
    """Goods have left `from` on their way to `to`, or to the dealer where none is named."""

    delivery: Id
    dealer: Id
    order: Id | None = None
    from_: Id | None = field(name="from", default=None)
    to: Id | None = None
    carrier: Id | None = None
    requested: Window | None = None
    promised: Window | None = None
    lines: Annotated[tuple[DispatchedLine, ...], Meta(max_length=LINES_MAX)]


class ReceivedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What became of one SKU and lot at the ramp."""

    line: Id | None = None
    sku: Id
    accepted: UnsignedQuantity
    short: UnsignedQuantity | None = None
    damaged: UnsignedQuantity | None = None
    refused: UnsignedQuantity | None = None
    lot: Id | None = None
    produced: Instant | None = None
    best_before: Instant | None = None
    expires: Instant | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "accepted", "short", "damaged", "refused", least=ZERO)


@fact(
    "delivery.received.v1",
    families=("deliveries",),
    slot=("receipt",),
    effective=lambda data: data.arrived,
)
class DeliveryReceived(Payload, frozen=True, kw_only=True):
    """Goods of a delivery have arrived; several receipts of one delivery add up."""

    delivery: Id
    receipt: Id
    dealer: Id
    order: Id | None = None
    arrived: Instant
    place: Place | None = None
    lines: Annotated[tuple[ReceivedLine, ...], Meta(max_length=LINES_MAX)]


@fact("delivery.failed.v1", families=("deliveries",), step=True, effective=lambda data: data.attempted)
class DeliveryFailed(Payload, frozen=True, kw_only=True):
    """The goods could not be handed over."""

    delivery: Id
    dealer: Id
    reason: Text
    attempted: Instant | None = None


class OrderLine(Struct, frozen=True, kw_only=True, gc=False):
    """The order line that returned goods had been sold by."""

    order: Id
    line: Id


class ReturnedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What came back of one SKU and lot, and in which state."""

    sku: Id
    quantity: UnsignedQuantity
    net: Money | None = None
    of: OrderLine | None = None
    condition: Literal["sellable", "damaged", "expired"]
    lot: Id | None = None
    produced: Instant | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)
        exact_fields(self, "net")


@fact("return.received.v1", families=("deliveries",))
class ReturnReceived(Payload, frozen=True, kw_only=True):
    """Goods have come back from a dealer to the company, or from an outlet to its dealer."""

    return_: Id = field(name="return")
    dealer: Id
    direction: Literal["to_company", "to_dealer"]
    order: Id | None = None
    reason: Text
    lines: Annotated[tuple[ReturnedLine, ...], Meta(max_length=LINES_MAX)]


class ExchangedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One SKU and lot that was handed over in an exchange."""

    sku: Id
    quantity: UnsignedQuantity
    lot: Id | None = None
    produced: Instant | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


ExchangedLines = Annotated[tuple[ExchangedLine, ...], Meta(max_length=LINES_MAX)]


@fact("goods.exchanged.v1", families=("deliveries",))
class GoodsExchanged(Payload, frozen=True, kw_only=True):
    """Aged or damaged cases came in and good ones went out instead (換箱, of goods)."""

    exchange: Id
    dealer: Id
    outlet: Id | None = None
    in_: ExchangedLines = field(name="in")
    out: ExchangedLines
    reason: Text


# An exchange of crates may bear the number of an exchange of goods; they are different documents.
@fact("crate.exchanged.v1", families=("deliveries",), document="crate_exchange")
class CrateExchanged(Payload, frozen=True, kw_only=True):
    """Full crates or kegs were issued and empty ones returned (換箱, full for empty)."""

    exchange: Id
    dealer: Id
    outlet: Id | None = None
    asset: Id
    issued: UnsignedQuantity
    returned: UnsignedQuantity
    deposit_unit: Money | None = None
    currency: Currency | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "issued", "returned", least=ZERO)
        exact_fields(self, "deposit_unit")


@fact(
    "crate.counted.v1",
    families=("deliveries",),
    document="crate_count",
    effective=lambda data: data.at,
)
class CrateCounted(Payload, frozen=True, kw_only=True):
    """So many of the company's crates stood with the dealer or outlet."""

    count: Id
    dealer: Id
    outlet: Id | None = None
    asset: Id
    quantity: UnsignedQuantity
    at: Instant | None = None
    deposit_unit: Money | None = None
    currency: Currency | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)
        exact_fields(self, "deposit_unit")


@fact("crate.lost.v1", families=("deliveries",), document="crate_loss")
class CrateLost(Payload, frozen=True, kw_only=True):
    """So many of the company's crates will not come back."""

    loss: Id
    dealer: Id
    outlet: Id | None = None
    asset: Id
    quantity: UnsignedQuantity
    deposit_unit: Money | None = None
    currency: Currency | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)
        exact_fields(self, "deposit_unit")
