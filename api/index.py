"""The index of the log, looked into: who holds an identity, what was said under it, what a message became."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.problems import FieldProblem, Problem
from api.reading import Opened
from api.stage0 import EVENTS, REJECTIONS
from api.views import Reader
from domain.calendar import from_microseconds
from domain.errors import QudaoError
from domain.identifiers import digest
from infra.database import LIVE, STOPPED
from infra.positions import INDEX
from infra.sql import Sql
from infra.tables import codec_of
from projections.events import EventRow

log = logging.getLogger("qudao.api")

Identity = tuple[str, str]
MESSAGES_MAX = 1000

_EVENT = codec_of(EventRow)


class Held(Struct, frozen=True):
    """The event that holds an identity."""

    sequence: int
    family: str
    dealer: str
    body: bytes


class Arrival(Struct, frozen=True):
    """One message under an identity: what became of it and, where it was not taken, every reason."""

    sequence: int
    status: str
    recorded: datetime | None
    of: int
    reasons: tuple[FieldProblem, ...]
    visible: bool


class Index:
    """Reads stage 0's tables. It lags behind the log, so nothing here says that something never arrived."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def held(self, identities: Iterable[Identity]) -> dict[Identity, Held]:
        """Who holds these identities, as far as it is known; nothing where the database is away."""
        wanted = {digest(*identity): identity for identity in identities}
        try:
            with self._opened.reader() as reader:
                return _held(reader, wanted) if wanted else {}
        except (Problem, QudaoError) as error:
            log.warning("the index was not asked before appending: %s", error)
            return {}

    def arrivals(self, source: str, id: str) -> tuple[Held | None, list[Arrival]]:
        """Every message known under an identity, by sequence, and the one that holds it."""
        identity = (source, id)
        with self._opened.reader() as reader:
            visible = min((p.sequence for p in reader.positions if p.status in (LIVE, STOPPED)), default=0)
            holder = _held(reader, {digest(*identity): identity}).get(identity)
            found = [*_refused(reader, identity, visible)]
            if holder is not None:
                found += _taken(reader, holder, visible)
        return holder, sorted(found, key=lambda arrival: arrival.sequence)

    def event(self, sequence: int) -> tuple[EventRow | None, tuple[FieldProblem, ...], int]:
        """One message's row, the reasons why it was not taken, and how far the index is."""
        with self._opened.reader() as reader:
            reached = _index(reader)[1]
            rows = reader.connection.execute(sa.select(EVENTS).where(EVENTS.c.sequence == sequence)).all()
            if not rows:
                return None, (), reached
            row = _EVENT.read(rows[0])
            assert isinstance(row, EventRow)
            reasons = reader.connection.execute(
                sa.select(REJECTIONS.c.reasons).where(REJECTIONS.c.sequence == sequence)
            ).scalar()
        return row, _reasons(reasons), reached


def _index(reader: Reader) -> tuple[str, int]:
    """The version of the index that serves, and how far it is; nothing where there is none yet."""
    serving = [p for p in reader.positions if p.projection == INDEX and p.status in (LIVE, STOPPED)]
    return (serving[0].version, serving[0].sequence) if serving else ("", 0)


def _held(reader: Reader, wanted: Mapping[int, Identity]) -> dict[Identity, Held]:
    version, _ = _index(reader)
    if not version:
        return {}
    # One parameter however many are asked for: a list of them costs SQLAlchemy more than the database.
    sql = Sql(reader.connection.dialect.name)
    found = reader.connection.exec_driver_sql(
        "SELECT source, id, sequence, family, dealer, body FROM events WHERE sequence IN "
        f"(SELECT sequence FROM identities__{version} WHERE digest IN ({sql.numbers}))",
        (msgspec.json.encode(list(wanted)).decode(),),
    )
    held = {
        (source, id): Held(sequence, family, dealer, body.encode())
        for source, id, sequence, family, dealer, body in found
    }
    return {identity: held[identity] for identity in wanted.values() if identity in held}


def _taken(reader: Reader, holder: Held, visible: int) -> list[Arrival]:
    column = EVENTS.c
    repeats = sa.and_(
        column.dealer == holder.dealer, column.status == "duplicate", column.of == holder.sequence
    )
    found = reader.connection.execute(
        sa.select(column.sequence, column.status, column.recorded, column.of)
        .where(sa.or_(column.sequence == holder.sequence, repeats))
        .limit(MESSAGES_MAX)
    )
    return [
        Arrival(sequence, status, _instant(recorded), of, (), sequence <= visible)
        for sequence, status, recorded, of in found
    ]


def _refused(reader: Reader, identity: Identity, visible: int) -> Sequence[Arrival]:
    column = REJECTIONS.c
    found = reader.connection.execute(
        sa.select(column.sequence, column.code, column.recorded, column.of, column.reasons)
        .where(column.source == identity[0], column.id == identity[1])
        .limit(MESSAGES_MAX)
    )
    return [
        Arrival(sequence, code, _instant(recorded), of, _reasons(reasons), sequence <= visible)
        for sequence, code, recorded, of, reasons in found
    ]


def _reasons(stored: str | None) -> tuple[FieldProblem, ...]:
    return msgspec.json.decode(stored, type=tuple[FieldProblem, ...]) if stored else ()


def _instant(stored: int | None) -> datetime | None:
    return None if stored is None else from_microseconds(stored)
