"""Folding the log from zero beside the live tables, and comparing both row by row at one position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import sqlalchemy as sa
from msgspec import Struct

from domain.catalogue import Catalogue
from domain.errors import QudaoError
from infra.comparing import (
    SHOWN_MAX,
    Columns,
    Compared,
    Difference,
    columns_of,
    compare_table,
    stored_rows,
)
from infra.connection import Connection
from infra.database import LIVE, STOPPED, Database, Position
from infra.decisions import accepted_gaps
from infra.definitions import definitions, edited, physical
from infra.documents import ROWS
from infra.engine import Engine
from infra.materialising import moment_of
from infra.positions import INDEX, REBUILD, Log
from infra.reader import Reader
from infra.sql import quoted
from infra.stream import stream_state
from infra.tables import SQLITE
from projections.projection import Projection
from projections.rows import TABLES, Row

#: Tables of stage 0 that are no row types.
INTERNAL = {"identities": ("digest", "sequence", "voids"), "documents": ("digest", "statements")}

LOOKS, LOOK_SECONDS = 4, 0.25

Progress = Callable[[str, int, int], None]


class CheckError(QudaoError):
    """There is nothing that could be compared."""

    code = "check"


class Report(Struct):
    """What a comparison found; `differences` are the first ones; `made`: of a moment that was made."""

    sequence: int
    equal: bool
    tables: list[Compared]
    differences: list[Difference]
    not_compared: list[str]
    made: bool = False


async def check(
    client: Connection,
    live: Database,
    scratch: Database,
    catalogue: Catalogue,
    projections: Sequence[Projection],
    progress: Progress,
) -> Report:
    """Fold the log into `scratch` up to where `live` stands, and compare all tables that serve.

    The projector may go on: its rows and positions are read in one transaction, and the rest of the log up to
    there is folded while it is open. A moment that was made is folded as of what was true by its instant. Raises
    CheckError where nothing serves yet, or policies were put in that the log does not have.
    """
    moment = await asyncio.to_thread(moment_of, live)
    if moment is not None and moment.policies:
        raise CheckError(f"{live.name} tries {', '.join(moment.policies)}: that is not in the log")
    state = await stream_state(client)
    log, valid_at = Log(state.store_id, state.created), moment.valid_at if moment is not None else None
    engine = await asyncio.to_thread(Engine, scratch, catalogue, projections, log, valid_at=valid_at)
    engine.gaps = await accepted_gaps(client)
    try:
        with one_moment(live) as (_, positions):
            target = _index(positions).sequence
        await _fold(client, engine, target, progress)
        with one_moment(live) as (connection, positions):
            index = _index(positions)
            engine.check_log(Log(index.store_id, index.stream_created), index.sequence)
            await _fold(client, engine, index.sequence, progress)
            report = await asyncio.to_thread(
                _compare, connection, live, engine, positions, projections, progress
            )
            report.made = moment is not None
            return report
    finally:
        await asyncio.to_thread(engine.close)


def _index(positions: Sequence[Position]) -> Position:
    for position in positions:
        if position.projection == INDEX and position.status in (LIVE, STOPPED):
            return position
    raise CheckError(
        "nothing serves yet in this database: start a projector, and check once it has caught up"
    )


async def _fold(client: Connection, engine: Engine, until: int, progress: Progress) -> None:
    after = engine.position.sequence
    if after >= until:
        return
    async with Reader(client, after=after, until=until, gaps=engine.gaps) as reader:
        async for batch in reader:
            await asyncio.to_thread(engine.apply, batch)
            progress("folded", batch[-1].sequence, until)
    await asyncio.to_thread(engine.sync)


@contextmanager
def one_moment(database: Database) -> Iterator[tuple[sa.Connection, list[Position]]]:
    """A transaction that sees one state of the database whatever is written meanwhile, and the positions in it."""
    with database.engine.connect() as connection:
        if database.dialect == SQLITE:
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        columns = quoted(Position.__struct_fields__)
        found = connection.exec_driver_sql(f"SELECT {columns} FROM positions ORDER BY projection, version")
        yield connection, [Position(*values) for values in found]


def _compare(
    connection: sa.Connection,
    live: Database,
    engine: Engine,
    positions: Sequence[Position],
    projections: Sequence[Projection],
    progress: Progress,
) -> Report:
    pairs, not_compared = _pairs(engine, positions, projections)
    pairs.append(("gaps", "gaps", "gaps", Columns(("first_sequence", "last_sequence"), 1, (False,))))
    report = Report(engine.position.sequence, True, [], [], not_compared)
    with engine.database.engine.connect() as beside:
        beside.exec_driver_sql("BEGIN")
        for number, (name, left, other, columns) in enumerate(pairs, 1):
            rows = stored_rows(connection, live.dialect, left, columns)
            refolded = stored_rows(beside, engine.database.dialect, other, columns)
            report.tables.append(compare_table(name, rows, refolded, columns, report.differences))
            progress("compared", number, len(pairs))
    if not not_compared:
        found = _edited(live, engine, projections)
        report.tables += [Compared(one.table, changed=1) for one in found]
        report.differences += found[: SHOWN_MAX - len(report.differences)]
    report.equal = not not_compared and not any(table.different for table in report.tables)
    return report


def _edited(live: Database, engine: Engine, projections: Sequence[Projection]) -> list[Difference]:
    """The names people ask for that are not what they should be: they may have been edited, and not their tables.

    Read in short moments, for which no projector waits; it may be switching, so what is found is looked at again.
    """
    owner = dict.fromkeys(ROWS, INDEX) | {row: p.name for p in projections for row in p.rows}
    joined = [row for projection in projections for row in projection.views if TABLES[row].sql]
    for looks_left in reversed(range(LOOKS)):
        try:
            with one_moment(live) as (connection, positions):
                serving = {p.projection: p.version for p in positions if p.status in (LIVE, STOPPED)}
                tables = [(row, physical(row, serving[owner[row]])) for row, _ in engine.live_tables()]
                found = [
                    Difference(f"view {name}", (), "definition", is_, should)
                    for name, is_, should in edited(connection, definitions(tables, joined))
                ]
            if not found or not looks_left:
                return found
        except (sa.exc.OperationalError, sa.exc.InternalError):
            if not looks_left:
                raise
        except sa.exc.ProgrammingError as error:
            said = str(error.orig).splitlines()[0]
            raise CheckError(f"views cannot be compared ({said}): grant TEMPORARY on the database") from None
        sleep(LOOK_SECONDS)
    raise AssertionError("the last look returns or raises")


_Pair = tuple[str, str, str, Columns]


def _pairs(
    engine: Engine, positions: Sequence[Position], projections: Sequence[Projection]
) -> tuple[list[_Pair], list[str]]:
    """Which live table is to be what scratch table, and what cannot be compared and why."""
    beside = {INDEX: engine.version} | {m.projection.name: m.position.version for m in engine.members}
    rows_of: dict[str, Sequence[type[Row]]] = {INDEX: ROWS} | {p.name: p.rows for p in projections}
    serving = {p.projection: p for p in positions if p.status in (LIVE, STOPPED)}
    pairs: list[_Pair] = []
    cannot: list[str] = []
    for name, rows in rows_of.items():
        position = serving.get(name)
        if position is None:
            cannot.append(f"{name} does not serve yet")
        elif position.status == STOPPED:
            cannot.append(f"{name} stopped after sequence {position.sequence}")
        elif name not in beside:
            cannot.append(f"{name} stopped while it was folded from zero")
        elif position.version.split(REBUILD)[0] != beside[name]:
            cannot.append(f"{name} serves version {position.version}, this program makes {beside[name]}")
        elif position.sequence != engine.position.sequence:
            cannot.append(f"{name} stands at {position.sequence}, not at {engine.position.sequence}")
        else:
            pairs += [
                (row_name(row), physical(row, position.version), physical(row, beside[name]), columns_of(row))
                for row in rows
            ]
            if name == INDEX:
                pairs += [
                    (
                        table,
                        f"{table}__{position.version}",
                        f"{table}__{beside[name]}",
                        Columns(names, 1, (False,)),
                    )
                    for table, names in INTERNAL.items()
                ]
    return pairs, cannot


def row_name(row: type[Row]) -> str:
    """The name of a row type's table without its version."""
    return physical(row, "").removesuffix("__")


def scratch_database(folder: Path) -> Database:
    """An empty database in a folder of its own, to be thrown away."""
    return Database(f"sqlite:///{folder / 'refolded.db'}")
