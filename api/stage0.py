"""The index of the log as questions read it: events, the names in them, and what is kept under digests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.views import Reader
from domain.envelope import Payload, Recorded
from domain.errors import QudaoError
from domain.identifiers import digest
from domain.naming import OTHER
from infra.database import LIVE, STOPPED, Position
from infra.positions import INDEX
from infra.sql import Sql, quoted
from infra.tables import POSTGRESQL, SQLITE
from projections.events import EventName, EventRow, Rejection

EVENTS = sa.table("events", *[sa.column(name) for name in EventRow.__struct_fields__])
EVENT_NAMES = sa.table("event_names", *[sa.column(name) for name in EventName.__struct_fields__])
REJECTIONS = sa.table("rejections", *[sa.column(name) for name in Rejection.__struct_fields__])
EVENTS_MAX = 20_000  # that are folded for one answer: about two seconds
#: What an accepted event is read from.
SAID_OF = ("recorded", "family", "dealer", "body")
SAID = sa.select(*[EVENTS.c[name] for name in ("sequence", *SAID_OF)])
_EACH = {
    SQLITE: "value FROM json_each(:among)",
    POSTGRESQL: "CAST(CAST(value AS text) AS bigint) AS value FROM json_array_elements(CAST(:among AS json))",
}

DocumentKey = tuple[str, str, str]  # kind, dealer, id


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


def naming(ids: Iterable[str], what: str = OTHER) -> sa.ColumnElement[bool]:
    """Which events name any of these ids of a kind; dealers and places beside their own dealer."""
    where = (EVENT_NAMES.c.what == what, EVENT_NAMES.c.name.in_(sorted(ids)))
    return EVENTS.c.sequence.in_(sa.select(EVENT_NAMES.c.sequence).where(*where))


def kept(reader: Reader, table: str, digests: Iterable[int], *fields: str) -> dict[int, tuple[Any, ...]]:
    """What the version that serves keeps under digests, in `identities` or `documents`; JSON is read."""
    [version] = [position.version for position in reader.positions if serves_index(position)]
    found = _under(reader.connection, f"{table}__{version}", "digest", digests, fields)
    return {
        where: tuple([msgspec.json.decode(v or "[]") if isinstance(v, str) else v for v in values])
        for where, *values in found
    }


def _under(
    connection: sa.Connection,
    table: str,
    number: str,
    wanted: Iterable[int],
    fields: Iterable[str],
    more: str = "",
) -> Sequence[Any]:
    """Rows of a table by a number of theirs: that, and these fields.

    One parameter however many are asked for, in words of our own: SQLAlchemy would take longer than the database.
    """
    said = sorted(wanted)
    if not said:
        return []
    among = Sql(connection.dialect.name).numbers
    return connection.exec_driver_sql(
        f"SELECT {quoted([number, *fields])} FROM {table} WHERE {number} IN ({among}) {more}",
        (msgspec.json.encode(said).decode(),),
    ).fetchall()


def serves_index(position: Position) -> bool:
    """Whether a position is that of the index which is read."""
    return position.projection == INDEX and position.status in (LIVE, STOPPED)


class TooManyError(QudaoError):
    """More events bear on a question than are folded for one answer."""

    code = "cannot_be_answered"

    def __init__(self) -> None:
        super().__init__(f"more than {EVENTS_MAX} events bear on it")


class Index(Struct, frozen=True, dict=True):
    """The events that are known at a sequence, but for some; `read` makes one from its row."""

    reader: Reader
    known: int
    without: frozenset[int]
    read: Callable[..., Recorded[Payload]]
    most: int = 0  # of its events that may bear on anything; 0: so many as are folded for one answer

    @cached_property
    def taken(self) -> sa.ColumnElement[bool]:
        return accepted_by(self.known, self.without)

    def few(self, statement: sa.Select[Any]) -> Sequence[Any]:
        """All rows of a statement about them. Raises TooManyError."""
        most = self.most or EVENTS_MAX
        found = self.reader.connection.execute(statement.where(self.taken).limit(most + 1)).fetchall()
        if len(found) > most:
            raise TooManyError
        return found

    def sequences(self, *where: sa.ColumnElement[bool]) -> set[int]:
        return {sequence for (sequence,) in self.few(sa.select(EVENTS.c.sequence).where(*where))}

    def dealers(self, *where: sa.ColumnElement[bool]) -> set[str]:
        return {dealer for (dealer,) in self.few(sa.select(EVENTS.c.dealer).where(*where).distinct())}

    def documents(self, *where: sa.ColumnElement[bool]) -> set[DocumentKey]:
        columns = [EVENTS.c[name] for name in ("kind", "dealer", "document")]
        return {tuple(row) for row in self.few(sa.select(*columns).where(*where).distinct())}

    def statements(self, documents: Iterable[DocumentKey]) -> set[int]:
        """Everything that was ever said of documents."""
        held = kept(self.reader, "documents", {digest(*one) for one in documents}, "statements")
        return {sequence for (statements,) in held.values() for sequence, *_ in statements}

    def with_voids(self, sequences: set[int]) -> set[int]:
        """Events with the voids that name them, those that name these, and so on."""
        found = set[int]()
        while sequences:
            found |= sequences
            names = [name for _, *name in self._there(sequences, ("source", "id"))]
            held = kept(self.reader, "identities", {digest(*name) for name in names}, "voids")
            sequences = {void for (voids,) in held.values() for void in voids} - found
        return found

    def at(self, sequences: Collection[int]) -> list[Recorded[Payload]]:
        return [self.read(*row) for row in self._there(sequences, SAID_OF)]

    def _there(self, sequences: Collection[int], fields: Sequence[str]) -> Sequence[Any]:
        """Those of the events at these sequences: each with its sequence, and these fields, in the order of the log."""
        wanted = [one for one in sequences if one <= self.known and one not in self.without]
        most = self.most or EVENTS_MAX
        accepted = f"AND status = 'accepted' ORDER BY sequence LIMIT {most + 1}"
        found = _under(self.reader.connection, "events", "sequence", wanted, fields, accepted)
        if len(found) > most:
            raise TooManyError
        return found
