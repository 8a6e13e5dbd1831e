"""How fast `qudao verify` reads the log again, beside reading alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.figures import Report
from bench.raw import raw_pull
from domain.event_types import CATALOGUE
from infra.database import Database
from infra.jetstream import connect
from infra.verifying import verify

TIMES = 3


def verifying(report: Report, database: Path, nats: str) -> Report:
    """Hold a log to the database that was folded from it, in turns with pulling it and doing nothing."""
    asyncio.run(_verify(report, database, nats))
    return report


async def _verify(report: Report, path: Path, nats: str) -> None:
    pulled, verified = [], []
    for _ in range(TIMES):
        pulled.append(await raw_pull(nats, lambda body: body))
        verified.append(await _verified(path, nats))
    report.add(
        "verify the log",
        median(verified),
        "events/s",
        limit=median(pulled),
        limited_by="pull alone",
        least_ratio=0.5,
    )


async def _verified(path: Path, nats: str) -> float:
    database = Database(f"sqlite:///{path}", read_only=True)
    client = await connect(nats, "bench")
    began = perf_counter()
    found = await verify(client, database, None, CATALOGUE, lambda done, at, last: None)
    seconds = perf_counter() - began
    await client.close()
    database.close()
    assert found.checked, "there was nothing to hold the log to"
    assert not found.findings, found.findings
    return found.sequence / seconds
