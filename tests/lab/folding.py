"""Events folded on a scratch database, and what its tables then say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from domain.event_types import CATALOGUE
from infra.database import LIVE, Database, physical
from infra.engine import Engine, Log
from infra.message import Message
from projections.projection import Projection
from projections.registry import PROJECTIONS

LOG = Log("store-1", 1)


def engine_on(
    path: Path, projections: Sequence[Projection] = PROJECTIONS, log: Log = LOG, **options: Any
) -> Engine:
    """An engine over the SQLite file, where it was left."""
    return Engine(Database(f"sqlite:///{path}"), CATALOGUE, projections, log, **options)


def folded(path: Path, batches: Iterable[Sequence[Message]], **options: Any) -> dict[str, list[tuple[Any, ...]]]:
    """What all tables say after an engine has folded the batches."""
    engine = engine_on(path, **options)
    try:
        for batch in batches:
            engine.apply(batch)
        engine.sync()
        while engine.build():
            pass
        return tables(engine)
    finally:
        engine.close()
        engine.database.close()


def tables(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """The stored values of every live table, by its unversioned name, in key order."""
    found = {}
    for row, version in engine.live_tables():
        name = physical(row, version)
        found[name.split("__")[0]] = sorted(engine.database.rows(f"SELECT * FROM {name}"))
    return found


def statuses(engine: Engine) -> dict[str, tuple[str, int]]:
    """Status and sequence of every live or stopped position."""
    return {
        p.projection: (p.status, p.sequence)
        for p in engine.database.positions()
        if p.status == LIVE or p.error
    }
