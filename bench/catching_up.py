"""How fast a projector catches up with a filled log, by stage and by projection."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from bench.figures import Report
from bench.raw import raw_pull
from cli.simulation import events
from cli.simulation.publishing import publish
from consumers.projector import spare_the_collector
from domain.catalogue import Rejected
from domain.envelope import Envelope
from domain.event_types import CATALOGUE
from infra.append import Appender
from infra.database import Database
from infra.engine import Engine
from infra.jetstream import connect
from infra.positions import Log
from infra.reader import Reader
from infra.stream import stream_state
from projections.projection import Projection
from projections.registry import PROJECTIONS
from tests.lab.databases import postgresql


def _decode(body: bytes) -> Envelope | None:
    try:
        return CATALOGUE.parse(body)
    except Rejected:  # the simulated publishers make mistakes too
        return None


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("bench.db*"))


def fill(url: str, count: int) -> None:
    """Append a simulated year."""

    async def append() -> None:
        client = await connect(url, "bench")
        await publish(Appender(client), events(1, events=count), batch=1000)
        await client.close()

    asyncio.run(append())


def catching_up(report: Report, url: str, folder: Path) -> Report:
    """Pull and decode everything, then pull and fold everything; the second as a ratio of the first.

    To be called in a process of its own: the memory is that of the whole process.
    """
    asyncio.run(_catch_up(report, url, folder))
    return report


async def _catch_up(report: Report, url: str, folder: Path) -> None:
    spare_the_collector()
    report.add("pull alone", await raw_pull(url, lambda body: body), "events/s")
    raw = await raw_pull(url, _decode)
    report.add("pull and decode", raw, "events/s")
    engine, seconds = await folded(url, f"sqlite:///{folder / 'bench.db'}")
    count = engine.position.sequence
    report.add(
        "catch up with all projections",
        count / seconds,
        "events/s",
        limit=raw,
        limited_by="pull and decode",
        least_ratio=0.15,
    )
    report.add("catch up, in all", seconds / count * 1e6, "µs/event")
    for stage, spent in engine.seconds.items():
        report.add(f"  stage {stage}", spent / count * 1e6, "µs/event")
    for name, spent in engine.seconds_by_projection.items():
        report.add(f"  projection {name}", spent / count * 1e6, "µs/event")
    report.add("rows loaded singly", float(engine.single_reads), "rows")
    close(engine)
    report.add("database on disk", bytes_of(folder) / count, "bytes/event")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report.add("resident memory at its peak", peak, "MB", most=400)
    with postgresql(settings={}) as server:  # as careful as it is by itself
        engine, seconds = await folded(url, server.new())
        close(engine)
    report.add(
        "catch up with all projections on PostgreSQL",
        count / seconds,
        "events/s",
        limit=raw,
        limited_by="pull and decode",
        least_ratio=0.08,
    )


async def folded(
    url: str, database: str, projections: Sequence[Projection] = PROJECTIONS
) -> tuple[Engine, float]:
    """An engine that has folded the whole log into an empty database, and the seconds it took."""
    client = await connect(url, "bench")
    state = await stream_state(client)
    engine = Engine(Database(database), CATALOGUE, projections, Log(state.store_id, state.created))
    began = perf_counter()
    async with Reader(client, until=state.last_sequence) as reader:
        async for batch in reader:
            engine.apply(batch)
    engine.sync()
    seconds = perf_counter() - began
    await client.close()
    return engine, seconds


def close(engine: Engine) -> None:
    engine.close()
    engine.database.close()
