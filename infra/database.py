"""The database is a cache of the log: versioned tables, bulk reads and writes, and the positions that fence them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from domain.errors import QudaoError
from domain.gaps import Gap
from infra.definitions import after_each_other, definitions, physical
from infra.sql import Sql
from infra.tables import POSTGRESQL, SQLITE, Codec, codec_of
from infra.wide import WideConnection
from projections.rows import TABLES, Key, Row

if TYPE_CHECKING:
    # Loading it takes as long as loading all of Qudao: SQLAlchemy does where PostgreSQL is asked for.
    import psycopg

#: Raised by one whenever the meaning of these tables changes; an older program refuses a newer database.
REVISION = 1

LIVE, BUILDING, STOPPED, RETIRED = "live", "building", "stopped", "retired"


class DatabaseError(QudaoError):
    """The database cannot be opened, or is not one this program may use."""

    code = "database"


class FenceError(QudaoError):
    """Another projector moved the positions: this one must not write."""

    code = "fenced"


class Position(Struct, frozen=True):
    """How far one version of a projection has folded the log, and what the log looked like there."""

    projection: str
    version: str
    status: str
    sequence: int
    store_id: str = ""
    stream_created: int = 0
    leaf: str = ""
    chain: str = ""
    error: str = ""
    updated: int = 0  # microseconds since 1970, the projector's clock


class Move(Struct, frozen=True):
    """A position's step: the new position takes effect only where the old one still stands."""

    old: Position
    new: Position


Statement = tuple[str, Sequence[Any]]
_SQLITE_OPTIONS: dict[str, Any] = {"connect_args": {"factory": WideConnection}}


class Commit(Struct, frozen=True):
    """All that one batch changes: statements and the positions they belong to, in one transaction."""

    statements: Sequence[Statement]
    moves: Sequence[Move]


_POSITION_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Position))


