"""The index of the log: what arrived, what became of it, and why something was not taken."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from projections.flags import Flag
from projections.rows import Row, table

#: What becomes of a message of the log.
STATUSES = ("accepted", "duplicate", "conflict", "invalid", "not_understood")


@table(
    "events",
    key=("sequence",),
    home="shared",
    indexes=(("dealer", "sequence"), ("type", "sequence"), ("of",)),
)
class EventRow(Row):
    """One message of the log and what became of it.

    `status`: accepted, duplicate, conflict, invalid or not_understood. `of` is the sequence of the event that a
    duplicate repeats, a conflict contradicts or a void withdraws. Invalid messages have no body here; the log
    has it.
    """

    sequence: int
    status: str = ""
    recorded: datetime | None = None
    family: str = ""
    dealer: str = ""
    type: str = ""
    source: str = ""
    id: str = ""
    kind: str = ""
    document: str = ""
    time: datetime | None = None
    effective: datetime | None = None
    of: int = 0
    body: str = ""


@table("rejections", key=("sequence",), home="shared", indexes=(("source", "id"),))
class Rejection(Row):
    """A message that was not taken: its publisher's id as far as it could be read, and every reason."""

    sequence: int
    code: str = ""
    recorded: datetime | None = None
    subject: str = ""
    source: str = ""
    id: str = ""
    of: int = 0
    reasons: tuple[dict[str, Any], ...] = ()


@table("event_names", key=("name", "what", "sequence"), home="shared")
class EventName(Row):
    """An id that a message names beside its own dealer.

    `what` is rep, territory, promotion, replaced (an event, as `source#id`) or superseded (a document of the same
    dealer); empty for whatever else is named: a place, an outlet, another dealer, a parent.
    """

    name: str
    what: str
    sequence: int


@table("event_flags", key=("dealer", "kind", "subject"), view="flags")
class EventFlag(Flag):
    """What is odd about an event itself: far ahead of the log, restated by another source, a void of nothing."""
