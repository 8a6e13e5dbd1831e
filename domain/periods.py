"""The periods that dealers are assessed for, by name: years, quarters and months."""

from __future__ import annotations

import re
from datetime import date, timedelta

from msgspec import Struct


class Period(Struct, frozen=True, gc=False):
    """A period with its name; [from_day, to_day)."""

    name: str
    from_day: date
    to_day: date


def period_of(name: str) -> Period | None:
    """The year, quarter or month of a name: 2026, 2026-Q1, 2026-03."""
    match = re.fullmatch(r"(\d{4})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?", name)
    if match is None or int(match[1]) < 1:
        return None
    year, months = int(match[1]), 12
    month = 1
    if match[2]:
        month, months = 3 * int(match[2]) - 2, 3
    elif match[3]:
        month, months = int(match[3]), 1
    end = month + months
    if year == 9999 and end > 12:
        return None
    return Period(name, date(year, month, 1), date(year + (end > 12), end - 12 if end > 12 else end, 1))


def no_period(name: str) -> str:
    """What to say of a name that is none of a period."""
    return f"{name!r} is no year, quarter or month: 2026, 2026-Q1, 2026-03"


def quarters(day: date) -> list[Period]:
    """The quarter before a day's, and the day's own."""
    now = f"{day.year}-Q{(day.month + 2) // 3}"
    first = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1) - timedelta(days=1)
    names = [f"{first.year}-Q{(first.month + 2) // 3}", now]
    return [found for name in names if (found := period_of(name)) is not None]