class Database:
    """One SQLite file or PostgreSQL database, by SQLAlchemy URL."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = url
        self.read_only = read_only
        try:
            self.engine = sa.create_engine(
                url, **(_SQLITE_OPTIONS | {"pool_size": 8} if "sqlite" in url else {})
            )
        except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
            raise DatabaseError(
                f"database address {url!r} cannot be used ({error}): give sqlite:///FILE or postgresql+psycopg://…"
            ) from None
        self.dialect = self.engine.dialect.name
        self.name = self.engine.url.render_as_string()  # without a password
        if self.dialect not in (SQLITE, POSTGRESQL):
            raise DatabaseError(f"{self.dialect} is not supported: use SQLite or PostgreSQL")
        sa.event.listen(
            self.engine, "connect", self._pragmas if self.dialect == SQLITE else _set_up_postgresql
        )
        self.sql = Sql(self.dialect)
        self._reader = self._connect()
        try:
            if self.dialect == POSTGRESQL:
                self._prepare_reader(self._reader.driver_connection)
            if not read_only:
                self._prepare()
        except BaseException:
            self.close()
            raise

    def _pragmas(self, connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("busy_timeout=5000", "cache_size=-8192", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        if self.read_only:
            cursor.execute("PRAGMA query_only=1")
        else:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=16000"):
                cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def _connect(self) -> Any:
        try:
            return self.engine.raw_connection()
        except sa.exc.OperationalError as error:
            raise DatabaseError(f"database {self.name!r} cannot be opened: {error.orig}") from None

    def _prepare_reader(self, connection: psycopg.Connection[Any]) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise DatabaseError(
                f"database {self.name!r} is encoded in {encoding}, which has no place for every name: give one "
                "made with ENCODING 'UTF8'"
            )
        connection.autocommit = True  # it only reads: there is no transaction to begin and to end

    def _prepare(self) -> None:
        try:
            with self.transaction() as run:
                run("CREATE TABLE IF NOT EXISTS qudao (revision INTEGER NOT NULL)", ())
                run(
                    "CREATE TABLE IF NOT EXISTS positions (projection TEXT, version TEXT, status TEXT NOT NULL, "
                    "sequence BIGINT NOT NULL, store_id TEXT NOT NULL, stream_created BIGINT NOT NULL, "
                    "leaf TEXT NOT NULL, chain TEXT NOT NULL, error TEXT NOT NULL, updated BIGINT NOT NULL, "
                    "PRIMARY KEY (projection, version))",
                    (),
                )
                run(
                    "CREATE TABLE IF NOT EXISTS gaps (first_sequence BIGINT PRIMARY KEY, "
                    "last_sequence BIGINT NOT NULL)",
                    (),
                )
                [(newest,)] = run("SELECT max(revision) FROM qudao", ()).fetchall()
                if newest is None:
                    run(f"INSERT INTO qudao VALUES ({REVISION})", ())
        except driver_errors() as error:
            raise DatabaseError(f"database {self.name!r} cannot be written: {error}") from None
        if newest is not None and newest > REVISION:
            raise DatabaseError(
                f"database {self.name!r} was made by a newer Qudao (revision {newest}, this program knows "
                f"{REVISION}): run the newer program, or give another database; it can be rebuilt from the log"
            )

    # reading

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read on the connection of the thread that folds."""
        cursor = self._reader.cursor()
        try:
            cursor.execute(sql, parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
        finally:
            cursor.close()

    def load(self, physical: str, codec: Codec, keys: Iterable[Key]) -> Iterator[Row]:
        """The rows under the given keys, in one statement."""
        wanted = msgspec.json.encode([codec.write_key(key) for key in keys]).decode()
        for values in self.rows(self.sql.load(physical, codec), (wanted,)):
            yield codec.read(values)

    def scan(
        self, physical: str, codec: Codec, prefix: Key, since: Any = None, until: Any = None
    ) -> Iterator[Row]:
        """Rows of a key range, in key order."""
        stored = codec.write_key_part(prefix)
        bounds = [
            (op, codec.write_key_part((*prefix, bound))[-1])
            for op, bound in ((">=", since), ("<=", until))
            if bound is not None
        ]
        sql = self.sql.scan(physical, codec, len(prefix), tuple(op for op, _ in bounds))
        for values in self.rows(sql, (*stored, *[bound for _, bound in bounds])):
            yield codec.read(values)

    def positions(self) -> list[Position]:
        """Every position there is; none where the database is still empty."""
        if not sa.inspect(self.engine).has_table("positions"):
            return []
        columns = ", ".join(_POSITION_COLUMNS)
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql(
                f"SELECT {columns} FROM positions ORDER BY projection, version"
            )
            return [Position(*values) for values in found]

    # writing

    def transaction(self) -> Transaction:
        """A transaction on a connection of its own: all of it or nothing."""
        return Transaction(self)

    def commit(self, commit: Commit, transaction: Transaction | None = None) -> None:
        """Write a batch. Raises FenceError, and writes nothing, where a position is not where it was left."""
        transaction = transaction or self.transaction()
        with transaction as run:
            with transaction.at_once():
                for sql, parameters in commit.statements:
                    run(sql, parameters)
            for move in commit.moves:
                self.move(run, move)

    def record(self, gap: Gap) -> Statement:
        """What stores a gap that was passed."""
        sql = "INSERT INTO gaps VALUES (?, ?) ON CONFLICT DO NOTHING"
        return self.sql.marked(sql), (gap.first, gap.last)

    def move(self, run: Run, move: Move) -> None:
        """Take one position forward, if it still stands where it was left."""
        old, new = move.old, move.new
        cursor = run(
            self.sql.marked(
                "UPDATE positions SET status=?, sequence=?, store_id=?, stream_created=?, leaf=?, chain=?, error=?,"
                " updated=? WHERE projection=? AND version=? AND sequence=? AND leaf=? AND status=?"
            ),
            (
                *(new.status, new.sequence, new.store_id, new.stream_created, new.leaf, new.chain),
                *(new.error, now_us(), old.projection, old.version, old.sequence, old.leaf, old.status),
            ),
        )
        if cursor.rowcount != 1:
            raise FenceError(
                f"the position of {old.projection} is no longer at {old.sequence} ({old.status}): another "
                "projector writes to this database, or it was restored; this one stops before counting twice"
            )

    def create(self, rows: Iterable[type[Row]], version: str) -> None:
        """Make the tables of one version of a projection, empty, where they are not there yet."""
        there = set(sa.inspect(self.engine).get_table_names())
        metadata = sa.MetaData()
        for row in rows:
            if (name := physical(row, version)) not in there:
                codec_of(row).schema(name, metadata)
        metadata.create_all(self.engine)

    def drop(self, rows: Iterable[type[Row]], version: str) -> None:
        """Remove the tables of one version."""
        with self.transaction() as run:
            for row in rows:
                run(f"DROP TABLE IF EXISTS {physical(row, version)}", ())

    def point_views(
        self, run: Run, live: Iterable[tuple[type[Row], str]], joined: Iterable[type[Row]] = ()
    ) -> None:
        """Let every name people ask for show the given versions, within the caller's transaction.

        `joined` are the views that select from others: they go first and come back last. One that selects from
        what is not built yet waits until that is.
        """
        ordered = after_each_other(joined)
        cascade = " CASCADE" if self.dialect == POSTGRESQL else ""  # to views only an earlier program knew
        for row in reversed(ordered):
            run(f"DROP VIEW IF EXISTS {TABLES[row].name}{cascade}", ())
        for name, definition in definitions(
            [(row, physical(row, version)) for row, version in live], ordered
        ):
            run(f"DROP VIEW IF EXISTS {name}{cascade}", ())
            run(f"CREATE VIEW {definition}", ())

    def close(self) -> None:
        self._reader.close()
        self.engine.dispose()


Run = Callable[[str, Sequence[Any]], Any]


class Transaction:
    """`with database.transaction() as run: run(sql, parameters)`: committed at the end, rolled back on error."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Run:
        self._connection = self._database._connect()
        self._cursor = self._connection.cursor()
        if self._database.dialect == SQLITE:
            self._cursor.execute("BEGIN IMMEDIATE")
        return self._run

    def at_once(self) -> AbstractContextManager[Any]:
        """For statements whose results nobody reads: PostgreSQL takes all of them before it answers.

        After each answer the thread may have to wait for the interpreter.
        """
        if self._database.dialect == SQLITE:
            return nullcontext()
        pipeline: AbstractContextManager[Any] = self._connection.driver_connection.pipeline()
        return pipeline

    def _run(self, sql: str, parameters: Sequence[Any]) -> Any:
        self._cursor.execute(sql, parameters)
        return self._cursor

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            if self._database.dialect == SQLITE:
                self._cursor.execute("COMMIT" if kind is None else "ROLLBACK")
            elif kind is None:
                self._connection.commit()
            else:
                self._connection.rollback()
        finally:
            self._cursor.close()
            self._connection.close()


def driver_errors() -> tuple[type[Exception], ...]:
    """What the drivers that are loaded raise."""
    loaded = sys.modules.get("psycopg")
    return (sqlite3.Error,) if loaded is None else (sqlite3.Error, loaded.Error)


def _set_up_postgresql(connection: psycopg.Connection[Any], record: Any) -> None:
    """Read NUMERIC as whole numbers, of which no view has others, and plan for pages that are in memory or near it.

    Planning for a disk with arms it reads a small table whole for each row that looks one thing up in it: ten times
    as long.
    """
    from psycopg.types.numeric import IntLoader

    connection.adapters.register_loader("numeric", IntLoader)
    connection.execute("SET random_page_cost = 1.1")
    connection.commit()


@cache
def in_memory() -> sa.Engine:
    """Every connection is a database of its own; of one engine, so that statements are compiled once for all."""
    return sa.create_engine("sqlite://", poolclass=sa.NullPool, **_SQLITE_OPTIONS)


def now_us() -> int:
    """This machine's own clock; never part of a fold."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)
