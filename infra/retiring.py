"""Versions of projections that nothing serves any more: their tables go after a grace."""

from __future__ import annotations

import sqlalchemy as sa

from infra.database import RETIRED, Database, now_us

GRACE_SECONDS = 3600.0


def drop_retired(database: Database, grace_seconds: float) -> list[str]:
    """Drop the tables and positions retired longer ago than the grace; `projection version` of each.

    Tables are found by their version, so those of code that is gone go too.
    """
    positions = database.positions()
    kept = {p.version for p in positions if p.status != RETIRED}
    before = now_us() - int(grace_seconds * 1_000_000)
    dropped = []
    for position in positions:
        if position.status != RETIRED or position.updated > before:
            continue
        suffix = f"__{position.version}"
        tables = [name for name in sa.inspect(database.engine).get_table_names() if name.endswith(suffix)]
        with database.transaction() as run:
            for name in tables if position.version not in kept else ():
                run(f"DROP TABLE {name}", ())
            run(
                database.sql.marked("DELETE FROM positions WHERE projection=? AND version=? AND status=?"),
                (position.projection, position.version, RETIRED),
            )
        dropped.append(f"{position.projection} {position.version}")
    return dropped
