"""Who holds what on which day: overlapping claims flattened into intervals that are disjoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from itertools import pairwise

from msgspec import Struct

from domain.calendar import EPOCH
from projections.rows import Key, Row, Rows

NEVER = date.min  # the default of a day: such a row says nothing
FOREVER = date.max  # the end of what has no end, so that SQL compares days without a special case


class Claim(Struct, frozen=True, gc=False):
    """That something holds from one business day up to, but not including, another.

    Of two claims to one day the one that began later wins; begun at once, the one said later.
    """

    value: str
    from_day: date
    to_day: date = FOREVER
    begun: datetime = EPOCH
    said: datetime = EPOCH


Held = tuple[date, date, str]  # from, to, what


def flatten(claims: Iterable[Claim]) -> list[Held]:
    """Disjoint intervals in order, each with what is held; days that nothing claims are left out."""
    held = sorted([claim for claim in claims if claim.from_day < claim.to_day], key=_rank)
    days = sorted({day for claim in held for day in (claim.from_day, claim.to_day)})
    found: list[Held] = []
    begun: list[Claim] = []  # the winner last; what ended before it is dropped once it has ended
    place = 0
    for start, end in pairwise(days):
        while place < len(held) and held[place].from_day <= start:
            begun.append(held[place])
            place += 1
        while begun and begun[-1].to_day <= start:
            begun.pop()
        if not begun:
            continue
        value = begun[-1].value
        if found and found[-1][1:] == (start, value):
            found[-1] = (found[-1][0], end, value)
        else:
            found.append((start, end, value))
    return found


def _rank(claim: Claim) -> tuple[date, datetime, datetime, str]:
    # The day comes first: what begins later wins, which `flatten` relies on.
    return claim.from_day, claim.begun, claim.said, claim.value


def put_difference(rows: Rows, old: Mapping[Key, Row], new: Mapping[Key, Row]) -> None:
    """Store the rows that are new or other than they were, and take the others off."""
    for key, row in old.items():
        if key not in new:
            rows.put(type(row)(*key))
    for key, row in new.items():
        if old.get(key) != row:
            rows.put(row)
