"""Dealers and outlets: who they are, and where they stand."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import ZERO, Currency, UnsignedMoney, exact_fields
from domain.places import Address, Gln
from domain.texts import Code, Name, Reference, Text

LegalId = Annotated[
    str, Meta(min_length=1, max_length=64, description="Register or tax number (統一社會信用代碼)")
]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA name, as Asia/Shanghai")]
Basis = Annotated[tuple[Reference, ...], Meta(max_length=100)]
#: Standing is decided by a command; where an ERP owns it, the ERP publishes it as a fact.
STANDING = ("dealers", "decisions")


class Factors(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What an applicant says of itself, by the factors of admission."""

    location: Text | None = None
    staff: Text | None = None
    reputation: Text | None = None
    customer_base: Text | None = None
    capital: Text | None = None
    transport: Text | None = None
    willingness: Text | None = None


@fact("dealer.applied.v1", families=("dealers",))
class DealerApplied(Payload, frozen=True, kw_only=True):
    """Somebody asks to become a dealer."""

    application: Id
    dealer: Id
    name: Name
    legal_id: LegalId | None = None
    kind: Code | None = None
    factors: Factors | None = None
    documents: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()


class DealerRecord(Payload, frozen=True, kw_only=True):
    """The fields of a dealer's master data."""

    dealer: Id
    application: Id | None = None
    name: Name | None = None
    legal_id: LegalId | None = None
    kind: Code | None = None
    parent: Id | None = None
    level: Code | None = None
    segment: Code | None = None
    org: Id | None = None
    territory: Id | None = None
    gln: Gln | None = None
    address: Address | None = None
    ids: dict[Id, Id] = field(default_factory=dict)
    timezone: TimeZone | None = None
    predecessor: Id | None = None
    reason: Text | None = None
    approvers: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()


@fact("dealer.registered.v1", families=("dealers",))
class DealerRegistered(DealerRecord, frozen=True, kw_only=True):
    """A dealer exists, as master data has it; this says nothing of its admission."""

    name: Name


@fact("dealer.admitted.v1", families=("decisions",))
class DealerAdmitted(DealerRecord, frozen=True, kw_only=True):
    """The company has taken the dealer on."""

    name: Name


@fact("dealer.declined.v1", families=("decisions",), step=True)
class DealerDeclined(DealerRecord, frozen=True, kw_only=True):
    """The company does not take the applicant on."""


@fact("dealer.amended.v1", families=("dealers", "decisions"), step=True)
class DealerAmended(DealerRecord, frozen=True, kw_only=True):
    """What is given here of the dealer's master data is so from now on; what is not given stays."""


@fact("dealer.graded.v1", families=STANDING, step=True)
class DealerGraded(Payload, frozen=True, kw_only=True):
    """The dealer has this grade."""

    dealer: Id
    grade: Code
    basis: Basis = ()


@fact("dealer.suspended.v1", families=STANDING, step=True)
class DealerSuspended(Payload, frozen=True, kw_only=True):
    """The dealer may place no new orders until it is reinstated."""

    dealer: Id
    reason: Text
    basis: Basis = ()


@fact("dealer.reinstated.v1", families=STANDING, step=True)
class DealerReinstated(Payload, frozen=True, kw_only=True):
    """The dealer may order again."""

    dealer: Id
    reason: Text
    basis: Basis = ()


@fact("dealer.banned.v1", families=STANDING, step=True)
class DealerBanned(Payload, frozen=True, kw_only=True):
    """The dealer is shut out, and whoever bears its legal id with it."""

    dealer: Id
    reason: Text
    basis: Basis = ()


@fact("dealer.exited.v1", families=STANDING, step=True)
class DealerExited(Payload, frozen=True, kw_only=True):
    """The dealer has left the channel."""

    dealer: Id
    reason: Text
    basis: Basis = ()


@fact("dealer.merged.v1", families=STANDING, step=True)
class DealerMerged(Payload, frozen=True, kw_only=True):
    """The dealer `merged` goes on as part of this one."""

    dealer: Id
    merged: Id
    reason: Text | None = None
    basis: Basis = ()


Clock = Annotated[
    str,
    Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, description="Local time of day, as 08:30"),
]


class ReceivingHours(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """When an outlet takes goods: days of the week, Monday being 1, and the local time of day."""

    days: Annotated[tuple[Annotated[int, Meta(ge=1, le=7)], ...], Meta(max_length=7)] = ()
    from_: Clock = field(name="from")
    to: Clock


class CategorySales(Struct, frozen=True, kw_only=True, gc=False):
    """What an outlet sells of a category in a year, all suppliers together."""

    category: Id
    amount: UnsignedMoney
    currency: Currency

    def __post_init__(self) -> None:
        exact_fields(self, "amount", least=ZERO)


class OutletRecord(Payload, frozen=True, kw_only=True):
    """The fields of an outlet's master data."""

    outlet: Id
    name: Name | None = None
    class_: Code | None = field(name="class", default=None)
    dealers: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    route: Id | None = None
    rep: Id | None = None
    territory: Id | None = None
    address: Address | None = None
    spot: Name | None = None
    windows: Annotated[tuple[ReceivingHours, ...], Meta(max_length=50)] = ()
    visit_cycle_days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    category_sales: Annotated[tuple[CategorySales, ...], Meta(max_length=200)] = ()


@fact("outlet.opened.v1", families=("dealers",))
class OutletOpened(OutletRecord, frozen=True, kw_only=True):
    """A shop, restaurant or other point of sale is known from now on."""

    name: Name
    class_: Code = field(name="class")


@fact("outlet.amended.v1", families=("dealers",), step=True)
class OutletAmended(OutletRecord, frozen=True, kw_only=True):
    """What is given here of the outlet's master data is so from now on; what is not given stays."""


@fact("outlet.closed.v1", families=("dealers",))
class OutletClosed(Payload, frozen=True, kw_only=True):
    """The outlet sells no more."""

    outlet: Id
    reason: Text | None = None
