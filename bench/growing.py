"""Whether an event costs more the more there are: segments of one long catch-up, table by table.

To be asked for: `python -m bench --only growth --events 2000000` takes a quarter of an hour on a quiet machine.
"""

from __future__ import annotations

import asyncio
import resource
from copy import copy
from pathlib import Path
from time import perf_counter, process_time

from msgspec import Struct

from bench.catching_up import bytes_of
from bench.figures import Report
from bench.watching import Cost, WatchedDatabase
from cli.simulation import events
from cli.simulation.publishing import publish
from consumers.projector import spare_the_collector
from domain.event_types import CATALOGUE
from infra.append import Appender
from infra.engine import Engine
from infra.jetstream import connect
from infra.positions import Log
from infra.reader import Reader
from infra.stream import create_stream, stream_state
from projections.registry import PROJECTIONS

SEGMENT = 100_000
EARLY = 200_000
SHARE_MIN = 1.0  # µs of an event at either time: what costs less is not told
ROWS_MIN = 0.05


class Mark(Struct):
    """What everything had cost up to a sequence."""

    sequence: int
    seconds: float
    cpu: float
    stages: dict[str, float]
    tables: dict[str, Cost]
    bytes: int


def filling(url: str, count: int) -> None:
    """Append so many events, and a few more: repeats are not stored."""
    asyncio.run(_fill(url, count))


async def _fill(url: str, count: int) -> None:
    client = await connect(url, "bench")
    await create_stream(client)
    # Of a longer year than is sent: at the end of its year a channel only pays and delivers.
    stream = events(1, events=count + count // 5)
    await publish(Appender(client), stream, batch=1000, limit=count + count // 50)
    await client.close()


def growing(report: Report, url: str, folder: Path, count: int) -> Report:
    """Fold a log, and compare what an event costs early and late. In a process of its own."""
    asyncio.run(_grow(report, url, folder, count))
    return report


async def _grow(report: Report, url: str, folder: Path, count: int) -> None:
    client = await connect(url, "bench")
    state = await stream_state(client)
    stored = sum(file.stat().st_size for file in (folder / "nats").rglob("*.blk"))
    report.add("log on disk", stored / state.last_sequence, "bytes/event")
    spare_the_collector()
    database = WatchedDatabase(f"sqlite:///{folder / 'bench.db'}")
    engine = Engine(database, CATALOGUE, PROJECTIONS, Log(state.store_id, state.created))
    began, marks = perf_counter(), [_mark(engine, database, folder, 0)]
    async with Reader(client, until=min(count, state.last_sequence)) as reader:
        async for batch in reader:
            engine.apply(batch)
            if engine.position.sequence >= len(marks) * SEGMENT:
                engine.sync()
                marks.append(_mark(engine, database, folder, perf_counter() - began))
                _tell(marks)
    await client.close()
    engine.close()
    database.close()
    _report(report, marks)


def _mark(engine: Engine, database: WatchedDatabase, folder: Path, seconds: float) -> Mark:
    return Mark(
        engine.position.sequence,
        seconds,
        process_time(),
        dict(engine.seconds),
        {name: copy(cost) for name, cost in database.costs.items()},
        bytes_of(folder),
    )


def _tell(marks: list[Mark]) -> None:
    before, now = marks[-2:]
    count = now.sequence - before.sequence
    wall, cpu = [(end - start) / count * 1e6 for start, end in _spent(before, now)]
    print(
        f"    up to {now.sequence:>9,}: {cpu:6.1f} µs of the processor an event, {wall:6.1f} in all",
        flush=True,
    )


def _spent(before: Mark, now: Mark) -> list[tuple[float, float]]:
    return [(before.seconds, now.seconds), (before.cpu, now.cpu)]


def _report(report: Report, marks: list[Mark]) -> None:
    """The segment that ends at the early sequence beside the last."""
    number = min(EARLY // SEGMENT, len(marks) - 1)
    early, late = (marks[number - 1], marks[number]), (marks[-2], marks[-1])
    first, last = _costs(*early), _costs(*late)
    where = f"at {early[1].sequence:,}"
    name = f"an event at {late[1].sequence:,}"
    both = {"limited_by": where}
    report.add(f"{name}, processor", last["cpu"], "µs/event", limit=first["cpu"], most_ratio=1.5, **both)
    report.add(f"{name}, in all", last["wall"], "µs/event", limit=first["wall"], **both)
    for stage in sorted(set(last) - {"cpu", "wall"}):
        if max(last[stage], first.get(stage, 0)) >= SHARE_MIN:
            report.add(f"  {stage}", last[stage], "µs/event", limit=first.get(stage), **both)
    for table in late[1].tables:
        rows = [_cost(*segment, table) for segment in (early, late)]
        for what in ("read", "written"):
            then, now = [
                getattr(cost, what) / (s[1].sequence - s[0].sequence)
                for cost, s in zip(rows, (early, late), strict=True)
            ]
            if max(then, now) >= ROWS_MIN:
                report.add(f"  {table}, rows {what}", now, "rows/event", limit=then or None, **both)
    for mark in (early[1], late[1]):
        report.add(f"database on disk at {mark.sequence:,}", mark.bytes / mark.sequence, "bytes/event")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report.add(f"resident memory at its peak, {late[1].sequence:,}", peak, "MB")


def _cost(before: Mark, now: Mark, table: str) -> Cost:
    return now.tables.get(table, Cost()).since(before.tables.get(table, Cost()))


def _costs(before: Mark, now: Mark) -> dict[str, float]:
    """µs of an event: all of it, by stage, and by table."""
    count = now.sequence - before.sequence
    wall, cpu = [(end - start) / count * 1e6 for start, end in _spent(before, now)]
    found = {"wall": wall, "cpu": cpu}
    for stage, seconds in now.stages.items():
        found[f"stage {stage}"] = (seconds - before.stages.get(stage, 0.0)) / count * 1e6
    for table in now.tables:
        cost = _cost(before, now, table)
        found[f"table {table}, reading"] = cost.reading / count * 1e6
        found[f"table {table}, writing"] = cost.writing / count * 1e6
    return found
