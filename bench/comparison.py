"""The stock projection alone, beside the same one written with the library `eventsourcing` and its SQLite recorders.

Same events, same fold, same tables and rows in the end, same durability. What differs is what each is made of:
how events reach the fold, and how rows are read and written. `StockView` is written as the documentation of the
library has it: a tracking recorder with a command that updates the view and the position in one transaction.
The documentation has a transaction for each event and batches nothing but the reading of them, so the view is
measured again with as many events in a transaction as ours has; then with SQLite keeping parsed statements; and then
with rows read and written once in each transaction, too, which is half of what our engine is.

Wherever there was a choice it was made in favour of the library. It is given what is valid and new only, and with
each event the document it belongs to; it decodes with our decoder, and remembers what it decoded. Ours reads from
the log over its connection, judges every message, keeps all of them by identity, and computes the hash chain.
"""

from __future__ import annotations

import asyncio
import decimal
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTrackingRecorder,
)

from bench.catching_up import close, folded
from bench.figures import Report
from cli.simulation import events
from cli.simulation.outbox import Published
from cli.simulation.publishing import publish
from consumers.projector import spare_the_collector
from domain.catalogue import TYPES
from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from domain.numbers import EXACT
from infra.append import Appender
from infra.database import Database
from infra.definitions import physical
from infra.documents import Documents
from infra.engine import EVENTS_MAX
from infra.jetstream import connect
from infra.message import Message
from infra.nats_server import NatsServer
from infra.reader import Reader
from infra.sql import Sql, quoted
from infra.stream import create_stream
from infra.tables import codec_of
from infra.versions import version
from projections.documents import Change, Document, document
from projections.rows import TABLES, Key, Row, select
from projections.stock import STOCK

R = TypeVar("R", bound=Row)

SELECTED = 500  # events that a subscription of the library reads at a time; for SQLite it has none
DOCUMENTS_MAX = 4_000  # in memory, about as many as ours has
VERSION = version(STOCK)
DOCUMENTED, BATCHED = "as documented", "batches as ours"
BATCHED_KEPT, BATCHED_ROWS = "and statements kept", "and rows once a batch"
#: How the view is brought up, and how many times as fast ours is to be; the last two are no longer the library's.
WAYS = {DOCUMENTED: 5, BATCHED: 5, BATCHED_KEPT: None, BATCHED_ROWS: None}
_VOID = "event.voided.v1"


class Stated(DomainEvent):
    """A document says something, first or anew."""

    sequence: int
    recorded: int
    subject: str
    body: str


class Voided(Stated):
    """One of a document's statements was withdrawn, or stands again."""

    statement: int
    stands: bool


class CarefulPool(SQLiteConnectionPool):
    """Connections with the settings of ours: the library has none for them, and would sync every commit."""

    def _create_connection(self) -> SQLiteConnection:
        made = super()._create_connection()
        _set(made)
        return made


