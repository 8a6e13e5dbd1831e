"""Events folded on a scratch database of either kind, and what its tables then say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from domain.calendar import microseconds
from domain.event_types import CATALOGUE
from infra.database import LIVE, Database, Run
from infra.definitions import physical
from infra.engine import Engine
from infra.message import Message
from infra.positions import Log
from infra.sql import quoted
from infra.tables import POSTGRESQL, Codec
from infra.upserts import Upsert
from projections.orders import ORDERS
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.rows import TABLES, Row
from projections.stock import STOCK
from tests.lab.databases import Databases, Where, address
from tests.lab.events import HOUR, NOON
from tests.lab.histories import Fact, placed_in, subject

B = TypeVar("B", bound=Database)
R = TypeVar("R", bound=Row)

CORE = (ORDERS, STOCK)  # a tenth of the time that all projections take to open
LOG = Log("store-1", 1)
RECORDED = microseconds(NOON + HOUR) * 1000


def engine_on(
    where: Where, projections: Sequence[Projection] = PROJECTIONS, log: Log = LOG, **options: Any
) -> Engine:
    """An engine over a scratch database, where it was left."""
    database = database_on(where)
    try:
        return Engine(database, CATALOGUE, projections, log, **options)
    except BaseException:
        database.close()
        raise


def database_on(where: Where, kind: type[B] = Database) -> B:  # type: ignore[assignment]
    """A scratch database, without waiting for the disk: these tests do not cut the power."""
    database = kind(address(where))
    if database.dialect == POSTGRESQL:  # its server does not wait
        return database
    sa.event.listen(database.engine, "connect", _without_waiting)
    database.engine.dispose()
    return database


def _without_waiting(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def shut(engine: Engine) -> None:
    """Close an engine and its database."""
    engine.close()
    engine.database.close()


def folded(
    where: Where,
    batches: Iterable[Sequence[Message]],
    projections: Sequence[Projection] = CORE,
    **options: Any,
) -> dict[str, list[tuple[Any, ...]]]:
    """What all tables say after an engine has folded the batches."""
    engine = engine_on(where, projections, **options)
    try:
        for batch in batches:
            engine.apply(batch)
        engine.sync()
        while engine.build():
            pass
        return tables(engine)
    finally:
        shut(engine)


def tables(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """The stored values of every live table, by its unversioned name, in key order."""
    found = {}
    for row, version in engine.live_tables():
        name = physical(row, version)
        found[name.split("__")[0]] = sorted(engine.database.rows(f"SELECT * FROM {name}"))
    return found


def stored(engine: Engine, row: type[R], first: str = "") -> list[R]:
    """The rows of a live table whose first key field begins so, in key order."""
    [version] = [version for kind, version in engine.live_tables() if kind is row]
    codec, key = Codec(row), quoted(TABLES[row].key)
    where = (
        f"WHERE {TABLES[row].key[0]} >= '{first}' AND {TABLES[row].key[0]} < '{first}\U0010ffff'"
        if first
        else ""
    )
    sql = (
        f"SELECT {quoted(c.name for c in codec.columns)} FROM {physical(row, version)} {where} ORDER BY {key}"
    )
    return [codec.read(values) for values in engine.database.rows(sql)]  # type: ignore[misc]


def store(database: Database, run: Run, table: str, rows: Sequence[Row]) -> None:
    """Put rows of one type into a table as a projector does."""
    if rows:
        codec = Codec(type(rows[0]))
        kinds = [(column.name, column.kind) for column in codec.columns]
        upsert = Upsert(database.sql, table, kinds, codec.table.key)
        for sql, parameters in upsert.statements([codec.write(row) for row in rows]):
            run(sql, parameters)


def statuses(engine: Engine) -> dict[str, tuple[str, int]]:
    """Status and sequence of every live or stopped position."""
    return {
        p.projection: (p.status, p.sequence)
        for p in engine.database.positions()
        if p.status == LIVE or p.error
    }


def messages(published: Iterable[tuple[str, bytes]], *, after: int = 0) -> list[Message]:
    """Subjects and bodies as the log would hold them, a second apart."""
    return [
        Message(number, RECORDED + number * 10**9, where, event)
        for number, (where, event) in enumerate(published, after + 1)
    ]


class Scratch:
    """Fresh databases, copied from an empty one: making tables takes longer than folding a small history."""

    def __init__(self, databases: Databases, projections: Sequence[Projection] = CORE) -> None:
        self._databases = databases
        self._empty = databases.new()
        shut(engine_on(self._empty, projections))

    def new(self) -> Where:
        """A database with all tables, at position 0."""
        return self._databases.copy(self._empty)


class Worlds:
    """One engine for many histories, each under ids of its own, so that an example costs one small batch."""

    def __init__(self, where: Where, projections: Sequence[Projection] = CORE) -> None:
        self.engine = engine_on(where, projections)
        self._numbers = itertools.count(1)

    def fold(self, *batches: Sequence[Fact]) -> str:
        """Fold a history, batch by batch, in a new world: its prefix."""
        world = f"w{next(self._numbers)}."
        for batch in batches:
            published = [(subject(f, placed_in(world, f.body())), placed_in(world, f.body())) for f in batch]
            self.engine.apply(messages(published, after=self.engine.position.sequence))
        self.engine.sync()
        return world

    def rows(self, row: type[R], world: str) -> list[R]:
        """The rows of a world, without its prefix."""
        return [_plain(found, world) for found in stored(self.engine, row, world)]


def _plain(row: R, world: str) -> R:
    return msgspec.json.decode(msgspec.json.encode(row).replace(world.encode(), b""), type=type(row))


def split(messages: Sequence[Message], cuts: Iterable[int]) -> Iterator[Sequence[Message]]:
    """The messages in batches that end at the cuts."""
    places = [0, *sorted({cut % (len(messages) + 1) for cut in cuts}), len(messages)]
    for start, end in itertools.pairwise(places):
        if start < end:
            yield messages[start:end]
