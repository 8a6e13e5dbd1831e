"""What stops the engine or one projection stops it exactly there, and nothing is lost or doubled after."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa

from domain.event_types import CATALOGUE
from infra.database import (
    BUILDING,
    LIVE,
    RETIRED,
    STOPPED,
    Commit,
    Database,
    FenceError,
    Position,
    Transaction,
)
from infra.engine import Engine
from infra.positions import Log, LogError, insert_position
from infra.writer import CommitFailedError
from projections.documents import Change
from projections.projection import Projection
from projections.rows import TABLES, Key, Row, Rows
from projections.stock import STOCK
from projections.stock_rows import StockLevel
from tests.lab.databases import Where
from tests.lab.events import HOUR, NOON, counted, dispatched, log, moved, order, received, voided
from tests.lab.folding import CORE, LOG, Scratch, database_on, engine_on, folded, shut, statuses, tables
from tests.simulation.run import Program

BAD = 6  # the sequence of the marked event
EVENTS = log(
    [
        order(id="o1"),
        dispatched(order="O1", from_="WH"),
        received(accepted=4, short=1),
        moved("M1", "D1", "in", 5, time=NOON + HOUR),
        counted("C1", "D1", NOON + 2 * HOUR, ("COLA", 20)),
        moved("M2", "D1", "out", 3, time=NOON + 3 * HOUR, id="bad"),
        moved("M3", "D1", "out", 4, time=NOON + 4 * HOUR),
        voided("o1"),
        order("O2"),
    ]
)


def test_a_hole_folds_nothing_beyond_it(scratch: Scratch) -> None:
    engine = engine_on(scratch.new(), CORE)
    engine.apply(EVENTS[:3])

    with pytest.raises(LogError, match="after sequence 3 came 5"):
        engine.apply(EVENTS[4:])
    engine.sync()
    before = tables(engine)
    engine.apply(EVENTS[3:])
    engine.sync()
    after = tables(engine)
    shut(engine)

    assert before == folded(scratch.new(), [EVENTS[:3]])
    assert after == folded(scratch.new(), [EVENTS])


def test_a_hole_within_a_batch_folds_nothing_of_it(scratch: Scratch) -> None:
    engine = engine_on(scratch.new(), CORE)

    with pytest.raises(LogError, match="after sequence 2 came 4"):
        engine.apply([*EVENTS[:2], *EVENTS[3:]])
    engine.sync()
    found = tables(engine)
    shut(engine)

    assert not any(found.values())


def test_a_second_engine_over_one_file_fences_the_first(scratch: Scratch) -> None:
    path = scratch.new()
    first, second = engine_on(path, CORE), engine_on(path, CORE)
    second.apply(EVENTS[:4])
    second.sync()

    first.apply(EVENTS)
    with pytest.raises(CommitFailedError) as raised:
        first.sync()
    second.apply(EVENTS)
    second.sync()
    found = tables(second)
    shut(first)
    shut(second)

    assert isinstance(raised.value.__cause__, FenceError)
    assert found == folded(scratch.new(), [EVENTS])


def test_an_engine_that_reads_what_another_wrote_says_so(scratch: Scratch) -> None:
    path = scratch.new()
    first, second = engine_on(path, CORE), engine_on(path, CORE)
    restated = log([order(id="e1"), order("O1", "D1", ("COLA", 2), id="e2"), voided("e2")])
    first.apply(restated[:1])
    first.sync()
    second.reset()
    second.apply(restated[:2])
    second.sync()

    with pytest.raises(FenceError, match="another projector writes"):
        first.apply(restated[1:])
    shut(first)
    shut(second)


class Faltering(Database):
    """A database whose disk is full at one commit, in the middle of it."""

    falters = -1

    def commit(self, commit: Commit, transaction: Transaction | None = None) -> None:
        self.falters -= 1
        if self.falters == 0:
            with self.transaction() as run:
                for sql, parameters in commit.statements:
                    run(sql, parameters)
                raise OSError("the disk is full")
        super().commit(commit, transaction)


@pytest.mark.parametrize("falters", [1, 2, 4])
def test_after_a_failed_commit_the_log_is_folded_again_from_what_is_on_disk(
    scratch: Scratch, falters: int
) -> None:
    database = database_on(scratch.new(), Faltering)
    engine = Engine(database, CATALOGUE, CORE, LOG, events_max=1)
    database.falters = falters

    with pytest.raises(CommitFailedError):
        _follow(engine)
    engine.reset()
    reached = engine.position.sequence
    _follow(engine)
    found = tables(engine)
    shut(engine)

    assert reached == falters - 1
    assert found == folded(scratch.new(), [EVENTS])


def _follow(engine: Engine) -> None:
    for message in EVENTS:
        engine.apply([message])
    engine.sync()


def test_after_a_reset_nothing_is_given_up_that_is_not_on_disk_again(scratch: Scratch) -> None:
    engine = engine_on(scratch.new(), CORE, rows_max=1)
    empty = engine.database.positions()
    engine.apply(EVENTS)
    engine.sync()
    with engine.database.transaction() as run:  # as a restored backup leaves it
        for name in _tables(engine):
            run(f"DELETE FROM {name}", ())
        for position in empty:
            where = (position.projection, position.version)
            zero = "UPDATE positions SET sequence=0, leaf='', chain='' WHERE projection=? AND version=?"
            run(engine.database.sql.marked(zero), where)

    engine.reset()
    _follow(engine)
    found = tables(engine)
    shut(engine)

    assert found == folded(scratch.new(), [EVENTS])


def _tables(engine: Engine) -> list[str]:
    return [name for name in sa.inspect(engine.database.engine).get_table_names() if "__" in name]


@pytest.mark.parametrize("other", [Log("store-2", 1), Log("store-1", 2)])
def test_another_log_than_the_database_was_made_from_is_refused(scratch: Scratch, other: Log) -> None:
    path = scratch.new()

    with pytest.raises(LogError, match="made from the log store-1"):
        engine_on(path, CORE, log=other)


def test_a_log_that_ends_before_the_position_is_refused(scratch: Scratch) -> None:
    engine = engine_on(scratch.new(), CORE)
    engine.apply(EVENTS)

    with pytest.raises(LogError, match="it was cut"):
        engine.check_log(LOG, len(EVENTS) - 1)
    shut(engine)


# a fold that raises


def _fold_that_raises(change: Change, rows: Rows) -> None:
    if change.event.event.id == "bad":
        STOCK.fold(change, rows)  # what it wrote before it raised must not stay
        raise ZeroDivisionError("one part of nothing")
    STOCK.fold(change, rows)


def _keys_that_raise(change: Change) -> Iterator[tuple[type[Row], Key]]:
    if change.event.event.id == "bad":
        raise ZeroDivisionError("one part of nothing")
    yield from STOCK.keys(change)


def _broken(**parts: Any) -> Projection:
    return Projection(**{name: getattr(STOCK, name) for name in STOCK.__struct_fields__} | parts)


def _fold_too_much(change: Change, rows: Rows) -> None:
    STOCK.fold(change, rows)
    if change.event.event.id == "bad":
        rows.edit(StockLevel, "D1", "COLA", "").on_hand = D(10) ** 22 + 5


def _with(broken: Projection) -> tuple[Projection, ...]:
    return tuple(broken if p.name == broken.name else p for p in CORE)


BROKEN = [
    pytest.param(_broken(fold=_fold_that_raises), id="fold"),
    pytest.param(_broken(keys=_keys_that_raise), id="keys"),
    pytest.param(_broken(fold=_fold_too_much), id="a figure no column holds"),
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("size", [1, 3, len(EVENTS)])
@pytest.mark.parametrize("committed", [1, 4])
def test_a_fold_that_raises_stops_its_projection_before_the_event_and_no_other(
    scratch: Scratch, broken: Projection, size: int, committed: int
) -> None:
    engine = engine_on(scratch.new(), _with(broken), events_max=committed)
    for start in range(0, len(EVENTS), size):
        engine.apply(EVENTS[start : start + size])
    engine.sync()
    stopped, whole = statuses(engine), tables(engine)
    fell = stopped.pop("stock")
    [error] = [p.error for p in engine.database.positions() if p.projection == "stock"]
    shut(engine)

    before, after = folded(scratch.new(), [EVENTS[: BAD - 1]]), folded(scratch.new(), [EVENTS])
    assert fell == (STOPPED, BAD - 1)
    assert stopped == dict.fromkeys(stopped, (LIVE, 9))
    assert error.startswith("stock.moved.v1 at sequence 6:\nTraceback")
    assert (
        "ZeroDivisionError: one part of nothing" in error or "OverflowError: 1000000000000000000000" in error
    )
    assert whole == {name: (before if name in _of_stock() else after)[name] for name in after}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_repaired_fold_catches_up_and_serves(scratch: Scratch, broken: Projection) -> None:
    path = scratch.new()
    folded(path, [EVENTS[:7]], projections=_with(broken))
    still = engine_on(path, _with(broken))
    still.build()
    still.apply(EVENTS[:8])
    still.sync()
    waiting = statuses(still)
    shut(still)

    repaired = engine_on(path, CORE)
    while repaired.build(1):
        pass
    repaired.apply(EVENTS)
    repaired.sync()
    done, found = statuses(repaired), tables(repaired)
    shut(repaired)

    assert waiting["stock"] == (STOPPED, BAD - 1)
    assert done == dict.fromkeys(done, (LIVE, 9))
    assert found == folded(scratch.new(), [EVENTS])


def test_a_version_and_its_rebuild_that_both_stopped_are_mended_together(scratch: Scratch) -> None:
    path = scratch.new()
    engine = engine_on(path, _with(_broken(fold=_fold_that_raises)))
    engine.apply(EVENTS)
    engine.sync()
    [stopped] = [p for p in engine.database.positions() if p.status == STOPPED]
    beside = Position("stock", f"{stopped.version}r1", BUILDING, 0, LOG.store_id, LOG.created)
    insert_position(engine.database, beside)
    engine.look_for_rebuilds()
    while engine.build():
        pass
    shut(engine)

    engine = engine_on(path, CORE)
    while engine.build():
        pass
    positions = [p for p in engine.database.positions() if p.projection == "stock"]
    found = tables(engine)
    shut(engine)

    assert sorted(p.status for p in positions) == [LIVE, RETIRED]
    assert found == folded(scratch.new(), [EVENTS])


def _another_that_stops(where: Where) -> Engine:
    """One program has folded everything; another, whose stock raises, has begun anew beside it."""
    folded(where, [EVENTS])
    engine = Program(1, database_on(where), CATALOGUE, _with(_broken(fold=_fold_that_raises)), LOG)
    engine.apply(EVENTS)
    return engine


def test_what_stopped_in_a_program_that_gave_way_again_is_no_fault_for_ever(scratch: Scratch) -> None:
    path = scratch.new()
    engine = _another_that_stops(path)
    shut(engine)

    engine = engine_on(path, CORE)
    positions = engine.database.positions()
    shut(engine)

    assert {p.status for p in positions} == {LIVE, RETIRED}


def test_what_stops_while_another_program_takes_over_serves_what_it_has_and_says_why(
    scratch: Scratch,
) -> None:
    engine = _another_that_stops(scratch.new())
    engine.promote()
    stock = [p for p in engine.database.positions() if p.projection == "stock" and p.status != RETIRED]
    shown = engine.database.rows("SELECT * FROM stock_moves ORDER BY 1, 2, 3, 4, 5, 6")
    shut(engine)

    assert [(p.status, p.sequence) for p in stock] == [(STOPPED, BAD - 1)]
    assert "one part of nothing" in stock[0].error
    assert shown == folded(scratch.new(), [EVENTS[: BAD - 1]])["stock_moves"]


def _of_stock() -> set[str]:
    return {TABLES[row].name for row in STOCK.rows}
