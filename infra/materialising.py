"""A database of one moment: the log folded up to where it was known, to be asked for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from domain.calendar import business_day, from_microseconds, microseconds
from domain.catalogue import Catalogue, Rejected
from domain.errors import QudaoError
from domain.gaps import Gap
from domain.identifiers import digest
from domain.plans import PolicyPublished
from infra.connection import Connection
from infra.database import Database
from infra.decisions import accepted_gaps
from infra.definitions import physical
from infra.engine import Engine
from infra.lookups import read_one
from infra.positions import Log
from infra.reader import Reader
from infra.stream import stream_state
from infra.tables import codec_of
from infra.upserts import Upsert
from projections.policies import PolicyVersion
from projections.projection import Projection
from projections.rows import TABLES

Progress = Callable[[str, int, int], None]
#: So far may two machines' clocks differ before an instant of the one has not come for the other.
CLOCKS_APART_MAX = timedelta(seconds=5)


class MomentError(QudaoError):
    """The moment cannot be made, or not here."""

    code = "moment"


class Moment(Struct, frozen=True):
    """What a database is of: known up to a sequence, true by an instant (none: whenever it is asked).

    `policies` were put in to be tried.
    """

    known_at: int
    valid_at: datetime | None = None
    policies: tuple[str, ...] = ()

    def __str__(self) -> str:
        true = "" if self.valid_at is None else f", and true by {self.valid_at.isoformat()}"
        tried = f", with {', '.join(self.policies)} put in to be tried" if self.policies else ""
        return f"known at sequence {self.known_at:,}{true}{tried}"


async def materialise(
    client: Connection,
    into: str,
    catalogue: Catalogue,
    projections: Sequence[Projection],
    moment: Moment,
    policies: Sequence[PolicyPublished],
    progress: Progress,
) -> None:
    """Fold the log into a database of its own; one that was interrupted goes on.

    Raises MomentError where the database holds something else; and, before there is one, for an instant before
    everything the book speaks of.
    """
    state = await stream_state(client)
    log, gaps = Log(state.store_id, state.created), await accepted_gaps(client)
    if moment.valid_at is not None:
        await _begun(client, catalogue, gaps, moment.known_at, moment.valid_at)
    database = Database(into)
    try:
        await asyncio.to_thread(_begin, database, moment)
        engine = await asyncio.to_thread(
            Engine, database, catalogue, projections, log, valid_at=moment.valid_at
        )
        engine.gaps = gaps
        try:
            await _fold(client, engine, moment.known_at, progress)
            await asyncio.to_thread(_put, engine, policies)
        finally:
            await asyncio.to_thread(engine.close)
    finally:
        database.close()


def before_the_first(recorded_us: int | None) -> str:
    """What to say of what was known before the first message was recorded; None where there is none yet."""
    if recorded_us is None:
        return "the book has no event yet: what was known at a moment it cannot say"
    begins = from_microseconds(recorded_us).isoformat()
    return f"the book begins at {begins}: what was known before that it cannot say"


def before_all_facts(effective_us: int | None) -> str:
    """What to say of what was true before the first fact of all; None where there is none yet."""
    if effective_us is None:
        return "the book has no event yet: what was true at an instant it cannot say"
    begins = from_microseconds(effective_us).isoformat()
    return f"the book speaks of nothing before {begins}: what was true before that it cannot say"


def to_come(instant: datetime) -> str:
    """What to say of what is known at an instant that is not there yet."""
    return f"{instant.isoformat()} has not come yet: what will be known then nobody can say"


async def _begun(
    client: Connection, catalogue: Catalogue, gaps: Sequence[Gap], known: int, valid_at: datetime
) -> None:
    """Raise MomentError where no event that is accepted up to a sequence is true by an instant.

    Reads no further than to the first that is: mostly that is the first of all.
    """
    first: datetime | None = None
    taken = set[int]()
    async with Reader(client, until=known, gaps=gaps) as reader:
        async for batch in reader:
            for message in batch:
                try:
                    event = catalogue.read(message.sequence, message.recorded, message.subject, message.body)
                except Rejected:
                    continue
                identity = digest(event.event.source, event.event.id)
                if identity in taken:
                    continue  # a duplicate, or a conflict that claims to be earlier
                if event.effective <= valid_at:
                    return
                taken.add(identity)
                first = min(first or event.effective, event.effective)
    raise MomentError(before_all_facts(None if first is None else microseconds(first)))


async def _fold(client: Connection, engine: Engine, until: int, progress: Progress) -> None:
    if (after := engine.position.sequence) < until:
        async with Reader(client, after=after, until=until, gaps=engine.gaps) as reader:
            async for batch in reader:
                await asyncio.to_thread(engine.apply, batch)
                progress("folded", batch[-1].sequence, until)
    await asyncio.to_thread(engine.sync)
    for position in engine.database.positions():
        if position.error:
            raise MomentError(f"{position.projection} cannot be folded: {position.error.splitlines()[0]}")


async def sequence_at(client: Connection, known_at: int | datetime | None, now: datetime) -> int:
    """The last message that was there at an instant, or the one named, or the last there is.

    Raises MomentError beyond what the log has, and for an instant that has not come yet.
    """
    state = await stream_state(client)
    if known_at is None:
        return state.last_sequence
    if state.last_sequence == 0:
        raise MomentError(before_the_first(None))
    if isinstance(known_at, int):
        if not 1 <= known_at <= state.last_sequence:
            raise MomentError(
                f"the log goes from sequence 1 to {state.last_sequence}: {known_at} is not there"
            )
        return known_at
    return await _taken_by(client, known_at, state.last_sequence, now)


async def _taken_by(client: Connection, instant: datetime, last: int, now: datetime) -> int:
    wanted, low, high = microseconds(instant), 0, last
    before, after = 0, 0  # when the log took the messages on both sides of the instant, as far as it is known
    while low < high:
        middle = (low + high + 1) // 2
        message = await read_one(client, middle)
        if message is None:
            raise MomentError(f"the log has no message {middle}: `qudao verify` says more")
        recorded = message.recorded // 1000
        if recorded <= wanted:
            low, before = middle, recorded
        else:
            high, after = middle - 1, recorded
    if low == 0:
        raise MomentError(before_the_first(after))
    if low == last and before < wanted and instant > now + CLOCKS_APART_MAX:
        raise MomentError(to_come(instant))
    return low


def moment_of(database: Database) -> Moment | None:
    """What moment a database is of; None where it is none of one."""
    if not sa.inspect(database.engine).has_table("moment"):
        return None
    found = database.rows("SELECT known_at, valid_at, policies FROM moment")
    if not found:
        return None
    [(known_at, valid_at, policies)] = found
    instant = None if valid_at is None else from_microseconds(valid_at)
    return Moment(known_at, instant, msgspec.json.decode(policies, type=tuple[str, ...]))


def _begin(database: Database, moment: Moment) -> None:
    held = moment_of(database)
    if held == moment:
        return
    if held is not None or database.positions():
        what = "something else" if held is None else f"what was {held}"
        raise MomentError(f"{database.name} holds {what} already: give another with --into")
    with database.transaction() as run:
        run("CREATE TABLE moment (known_at BIGINT NOT NULL, valid_at BIGINT, policies TEXT NOT NULL)", ())
        valid_at = None if moment.valid_at is None else microseconds(moment.valid_at)
        run(
            database.sql.marked("INSERT INTO moment VALUES (?, ?, ?)"),
            (moment.known_at, valid_at, msgspec.json.encode(moment.policies).decode()),
        )


def _put(engine: Engine, policies: Sequence[PolicyPublished]) -> None:
    """Put policies among those published: as if they had been known, and last of all."""
    codec = codec_of(PolicyVersion)
    rows = [
        codec.write(
            PolicyVersion(
                *(said.policy, said.version, said.kind, said.effective, business_day(said.effective)),
                *(engine.position.sequence, said.body),
            )
        )
        for said in policies
    ]
    [table] = [physical(row, version) for row, version in engine.live_tables() if row is PolicyVersion]
    columns = [(column.name, column.kind) for column in codec.columns]
    put = Upsert(engine.database.sql, table, columns, TABLES[PolicyVersion].key)
    with engine.database.transaction() as run:
        for sql, parameters in put.statements(rows):
            run(sql, parameters)
