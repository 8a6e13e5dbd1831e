"""A restatement is as old as what it restates: told again later with the same content, no row says anything else."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.event_types import CATALOGUE
from infra.definitions import physical
from infra.engine import Engine
from projections.registry import PROJECTIONS
from projections.rows import TABLES
from tests.lab.databases import Databases
from tests.lab.events import log
from tests.lab.folding import engine_on

EXAMPLES = Path(__file__).parents[3] / "domain" / "examples"
#: Facts that stand under one document and restate each other; steps are true from their own time on.
RESTATING = sorted(
    name for name, entry in CATALOGUE.types.items() if not entry.step and "decisions" not in entry.families
)
#: What says which statement it was, and not what is so.
OF_STATEMENTS = {"sequence", "counted_sequence"}
#: Where every registration is a step: who was declined may apply again, and master data may name another territory.
STEPS = {"dealer_standings", "dealer_territories"}

pytestmark = pytest.mark.integration


def told(engine: Engine) -> dict[tuple[str, ...], dict[str, Any]]:
    """Every row of projections but for what says which statement it was."""
    found = {}
    rows = {row for projection in PROJECTIONS for row in projection.rows}
    for row, version in engine.live_tables():
        entry = TABLES[row]
        if row not in rows or entry.name in STEPS:
            continue
        names = [name for name in row.__struct_fields__ if name not in OF_STATEMENTS]
        columns = ", ".join(f'"{name}"' for name in names)
        for values in engine.database.rows(f"SELECT {columns} FROM {physical(row, version)}"):
            said = [re.sub(r'"said":"[^"]*"', "", one) if isinstance(one, str) else one for one in values]
            found[entry.name, *map(str, values[: len(entry.key)])] = dict(zip(names, said, strict=True))
    return found


@pytest.mark.parametrize("name", RESTATING)
def test_what_is_told_again_later_changes_nothing(files: Databases, name: str) -> None:
    raw = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    later = datetime.fromisoformat(raw["time"]) + timedelta(days=40)
    again = raw | {"id": f"{raw['id']}/again", "time": later.isoformat()}
    again["data"] = raw["data"] | {"x": {"note": "told again"}}
    others = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.json"))]
    engine = engine_on(files.new())
    try:
        messages = list(log([*others, json.dumps(again, ensure_ascii=False).encode()]))
        engine.apply(messages[:-1])
        engine.sync()
        before = told(engine)
        engine.apply(messages[-1:])
        engine.sync()

        assert told(engine) == before
    finally:
        engine.close()
        engine.database.close()