class KeepingPool(SQLiteConnectionPool):
    """The same, and SQLite keeps the statements it has parsed; the library tells it to keep one."""

    def _create_connection(self) -> SQLiteConnection:
        connection = sqlite3.connect(self.db_name, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        made = SQLiteConnection(sqlite_conn=connection, max_age=self.max_age)
        _set(made)
        return made


def _set(made: SQLiteConnection) -> None:
    cursor = made.cursor()
    for pragma in ("cache_size=-8192", "temp_store=MEMORY", "synchronous=NORMAL", "wal_autocheckpoint=16000"):
        cursor.execute(f"PRAGMA {pragma}")


class Texts(msgspec.Struct, frozen=True):
    """The SQL of one table."""

    read: str
    range: str
    write: str
    delete: str
    empty: tuple[Any, ...]  # what a row says beside its key that says nothing


@cache
def texts(row: type[Row]) -> Texts:
    """What reads and writes single rows of a table, and what reads a range of them."""
    name, table = physical(row, VERSION), TABLES[row]
    columns = [column.name for column in codec_of(row).columns]
    one = " AND ".join(f'"{field}" = ?' for field in table.key)
    some = " AND ".join(f'"{field}" = ?' for field in table.key[: table.scan])
    marks = ", ".join("?" * len(columns))
    return Texts(
        f"SELECT {quoted(columns)} FROM {name} WHERE {one}",
        f"SELECT {quoted(columns)} FROM {name} WHERE {some} ORDER BY {quoted(table.key)}",
        f"INSERT INTO {name} ({quoted(columns)}) VALUES ({marks}) {Sql.replacing(columns, table.key)}",
        f"DELETE FROM {name} WHERE {one}",
        codec_of(row).defaults(),
    )


class ViewRows:
    """The rows of a view within one transaction: each is read once, and written once at its end."""

    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor
        self._held: dict[type[Row], dict[Key, Row | None]] = {row: {} for row in STOCK.rows}
        self._changed: dict[type[Row], dict[Key, Row]] = {row: {} for row in STOCK.rows}

    def read(self, row: type[R], *key: Any) -> R | None:
        held = self._held[row]
        if key not in held:
            codec = codec_of(row)
            self._cursor.execute(texts(row).read, codec.write_key(key))
            found = self._cursor.fetchone()
            held[key] = None if found is None else codec.read(found)
        return held[key]  # type: ignore[return-value]

    def edit(self, row: type[R], *key: Any) -> R:
        found = self.read(row, *key) or row(*key)
        self._held[row][key] = self._changed[row][key] = found
        return found

    def absent(self, row: type[Row], *key: Any) -> None:
        self._held[row].setdefault(key, None)

    def put(self, row: Row) -> None:
        self._changed[type(row)][codec_of(type(row)).key(row)] = row

    def range(self, row: type[R], *prefix: Any, since: Any = None, until: Any = None) -> Iterator[R]:
        self._write(row)
        codec = codec_of(row)
        self._cursor.execute(texts(row).range, codec.write_key_part(prefix))
        found = [codec.read(stored) for stored in self._cursor.fetchall()]
        return select([(codec.key(one), one) for one in found], prefix, since, until)  # type: ignore[arg-type]

    def write(self) -> None:
        """Store what was changed."""
        for row in STOCK.rows:
            self._write(row)

    def _write(self, row: type[Row]) -> None:
        if not self._changed[row]:
            return
        codec, text, width = codec_of(row), texts(row), codec_of(row).key_width
        values = [codec.write(changed) for changed in self._changed[row].values()]
        self._changed[row] = {}
        self._cursor.executemany(text.write, [one for one in values if one[width:] != text.empty])
        self._cursor.executemany(text.delete, [one[:width] for one in values if one[width:] == text.empty])


class StockView(SQLiteTrackingRecorder):
    """The view: what documents say, and the tables of the projection `stock`."""

    def __init__(self, datastore: SQLiteDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self._documents: dict[UUID, Document | None] = {}

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            "CREATE TABLE IF NOT EXISTS statements (document TEXT, sequence INTEGER, recorded INTEGER, "
            "subject TEXT, body TEXT, stands INTEGER, PRIMARY KEY (document, sequence)) WITHOUT ROWID",
        ]

    def take(self, event: Stated, tracking: Tracking) -> None:
        """Bring the view up to an event: all of it, or nothing."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            rows = ViewRows(cursor)
            self._fold(event, cursor, rows)
            rows.write()

    def take_together(self, taken: Sequence[tuple[Stated, Tracking]], *, rows_once: bool) -> None:
        """Bring the view up to the last of many events in one transaction; rows event by event, or once in it."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, taken[-1][1])
            rows = ViewRows(cursor)
            for event, _ in taken:
                self._fold(event, cursor, rows)
                if not rows_once:
                    rows.write()
                    rows = ViewRows(cursor)
            rows.write()

    def _fold(self, event: Stated, cursor: SQLiteCursor, rows: ViewRows) -> None:
        about = event.originator_id
        before = self._document(about, cursor)
        said = CATALOGUE.read(event.sequence, event.recorded, event.subject, event.body.encode())
        if isinstance(event, Voided):
            cursor.execute(
                "UPDATE statements SET stands = ? WHERE document = ? AND sequence = ?",
                (event.stands, about.hex, event.statement),
            )
            after = self._stored(about, cursor)
        else:
            cursor.execute(
                "INSERT INTO statements VALUES (?, ?, ?, ?, ?, 1)",
                (about.hex, event.sequence, event.recorded, event.subject, event.body),
            )
            key = TYPES[said.type].document, said.dealer, said.event.subject
            after = document(key, [*(before.statements if before is not None else ()), said])
        self._remember(about, after)
        found = after or before
        assert found is not None, "an event is of a document"
        STOCK.fold(Change(said, found.kind, before, after), rows)

    def _remember(self, about: UUID, found: Document | None) -> None:
        self._documents.pop(about, None)
        self._documents[about] = found
        if len(self._documents) > DOCUMENTS_MAX:
            del self._documents[next(iter(self._documents))]

    def _document(self, about: UUID, cursor: SQLiteCursor) -> Document | None:
        if about not in self._documents:
            self._remember(about, self._stored(about, cursor))
        return self._documents[about]

    def _stored(self, about: UUID, cursor: SQLiteCursor) -> Document | None:
        cursor.execute(
            "SELECT sequence, recorded, subject, body FROM statements WHERE document = ? AND stands",
            (about.hex,),
        )
        said: list[Recorded[Payload]] = [
            CATALOGUE.read(sequence, recorded, subject, body.encode())
            for sequence, recorded, subject, body in cursor.fetchall()
        ]
        if not said:
            return None
        return document((TYPES[said[0].type].document, said[0].dealer, said[0].event.subject), said)


class StockProjection(Projection[StockView]):
    """What is called for every event of the application."""

    name = "stock"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise NotImplementedError

    @process_event.register
    def _(self, domain_event: Stated, tracking: Tracking) -> None:
        self.view.take(domain_event, tracking)


def comparing(report: Report, count: int, folder: Path) -> Report:
    """Fold the same events into the stock projection with both, hold one result to the other, and time it."""
    asyncio.run(_compare(report, count, folder))
    return report


async def _compare(report: Report, count: int, folder: Path) -> None:
    spare_the_collector()
    with NatsServer.start(folder / "stock-nats") as server:
        messages = await _fill(server.url, count)
        changes = _changes(messages, folder)
        recorded = _recorded(changes, {message.sequence: message for message in messages}, folder)
        ours = [await _ours(server.url, folder / "ours-1.db")]
        theirs = [_theirs(recorded, folder / f"theirs-{way}.db", way) for way in WAYS]
        ours.append(await _ours(server.url, folder / "ours-2.db"))
    said = _said(folder / "ours-1.db")
    assert said["stock_levels"], "nothing was folded"
    rate = 2 * len(messages) / sum(ours)
    report.add("stock alone, with all that the engine does", rate, "events/s")
    for (way, goal), seconds in zip(WAYS.items(), theirs, strict=True):
        assert _said(folder / f"theirs-{way}.db") == said, f"{way}: the two do not say the same"
        report.add(f"stock with eventsourcing, {way}", len(messages) / seconds, "events/s")
        report.add(
            "  stock alone beside it",
            rate,
            "events/s",
            limit=len(messages) / seconds,
            limited_by="that",
            least_ratio=goal,
        )


async def _fill(url: str, count: int) -> list[Message]:
    """A log of what bears on stock, and its messages."""
    client = await connect(url, "bench")
    await create_stream(client)
    bearing = (event for event in events(1, events=2 * count) if _bears(event))
    sent = await publish(Appender(client), islice(bearing, count), batch=1000)
    messages: list[Message] = []
    async with Reader(client, until=sent.last_sequence) as reader:
        async for batch in reader:
            messages += batch
    await client.close()
    return messages


def _bears(event: Published) -> bool:
    """Whether a message is about a document that stock is folded from, or withdraws something."""
    try:
        kind = msgspec.json.decode(event.body, type=_Type).type
    except msgspec.DecodeError:
        return False
    return kind == _VOID or (kind in TYPES and TYPES[kind].document in STOCK.kinds)


class _Type(msgspec.Struct):
    type: str


def _changes(messages: Sequence[Message], folder: Path) -> list[Change]:
    """What the messages change, as stage 0 says."""
    database = Database(f"sqlite:///{folder / 'judged.db'}")
    Documents.create(database, "bench")
    documents = Documents(database, CATALOGUE, "bench", 2**40)
    found = [
        change
        for first in range(0, len(messages), 1000)
        for change in documents.take_in(messages[first : first + 1000])
    ]
    database.close()
    return [change for change in found if change.kind in STOCK.kinds]


def _recorded(changes: Sequence[Change], messages: dict[int, Message], folder: Path) -> Application[UUID]:
    """An application whose aggregates are documents, and whose events are what changed them."""
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "application.db"),
    }
    application: Application[UUID] = Application(env=environment)
    versions: dict[UUID, int] = {}
    said = []
    for change in changes:
        about = uuid5(NAMESPACE_URL, "/".join(change.document.key))
        versions[about] = versions.get(about, 0) + 1
        said.append(_event(change, messages[change.event.sequence], about, versions[about]))
    for first in range(0, len(said), 1000):
        application.events.put(said[first : first + 1000])
    return application


