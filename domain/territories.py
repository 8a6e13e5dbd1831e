"""Territories, the company's own organisation, and who looks after whom."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from domain.calendar import Instant, half_open
from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.texts import LINES_MAX, Code, Name, Text

Ids = Annotated[tuple[Id, ...], Meta(max_length=LINES_MAX)]


@fact("territory.defined.v1", families=("dealers", "decisions"))
class TerritoryDefined(Payload, frozen=True, kw_only=True):
    """A territory exists, with the administrative or postal codes that make it up."""

    territory: Id
    parent: Id | None = None
    name: Name
    codes: Annotated[tuple[Code, ...], Meta(max_length=5000)] = ()


@fact(
    "territory.assigned.v1",
    families=("dealers", "decisions"),
    document="territory_assignment",
    slot=("territory", "from"),
    effective=lambda data: data.from_,
)
class TerritoryAssigned(Payload, frozen=True, kw_only=True):
    """The dealer may sell in the territory: all, or these SKUs and categories."""

    dealer: Id
    territory: Id
    from_: Instant = field(name="from")
    to: Instant | None = None
    exclusive: bool | None = None
    skus: Ids = ()
    categories: Ids = ()

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)


@fact(
    "territory.revoked.v1",
    families=("dealers", "decisions"),
    document="territory_assignment",
    slot=("territory", "from"),
    effective=lambda data: data.from_,
)
class TerritoryRevoked(Payload, frozen=True, kw_only=True):
    """From this instant on the dealer may no longer sell in the territory."""

    dealer: Id
    territory: Id
    from_: Instant = field(name="from")
    skus: Ids = ()
    categories: Ids = ()
    reason: Text | None = None


@fact("org.defined.v1", families=("dealers",))
class OrgDefined(Payload, frozen=True, kw_only=True):
    """A unit of the company exists, under its parent."""

    org: Id
    parent: Id | None = None
    name: Name


class Assignee(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a representative looks after."""

    org: Id | None = None
    territory: Id | None = None
    dealer: Id | None = None
    outlet: Id | None = None
    route: Id | None = None


@fact(
    "rep.assigned.v1",
    families=("dealers",),
    slot=("to", "from"),
    effective=lambda data: data.from_,
)
class RepAssigned(Payload, frozen=True, kw_only=True):
    """The representative looks after a unit, territory, dealer, outlet or route; `until` ends it."""

    rep: Id
    to: Assignee
    from_: Instant = field(name="from")
    until: Instant | None = None

    def __post_init__(self) -> None:
        half_open(self.from_, self.until, end="until")
