"""Where something happened or goes to."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from domain.identifiers import Id
from domain.numbers import exact_fields
from domain.texts import Name, Text

Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2")]
Gln = Annotated[str, Meta(pattern="^[0-9]{13}$", max_length=13, description="GS1 global location number")]
Gtin = Annotated[
    str, Meta(pattern="^[0-9]{8,14}(?!\\n)$", max_length=14, description="GS1 trade item number")
]


class Address(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A postal address, as far as it is known."""

    country: Country | None = None
    region: Name | None = None
    city: Name | None = None
    district: Name | None = None
    postcode: Annotated[str, Meta(max_length=32)] | None = None
    lines: Annotated[tuple[Text, ...], Meta(max_length=10)] = ()


class Place(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A place by whatever names it: an id, a GLN, an address, a spot in it, or its degrees."""

    id: Id | None = None
    gln: Gln | None = None
    name: Name | None = None
    address: Address | None = None
    spot: Name | None = None
    lat: Annotated[Decimal, Meta(description="Degrees north, -90 to 90.")] | None = None
    lon: Annotated[Decimal, Meta(description="Degrees east, -180 to 180.")] | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "lat", least=Decimal(-90), most=Decimal(90))
        exact_fields(self, "lon", least=Decimal(-180), most=Decimal(180))