def _event(change: Change, message: Message, about: UUID, number: int) -> Stated:
    told = {
        "originator_id": about,
        "originator_version": number,
        "timestamp": datetime.now(UTC),
        "sequence": message.sequence,
        "recorded": message.recorded,
        "subject": message.subject,
        "body": message.body.decode(),
    }
    if change.event.type != _VOID:
        return Stated(**told)
    before, after = [
        {statement.sequence for statement in side.statements} if side is not None else set()
        for side in (change.before, change.after)
    ]
    [statement] = before ^ after
    return Voided(**told, statement=statement, stands=statement in after)


async def _ours(url: str, path: Path) -> float:
    engine, seconds = await folded(url, f"sqlite:///{path}", (STOCK,))
    close(engine)
    return seconds


def _theirs(application: Application[UUID], path: Path, way: str) -> float:
    database = Database(f"sqlite:///{path}")
    database.create(STOCK.rows, VERSION)
    database.close()
    datastore = SQLiteDatastore(str(path))
    pool = CarefulPool if way in (DOCUMENTED, BATCHED) else KeepingPool
    datastore.pool = pool(db_name=str(path))
    view = StockView(datastore)
    view.create_table()
    projection = StockProjection(view)
    began = perf_counter()
    with decimal.localcontext(EXACT):
        followed = _followed(application)
        if way == DOCUMENTED:
            for event, tracking in followed:
                projection.process_event(event, tracking)
        while taken := list(islice(followed, EVENTS_MAX)):
            view.take_together(taken, rows_once=way == BATCHED_ROWS)
    seconds = perf_counter() - began
    datastore.close()
    return seconds


def _followed(application: Application[UUID]) -> Iterator[tuple[Stated, Tracking]]:
    """The events of an application, as its subscriptions give them where the recorder has any."""
    after = 0
    while found := application.recorder.select_notifications(after, SELECTED, inclusive_of_start=False):
        for one in found:
            yield application.mapper.to_domain_event(one), Tracking(application.name, one.id)  # type: ignore[misc]
        after = found[-1].id


def _said(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the projection, by table."""
    database = Database(f"sqlite:///{path}", read_only=True)
    said = {
        TABLES[row].name: database.rows(
            f"SELECT * FROM {physical(row, VERSION)} ORDER BY {quoted(TABLES[row].key)}"
        )
        for row in STOCK.rows
    }
    database.close()
    return said
