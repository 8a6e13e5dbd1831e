"""Laws of the past: what was true and known at any moment is what folding only that much would have given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from infra.database import physical
from infra.engine import Engine
from infra.message import Message
from infra.past import Past
from projections.events import EventFlag
from projections.registry import PROJECTIONS
from projections.rows import TABLES
from tests.lab.folding import Scratch, engine_on, messages, shut
from tests.lab.histories import noisy

FEW = settings(max_examples=4, derandomize=True, database=None, deadline=None)
ROWS = [EventFlag, *[row for projection in PROJECTIONS for row in projection.rows]]
Published = list[tuple[str, bytes]]
Tables = dict[str, list[tuple[Any, ...]]]


@FEW
@given(published=noisy(most=25), known=st.integers(0, 30))
def test_the_past_is_what_the_engine_had_then(
    scratch_of_all: Scratch, published: Published, known: int
) -> None:
    log = messages(published)
    engine = engine_on(scratch_of_all.new(), PROJECTIONS)
    engine.apply(log[:known])
    engine.sync()
    then = _tables(engine)
    engine.apply(log)
    engine.sync()
    accepted = _accepted(engine, log[:known])
    shut(engine)

    assert _past(accepted) == then


def _accepted(engine: Engine, log: Sequence[Message]) -> list[Recorded[Payload]]:
    taken = {n for (n,) in engine.database.rows("SELECT sequence FROM events WHERE status = 'accepted'")}
    return [CATALOGUE.read(m.sequence, m.recorded, m.subject, m.body) for m in log if m.sequence in taken]


def _tables(engine: Engine) -> Tables:
    live = dict(engine.live_tables())
    return {
        TABLES[row].name: sorted(engine.database.rows(f"SELECT * FROM {physical(row, live[row])}"))
        for row in ROWS
    }


def _past(events: Iterable[Recorded[Payload]]) -> Tables:
    past = Past(PROJECTIONS)
    for event in events:
        past.take(event)
    past.write()
    found = {
        TABLES[row].name: sorted(
            tuple(values)
            for values in past.connection.exec_driver_sql(f"SELECT * FROM {TABLES[row].name}__past")
        )
        for row in ROWS
    }
    past.close()
    return found
