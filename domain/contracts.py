"""Contracts with dealers, and what dealers owe under them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, field

from domain.calendar import Instant, half_open
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.numbers import exact_fields
from domain.texts import Code, Text


class Obligation(Struct, frozen=True, kw_only=True, gc=False):
    """What the dealer has promised to reach, in every period of this kind."""

    code: Code
    measure: Code
    target: Annotated[Decimal, Meta(description="In the unit of its measure.")]
    period: Annotated[Code, Meta(description="`month`, `quarter`, `year` or `contract`, for example.")]

    def __post_init__(self) -> None:
        exact_fields(self, "target")


Obligations = Annotated[tuple[Obligation, ...], Meta(max_length=200)]


@fact("contract.signed.v1", families=("dealers", "decisions"), effective=lambda data: data.from_)
class ContractSigned(Payload, frozen=True, kw_only=True):
    """The dealer is under contract."""

    contract: Id
    dealer: Id
    from_: Instant = field(name="from")
    to: Instant | None = None
    obligations: Obligations = ()
    reason: Text | None = None

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)


@fact(
    "contract.amended.v1",
    families=("dealers", "decisions"),
    slot=("from",),
    effective=lambda data: data.from_,
)
class ContractAmended(Payload, frozen=True, kw_only=True):
    """From this instant on the contract has these obligations instead of those before."""

    contract: Id
    dealer: Id
    from_: Instant = field(name="from")
    to: Instant | None = None
    obligations: Obligations = ()
    reason: Text | None = None

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)


@fact("contract.ended.v1", families=("dealers", "decisions"), effective=lambda data: data.from_)
class ContractEnded(Payload, frozen=True, kw_only=True):
    """From this instant on the contract is no longer in force."""

    contract: Id
    dealer: Id
    from_: Instant = field(name="from")
    reason: Text | None = None
