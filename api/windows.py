"""Half-open ranges of days or instants, and the range before or a year earlier that one is compared with."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

from api.fields import Field, Stored, read_instant
from domain.calendar import microseconds

WAYS = ("previous", "year")

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MIDNIGHT = time(0, tzinfo=UTC)


class Range(Struct, frozen=True):
    """From a day or instant up to, but not including, another; open where one is None."""

    since: date | None = None
    until: date | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def stored(self) -> tuple[Stored, Stored]:
        """Both ends as the database has them."""
        return _stored(self.since), _stored(self.until)


def read_bound(field: Field, said: str) -> date:
    """Read one end for a field of days or of instants; a day is midnight UTC there. Raises ValueError."""
    if _DAY.fullmatch(said):
        day = date.fromisoformat(said)
        return day if field.kind == "day" else datetime.combine(day, _MIDNIGHT)
    if field.kind == "day":
        raise ValueError(f"must be a day such as 2026-05-01: {field.name} has no time of day")
    return read_instant(said)


def compared(way: str, this: Range) -> Range:
    """The range that one is compared with: as long and just before it, or a year earlier.

    Whole months go back by whole months. Raises ValueError where the calendar does not reach so far.
    """
    since, until = this.since, this.until
    assert since is not None
    assert until is not None
    months = _months(since, until)
    try:
        if way == "year":
            return Range(_back(since, 12), _back(until, 12, end=True))
        if months:
            return Range(_back(since, months), since)
        return Range(since - (until - since), since)
    except (ValueError, OverflowError):
        raise ValueError("goes back further than the calendar") from None


def _months(since: date, until: date) -> int:
    """How many whole months a range has; 0 where it begins or ends within one."""
    whole = since.day == until.day == 1
    if isinstance(since, datetime) and isinstance(until, datetime):
        whole = whole and since.timetz() == until.timetz() == _MIDNIGHT
    return (until.year - since.year) * 12 + until.month - since.month if whole else 0


def _back(day: date, months: int, *, end: bool = False) -> date:
    """The same day of an earlier month; where it has no such day its last one, and its end for the end of a range."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    if day.day <= last:
        return day.replace(year=year, month=month + 1)
    return day.replace(year=year, month=month + 1, day=last) + timedelta(days=int(end))


def _stored(bound: date | None) -> Stored:
    if isinstance(bound, datetime):
        return microseconds(bound)
    return None if bound is None else bound.isoformat()
