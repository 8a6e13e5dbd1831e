"""Outlets, and the places that hold stock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from domain.dealers import CategorySales, OutletClosed, OutletOpened, OutletRecord, ReceivingHours
from domain.places import Address
from domain.plans import LocationRegistered
from projections.dealers import records
from projections.documents import Change
from projections.rows import Key, Row, Rows, table


@table(
    "outlets",
    key=("outlet",),
    home="shared",
    indexes=(("territory",), ("rep",), ("route",), ("outlet_class",)),
)
class Outlet(Row):
    """A shop, restaurant or other point of sale: the last that was said of each of its fields."""

    outlet: str
    name: str = ""
    outlet_class: str = ""
    dealers: tuple[str, ...] = ()
    rep: str = ""
    territory: str = ""
    route: str = ""
    spot: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    district: str = ""
    visit_cycle_days: int | None = None
    windows: tuple[ReceivingHours, ...] = ()
    category_sales: tuple[CategorySales, ...] = ()
    opened: datetime | None = None
    closed: datetime | None = None  # unless it was opened again


@table("locations", key=("dealer", "location"), indexes=(("location",),))
class Location(Row):
    """A warehouse, vehicle or other place that holds stock; of a dealer, or of the company where none is named."""

    dealer: str
    location: str
    kind: str = ""
    name: str = ""
    country: str = ""
    region: str = ""
    city: str = ""


def outlet_keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The row a change of an outlet or a location touches."""
    document = change.document
    yield (Outlet, (document.id,)) if change.kind == "outlet" else (Location, (document.dealer, document.id))


_COPIED = (
    "name",
    "dealers",
    "rep",
    "territory",
    "route",
    "spot",
    "visit_cycle_days",
    "windows",
    "category_sales",
)


def fold_outlet(change: Change, rows: Rows) -> None:
    """Put the outlet as it now stands."""
    row, document = rows.edit(Outlet, change.document.id), change.after
    blank = Outlet(row.outlet)
    for name in Outlet.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    if document is None:
        return
    for record in records(document, OutletRecord, (OutletOpened,)):
        data = record.data
        row.outlet_class = data.class_ or row.outlet_class
        for name in _COPIED:
            if given := getattr(data, name):
                setattr(row, name, given)
        if data.address is not None:
            row.country, row.region, row.city = _place(data.address)
            row.district = data.address.district or ""
    row.opened = document.opened(OutletOpened)
    opened, closed = document.one(OutletOpened), document.first(OutletClosed)
    if closed is not None and (
        opened is None or (opened.time, opened.sequence) < (closed.time, closed.sequence)
    ):
        row.closed = document.opened(OutletClosed)


def fold_location(change: Change, rows: Rows) -> None:
    """Put the location as it now stands."""
    document = change.document
    row = rows.edit(Location, document.dealer, document.id)
    said = change.after.one(LocationRegistered) if change.after is not None else None
    place = said.data.place if said is not None else None
    row.kind = said.data.kind if said is not None else ""
    row.name = (place.name or "") if place is not None else ""
    row.country, row.region, row.city = _place(place.address if place is not None else None)


def _place(address: Address | None) -> tuple[str, str, str]:
    if address is None:
        return "", "", ""
    return address.country or "", address.region or "", address.city or ""
