"""What the company sets: targets, policies, products, locations, limits and closes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from domain.calendar import Instant, Window, half_open
from domain.catalogue import fact
from domain.envelope import Payload, shallow
from domain.identifiers import Id
from domain.numbers import ZERO, Currency, Share, UnsignedMoney, UnsignedQuantity, exact, exact_fields
from domain.places import Gtin, Place
from domain.territories import Ids
from domain.texts import Code, Name


class TargetScope(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Whose sales of what a target is about: every member that is given must hold."""

    org: Id | None = None
    territory: Id | None = None
    dealer: Id | None = None
    outlet_class: Code | None = None
    rep: Id | None = None
    category: Id | None = None
    skus: Ids = ()


class Phase(Struct, frozen=True, kw_only=True, gc=False):
    """The part of a target that falls into a part of its time."""

    from_: Instant = field(name="from")
    to: Instant
    share: Share

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)
        exact_fields(self, "share", least=ZERO, most=Decimal(1))


class TargetRecord(Payload, frozen=True, kw_only=True):
    """The whole of a target."""

    target: Id
    parent: Id | None = None
    level: Literal["floor", "base", "stretch"] | None = None
    scope: TargetScope
    measure: Literal["amount", "quantity", "volume", "collection", "outlets"]
    flow: Literal["primary", "secondary", "tertiary"]
    recognition: Code | None = None
    from_: Instant = field(name="from")
    to: Instant
    value: Annotated[Decimal, Meta(description="In the unit of its measure.")]
    currency: Currency | None = None
    phasing: Annotated[tuple[Phase, ...], Meta(max_length=400)] = ()

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)
        exact_fields(self, "value")


@fact("target.set.v1", families=("plans", "decisions"), effective=lambda data: data.from_)
class TargetSet(TargetRecord, frozen=True, kw_only=True):
    """This is to be reached: at least, as planned, or at best (保底, 基本, 衝刺)."""


@fact("target.revised.v1", families=("plans", "decisions"), effective=lambda data: data.from_)
class TargetRevised(TargetRecord, frozen=True, kw_only=True):
    """The target is now this instead of what was set before."""


@fact(
    "policy.published.v1",
    families=("plans", "decisions"),
    slot=("version",),
    effective=lambda data: data.effective,
)
class PolicyPublished(Payload, frozen=True, kw_only=True):
    """A version of a rule of the company; it holds from `effective` until the next one does."""

    policy: Id
    kind: Code
    version: Id
    effective: Instant
    body: dict[str, Any]

    def __post_init__(self) -> None:
        shallow("body", self.body)


class Unit(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A unit a SKU is also packed in, and how many base units it holds."""

    uom: Code
    factor: UnsignedQuantity
    gtin: Gtin | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "factor", least=ZERO)


class Empty(Struct, frozen=True, kw_only=True, gc=False):
    """The crates and bottles that come back from one base unit."""

    asset: Id
    quantity: UnsignedQuantity

    def __post_init__(self) -> None:
        exact_fields(self, "quantity", least=ZERO)


Litres = Annotated[
    Decimal, Meta(description="Of one base unit, in litres.", extra_json_schema={"minimum": 0})
]


@fact("product.listed.v1", families=("plans",), document="product")
class ProductListed(Payload, frozen=True, kw_only=True):
    """A SKU, its base unit, and the units it is packed in."""

    sku: Id
    name: Name
    gtin: Gtin | None = None
    category: Id | None = None
    base_uom: Code
    units: Annotated[tuple[Unit, ...], Meta(max_length=50)] = ()
    volume: Litres | None = None
    shelf_life_days: Annotated[int, Meta(ge=0, le=36_600)] | None = None
    empties: Annotated[tuple[Empty, ...], Meta(max_length=20)] = ()
    must_sell: bool | None = None
    launched: Instant | None = None
    retired: Instant | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "volume", least=ZERO)


@fact("location.registered.v1", families=("plans",))
class LocationRegistered(Payload, frozen=True, kw_only=True):
    """A warehouse, vehicle or other place that holds stock."""

    location: Id
    kind: Code
    dealer: Id | None = None
    place: Place | None = None


@fact(
    "sku.aliased.v1",
    families=("plans",),
    document="alias",
    slot=("their_sku",),
)
class SkuAliased(Payload, frozen=True, kw_only=True):
    """What a dealer's own code stands for, and how many base units one of it is."""

    dealer: Id
    their_sku: Id
    sku: Id
    factor: UnsignedQuantity

    def __post_init__(self) -> None:
        exact_fields(self, "factor", least=ZERO)


@fact(
    "credit.limit_set.v1",
    families=("plans", "decisions"),
    document="credit_limit",
    slot=("from",),
    effective=lambda data: data.from_,
)
class CreditLimitSet(Payload, frozen=True, kw_only=True):
    """The dealer may owe so much from this instant on."""

    dealer: Id
    limit: UnsignedMoney
    currency: Currency
    from_: Instant = field(name="from")

    def __post_init__(self) -> None:
        exact_fields(self, "limit", least=ZERO)


@fact("period.closed.v1", families=("plans", "decisions"), document="close", slot=("period",))
class PeriodClosed(Payload, frozen=True, kw_only=True):
    """The figures of a scope and period are final; what comes later is reported as an addition."""

    scope: Id
    period: Window
    by: Id


Sum = Annotated[Decimal, Meta(description="Sum of the type's authoritative figure.")]


@fact(
    "source.closed.v1",
    families=("plans",),
    slot=("from", "to"),
    effective=lambda data: data.from_,
)
class SourceClosed(Payload, frozen=True, kw_only=True):
    """A publisher has sent all of a period: so many events and sums of each type (control totals)."""

    source: Id
    from_: Instant = field(name="from")
    to: Instant
    counts: dict[Code, Annotated[int, Meta(ge=0)]]
    sums: dict[Code, Sum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)
        for name, total in self.sums.items():
            try:
                exact(name, total)
            except ValueError as error:
                raise ValueError(f"`sums` of {error}") from None
