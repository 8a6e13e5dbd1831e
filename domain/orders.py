"""What was ordered, invoiced and paid."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from domain.calendar import Instant, Window
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import ZERO, Currency, Money, Quantity, UnsignedQuantity, exact_fields, exact_sum
from domain.places import Place
from domain.texts import LINES_MAX, Code, Text

Initiator = Literal["dealer", "company", "carrier"]


class Entered(Struct, frozen=True, kw_only=True, gc=False):
    """The quantity as it was typed, for display only: nothing is ever converted from it."""

    quantity: Quantity
    uom: Code

    def __post_init__(self) -> None:
        exact_fields(self, "quantity")


class Discount(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One reason why a line's net is what it is, and who pays for it."""

    kind: Code
    promotion: Id | None = None
    amount: Money
    funder: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "amount")


class Free(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Why a line is free of charge."""

    of_line: Id | None = None
    promotion: Id | None = None
    kind: Literal["bonus", "sample", "display", "replacement"]


class Line(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One SKU of an order; `net` is authoritative, and need not be quantity times unit price."""

    line: Id
    sku: Id
    quantity: UnsignedQuantity
    unit_price: Money
    net: Money
    tax: Money | None = None
    discounts: Annotated[tuple[Discount, ...], Meta(max_length=50)] = ()
    list_price: Money | None = None
    unit_cost: Money | None = None
    cost: Money | None = None
    category: Id | None = None
    free: Free | None = None
    requested: Window | None = None
    promised: Window | None = None
    entered: Entered | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)
        exact_fields(self, "unit_price", "net", "tax", "list_price", "unit_cost", "cost")


Lines = Annotated[tuple[Line, ...], Meta(max_length=LINES_MAX)]


@fact("order.placed.v1", families=("orders",), effective=lambda data: data.placed)
class OrderPlaced(Payload, frozen=True, kw_only=True):
    """A dealer, or an outlet at its dealer, has ordered goods."""

    order: Id
    dealer: Id
    outlet: Id | None = None
    seller: Id | None = None
    rep: Id | None = None
    territory: Id | None = None
    currency: Currency
    placed: Instant | None = None
    requested: Window | None = None
    promised: Window | None = None
    ship_to: Place | None = None
    freight: Money | None = None
    tax_included_prices: bool | None = None
    lines: Lines

    def __post_init__(self) -> None:
        exact_fields(self, "freight")


class ConfirmedLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What is promised for one line, where it differs from the order."""

    line: Id
    promised: Window | None = None
    quantity: UnsignedQuantity | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


@fact("order.confirmed.v1", families=("orders",), step=True)
class OrderConfirmed(Payload, frozen=True, kw_only=True):
    """The company has promised to deliver the order."""

    order: Id
    dealer: Id
    promised: Window | None = None
    lines: Annotated[tuple[ConfirmedLine, ...], Meta(max_length=LINES_MAX)] = ()


@fact("order.amended.v1", families=("orders",), step=True)
class OrderAmended(Payload, frozen=True, kw_only=True):
    """The order now has these lines instead of all it had before."""

    order: Id
    dealer: Id
    initiator: Initiator
    severity: Literal["minor", "major"] | None = None
    reason: Text | None = None
    lines: Lines


# An order may be held for stock and for credit at once; each hold is released by its own reason.
Hold = Literal["credit", "stock", "compliance", "other"]


@fact("order.held.v1", families=("orders",), step=True, slot=("reason",))
class OrderHeld(Payload, frozen=True, kw_only=True):
    """The order waits and will not be delivered until it is released."""

    order: Id
    dealer: Id
    reason: Hold


@fact("order.released.v1", families=("orders",), step=True, slot=("reason",))
class OrderReleased(Payload, frozen=True, kw_only=True):
    """The order no longer waits for this reason."""

    order: Id
    dealer: Id
    reason: Hold


@fact("order.cancelled.v1", families=("orders",))
class OrderCancelled(Payload, frozen=True, kw_only=True):
    """What is not yet delivered of the order will not be."""

    order: Id
    dealer: Id
    initiator: Initiator | None = None
    reason: Text | None = None


@fact("order.closed.v1", families=("orders",))
class OrderClosed(Payload, frozen=True, kw_only=True):
    """The order is done: nothing more is expected of it."""

    order: Id
    dealer: Id
    initiator: Initiator | None = None
    reason: Text | None = None


class InvoiceLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What one line of an invoice charges, or of a credit note gives back."""

    line: Id
    sku: Id
    quantity: UnsignedQuantity
    net: Money
    tax: Money | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)
        exact_fields(self, "net", "tax")


@fact("invoice.issued.v1", families=("field",))
class InvoiceIssued(Payload, frozen=True, kw_only=True):
    """The dealer has been charged, or given credit for the invoice `of`: figures of either kind are positive."""

    invoice: Id
    dealer: Id
    order: Id | None = None
    due: Instant | None = None
    currency: Currency
    kind: Literal["invoice", "credit_note"]
    of: Id | None = None
    lines: Annotated[tuple[InvoiceLine, ...], Meta(max_length=LINES_MAX)]

    def __post_init__(self) -> None:
        exact_sum("lines", [line.net + (line.tax or ZERO) for line in self.lines])


class Allocation(Struct, frozen=True, kw_only=True, gc=False):
    """The part of a payment that settles one invoice."""

    invoice: Id
    amount: Money

    def __post_init__(self) -> None:
        exact_fields(self, "amount")


@fact("payment.received.v1", families=("field",))
class PaymentReceived(Payload, frozen=True, kw_only=True):
    """Money has come from the dealer, or gone back as a refund: figures of either kind are positive."""

    payment: Id
    dealer: Id
    amount: Money
    currency: Currency
    method: Code | None = None
    kind: Literal["payment", "prepayment", "deposit", "refund"]
    allocations: Annotated[tuple[Allocation, ...], Meta(max_length=LINES_MAX)] = ()

    def __post_init__(self) -> None:
        exact_fields(self, "amount")
        exact_sum("allocations", [abs(part.amount) for part in self.allocations])


@fact("payment.failed.v1", families=("field",))
class PaymentFailed(Payload, frozen=True, kw_only=True):
    """A payment that had been received is not good after all."""

    payment: Id
    dealer: Id
    reason: Literal["bounced", "reversed"]
