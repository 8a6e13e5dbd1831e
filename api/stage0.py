"""The index of the log as questions read it: events, the names in them, and what is kept under digests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from api.views import Reader
from infra.database import LIVE, STOPPED, Position
from infra.positions import INDEX
from infra.tables import POSTGRESQL, SQLITE
from projections.events import EventName, EventRow, Rejection

EVENTS = sa.table("events", *[sa.column(name) for name in EventRow.__struct_fields__])
EVENT_NAMES = sa.table("event_names", *[sa.column(name) for name in EventName.__struct_fields__])
REJECTIONS = sa.table("rejections", *[sa.column(name) for name in Rejection.__struct_fields__])
AT_ONCE = 10_000  # digests in a statement
#: What an accepted event is read from.
SAID = sa.select(*[EVENTS.c[name] for name in ("sequence", "recorded", "family", "dealer", "body")])
_EACH = {
    SQLITE: "value FROM json_each(:among)",
    POSTGRESQL: "CAST(CAST(value AS text) AS bigint) AS value FROM json_array_elements(CAST(:among AS json))",
}


def accepted_by(known: int, without: Collection[int] = ()) -> sa.ColumnElement[bool]:
    """Which events are accepted, up to a sequence, but for some."""
    accepted = sa.and_(EVENTS.c.status == "accepted", EVENTS.c.sequence <= known)
    return sa.and_(accepted, EVENTS.c.sequence.not_in(without)) if without else accepted


def among(reader: Reader, sequences: Iterable[int]) -> sa.ColumnElement[bool]:
    """Which events are at these sequences, however many they are."""
    given = sa.text(f"SELECT {_EACH[reader.connection.dialect.name]}")
    said = msgspec.json.encode(sorted(sequences)).decode()
    given = given.bindparams(sa.bindparam("among", said, unique=True))
    return EVENTS.c.sequence.in_(given.columns(sa.column("value")))


def naming(ids: Iterable[str]) -> sa.ColumnElement[bool]:
    """Which events name any of these ids beside their own dealer."""
    return EVENTS.c.sequence.in_(sa.select(EVENT_NAMES.c.sequence).where(EVENT_NAMES.c.name.in_(sorted(ids))))


def kept(reader: Reader, table: str, digests: Iterable[int], *fields: str) -> dict[int, tuple[Any, ...]]:
    """What the version that serves keeps under digests, in `identities` or `documents`; JSON is read."""
    [version] = [position.version for position in reader.positions if serves_index(position)]
    source = sa.table(f"{table}__{version}", *[sa.column(name) for name in ("digest", *fields)])
    asked, wanted = sa.select(*[source.c[name] for name in ("digest", *fields)]), list(digests)
    return {
        where: tuple([msgspec.json.decode(v or "[]") if isinstance(v, str) else v for v in values])
        for begin in range(0, len(wanted), AT_ONCE)
        for where, *values in reader.connection.execute(
            asked.where(source.c.digest.in_(wanted[begin : begin + AT_ONCE]))
        )
    }


def serves_index(position: Position) -> bool:
    """Whether a position is that of the index which is read."""
    return position.projection == INDEX and position.status in (LIVE, STOPPED)
