"""Instants, business days and half-open periods."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Annotated

from msgspec import Meta, Struct, field

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MAX = date.max - timedelta(days=2)  # so that a day, and the end of the day after it, can be written
#: A claimed time further ahead of the log than this waits outside the views until it comes.
AHEAD_MAX = timedelta(hours=24)


class Window(Struct, frozen=True, kw_only=True, gc=False):
    """From an instant up to, but not including, another."""

    from_: Instant = field(name="from")
    to: Instant

    def __post_init__(self) -> None:
        half_open(self.from_, self.to)


def half_open(from_: datetime, to: datetime | None, *, end: str = "to") -> None:
    """Refuse an interval that ends before it has begun. Raises ValueError."""
    if to is not None and to <= from_:
        raise ValueError(f"`{end}` must be after `from`")


def business_day(instant: datetime) -> date:
    """The local date in the fact's own offset, never UTC's."""
    return instant.date()


def latest_day(instant: datetime) -> date:
    """The last day that a fact true by an instant can have: somewhere it may be a day further than in UTC."""
    return min(instant.astimezone(UTC).date(), DAY_MAX) + timedelta(days=1)


def earliest_day(instant: datetime) -> date:
    """The first day that may still go on somewhere at an instant: those before it have passed in any offset."""
    return date.fromordinal(max(1, latest_day(instant).toordinal() - 2))


def shifted(instant: datetime, by: timedelta) -> datetime:
    """An instant so much later, or earlier; where that cannot be said, the last one that can, or the first."""
    try:
        return instant + by
    except OverflowError:
        if by > timedelta():
            return datetime.max.replace(tzinfo=instant.tzinfo)
        return datetime.min.replace(tzinfo=instant.tzinfo)


def days_on(day: date, count: int) -> date:
    """So many days after a day, or before it; the last day there is, or the first, where that is beyond."""
    return date.fromordinal(min(max(1, day.toordinal() + count), date.max.toordinal()))


def in_zone(instant: datetime, zone: tzinfo | None) -> datetime:
    """The instant by another offset; by its own where the other has no year for it."""
    try:
        return instant.astimezone(zone)
    except (OverflowError, ValueError):
        return instant


def from_nanoseconds(nanoseconds: int) -> datetime:
    """The UTC instant of a log timestamp, to the microsecond."""
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 UTC: how instants sort and are stored."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(count: int) -> datetime:
    """The instant that many microseconds after 1970, in UTC wherever UTC's years 1 to 9999 reach."""
    try:
        return EPOCH + timedelta(microseconds=count)
    except OverflowError:  # 0001-01-01T00:00:00+08:00 is one; in its own offset it can be written
        offset = timedelta(hours=23, minutes=59) * (1 if count < 0 else -1)
        return EPOCH.replace(tzinfo=timezone(offset)) + (timedelta(microseconds=count) + offset)
