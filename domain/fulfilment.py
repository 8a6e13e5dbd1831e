"""The course of an order: what was asked and promised, what left, what arrived and where, and what held it up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from domain.calendar import Window
from domain.numbers import ZERO, Quantity
from domain.orders import Hold
from domain.places import Place


class Stated(Struct, frozen=True, gc=False):
    """A window, and when it was asked for or promised."""

    at: datetime
    window: Window


class Held(Struct, frozen=True, gc=False, omit_defaults=True):
    """The order waited for a reason; without `until` it still does."""

    reason: Hold
    since: datetime
    until: datetime | None = None


class Asked(Struct, frozen=True, gc=False, omit_defaults=True):
    """One product of an order. Windows stand here only where its lines have their own."""

    sku: str
    quantity: Quantity
    requested: tuple[Stated, ...] = ()
    promised: tuple[Stated, ...] = ()


class Sent(Struct, frozen=True, gc=False, omit_defaults=True):
    """What one delivery took for the order: quantities by SKU."""

    at: datetime
    delivery: str
    lines: tuple[tuple[str, Decimal], ...]
    carrier: str = ""
    to: str = ""


class Taken(Struct, frozen=True, gc=False, omit_defaults=True):
    """What became of one SKU at the ramp."""

    sku: str
    accepted: Quantity
    spoilt: Quantity = ZERO  # damaged or refused


class Came(Struct, frozen=True, gc=False, omit_defaults=True):
    """What one receipt took in for the order, and where."""

    at: datetime
    delivery: str
    receipt: str
    lines: tuple[Taken, ...]
    place: Place | None = None


class Course(Struct, frozen=True, gc=False, omit_defaults=True):
    """All that bears on whether an order came on time, in full and to the right place.

    `promised` is the history of the promise for the whole order; `changed` are the moments at which the dealer
    changed it; `withdrawn` says that the dealer no longer wants what has not left.
    """

    asked: tuple[Asked, ...] = ()
    requested: tuple[Stated, ...] = ()
    promised: tuple[Stated, ...] = ()
    changed: tuple[datetime, ...] = ()
    held: tuple[Held, ...] = ()
    withdrawn: bool = False
    ship_to: Place | None = None
    sent: tuple[Sent, ...] = ()
    came: tuple[Came, ...] = ()


def same_place(wanted: Place | None, actual: Place | None) -> bool | None:
    """Whether goods came where they were wanted, as far as both sides say; None where nothing can be compared.

    A GLN decides before an id, and both before country and city. At the same site another spot (dock, room) is
    the wrong place; a spot that only one side names is not.
    """
    if wanted is None or actual is None:
        return None
    site = _same_site(wanted, actual)
    if site is not False and wanted.spot and actual.spot and _differ(wanted.spot, actual.spot):
        return False
    return site


def _same_site(wanted: Place, actual: Place) -> bool | None:
    if wanted.gln is not None and actual.gln is not None:
        return wanted.gln == actual.gln
    if wanted.id is not None and actual.id is not None:
        return wanted.id == actual.id
    there, here = wanted.address, actual.address
    if there is None or here is None:
        return None
    if there.country and here.country and there.country != here.country:
        return False
    if there.city and here.city:
        return not _differ(there.city, here.city)
    return None


def _differ(one: str, other: str) -> bool:
    return one.strip().casefold() != other.strip().casefold()
