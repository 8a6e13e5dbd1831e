"""Promotions, and the prices that hold without them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, field

from domain.calendar import Instant, half_open
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import (
    ZERO,
    Currency,
    Money,
    Percent,
    Share,
    UnsignedMoney,
    UnsignedQuantity,
    exact_fields,
)
from domain.territories import Ids
from domain.texts import LINES_MAX, Code, Name, Text


class Scope(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Whom and what a promotion is for: every member that is given must hold."""

    org: Id | None = None
    territories: Ids = ()
    dealers: Ids = ()
    outlet_classes: Annotated[tuple[Code, ...], Meta(max_length=100)] = ()
    skus: Ids = ()
    categories: Ids = ()


class Mechanics(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="kind"):
    """How a promotion works; its `kind` says which."""


class PriceOff(Mechanics, frozen=True, kw_only=True, tag="price_off"):
    """So much off the price of a base unit."""

    amount: UnsignedMoney
    currency: Currency

    def __post_init__(self) -> None:
        exact_fields(self, "amount", least=ZERO)


class PercentOff(Mechanics, frozen=True, kw_only=True, tag="percent"):
    """So many percent off the price."""

    percent: Percent

    def __post_init__(self) -> None:
        exact_fields(self, "percent", least=ZERO, most=Decimal(100))


class BuyGet(Mechanics, frozen=True, kw_only=True, omit_defaults=True, tag="buy_get"):
    """Whoever buys `buy` gets `get` free: of the same SKU, unless another is named."""

    buy: UnsignedQuantity
    get: UnsignedQuantity
    get_sku: Id | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "buy", "get", least=ZERO)


class Step(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What holds from a quantity on: a percentage or an amount off a base unit."""

    from_quantity: UnsignedQuantity
    percent: Percent | None = None
    amount: UnsignedMoney | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "from_quantity", "amount", least=ZERO)
        exact_fields(self, "percent", least=ZERO, most=Decimal(100))


class Tier(Mechanics, frozen=True, kw_only=True, omit_defaults=True, tag="tier"):
    """The more is bought, the more comes off."""

    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=50)]
    currency: Currency | None = None


class BundleItem(Struct, frozen=True, kw_only=True, gc=False):
    """One SKU of a bundle."""

    sku: Id
    quantity: UnsignedQuantity

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


class Bundle(Mechanics, frozen=True, kw_only=True, tag="bundle"):
    """These together for one price."""

    items: Annotated[tuple[BundleItem, ...], Meta(min_length=1, max_length=100)]
    price: UnsignedMoney
    currency: Currency

    def __post_init__(self) -> None:
        exact_fields(self, "price", least=ZERO)


class Display(Mechanics, frozen=True, kw_only=True, omit_defaults=True, tag="display"):
    """Shelf space, paid for by outlet in money or goods (陳列)."""

    requirement: Text
    amount: UnsignedMoney | None = None
    currency: Currency | None = None
    sku: Id | None = None
    quantity: UnsignedQuantity | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "amount", "quantity", least=ZERO)


class Sampling(Mechanics, frozen=True, kw_only=True, omit_defaults=True, tag="sampling"):
    """Free samples for consumers."""

    sku: Id
    quantity: UnsignedQuantity | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


AnyMechanics = PriceOff | PercentOff | BuyGet | Tier | Bundle | Display | Sampling


class Funding(Struct, frozen=True, kw_only=True, gc=False):
    """Who pays which part of a promotion."""

    by: Id
    share: Share

    def __post_init__(self) -> None:
        exact_fields(self, "share", least=ZERO, most=Decimal(1))


class Baseline(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a promotion is measured against: a period before it, or a quantity a day."""

    from_: Instant | None = field(name="from", default=None)
    to: Instant | None = None
    daily_quantity: UnsignedQuantity | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "daily_quantity", least=ZERO)
        if self.from_ is not None:
            half_open(self.from_, self.to)


FundingList = Annotated[tuple[Funding, ...], Meta(max_length=20)]


class PromotionRecord(Payload, frozen=True, kw_only=True):
    """The whole of a promotion."""

    promotion: Id
    name: Name
    from_: Instant = field(name="from")
    to: Instant
    scope: Scope
    mechanics: AnyMechanics
    funding: FundingList = ()
    budget: Id | None = None
    baseline: Baseline | None = None

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)


@fact("promotion.planned.v1", families=("promotions", "decisions"), effective=lambda data: data.from_)
class PromotionPlanned(PromotionRecord, frozen=True, kw_only=True):
    """A promotion is meant to run."""


@fact("promotion.amended.v1", families=("promotions", "decisions"), effective=lambda data: data.from_)
class PromotionAmended(PromotionRecord, frozen=True, kw_only=True):
    """The promotion is now this instead of all it was before."""


class PromotionStep(Payload, frozen=True, kw_only=True):
    """A step in the life of a promotion; what else is given restates nothing."""

    promotion: Id
    name: Name | None = None
    from_: Instant | None = field(name="from", default=None)
    to: Instant | None = None
    scope: Scope | None = None
    mechanics: AnyMechanics | None = None
    funding: FundingList = ()
    budget: Id | None = None
    baseline: Baseline | None = None
    reason: Text | None = None

    def __post_init__(self) -> None:
        if self.from_ is not None:
            half_open(self.from_, self.to)


@fact("promotion.approved.v1", families=("promotions", "decisions"))
class PromotionApproved(PromotionStep, frozen=True, kw_only=True):
    """The promotion may run."""


@fact("promotion.started.v1", families=("promotions", "decisions"))
class PromotionStarted(PromotionStep, frozen=True, kw_only=True):
    """The promotion runs."""


@fact("promotion.ended.v1", families=("promotions", "decisions"))
class PromotionEnded(PromotionStep, frozen=True, kw_only=True):
    """The promotion is over."""


class PriceScope(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """For whom a price list holds: every member that is given must hold."""

    tier: Code | None = None
    dealers: Ids = ()
    territories: Ids = ()


class PriceLine(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The price of a base unit, and how far below it nobody may go."""

    sku: Id
    price: Money
    floor: Money | None = None
    cost: Money | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "price", "floor", "cost")


@fact(
    "price.listed.v1",
    families=("promotions", "decisions"),
    slot=("from",),
    effective=lambda data: data.from_,
)
class PriceListed(Payload, frozen=True, kw_only=True):
    """These prices hold from `from` on; the next `from` of the same list ends them."""

    price_list: Id
    scope: PriceScope
    currency: Currency
    tax_included: bool
    from_: Instant = field(name="from")
    to: Instant | None = None
    lines: Annotated[tuple[PriceLine, ...], Meta(max_length=LINES_MAX)]

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)
