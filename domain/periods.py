"""The periods that dealers are assessed for, by name: years, quarters and months."""

from __future__ import annotations

import re
from datetime import date

from msgspec import Struct

from domain.calendar import days_on


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


def quarter_of(day: date) -> str:
    """The name of the quarter a day lies in."""
    return f"{day.year:04}-Q{(day.month + 2) // 3}"


def quarters(day: date) -> list[Period]:
    """The quarter before a day's, and the day's own."""
    first = days_on(date(day.year, 3 * ((day.month - 1) // 3) + 1, 1), -1)
    return [found for one in (first, day) if (found := period_of(quarter_of(one))) is not None]
