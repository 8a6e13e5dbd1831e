"""A changed projection is built beside the old one, which serves until the new one is level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from infra.database import BUILDING, LIVE, RETIRED
from infra.engine import Engine
from infra.versions import stage_0_version, version
from projections.documents import Change
from projections.orders import ORDERS
from projections.projection import Projection
from projections.rows import TABLES, Key, Row, Rows, table
from tests.lab.events import log, order
from tests.lab.folding import Scratch, engine_on, folded, shut

EVENTS = log([order(f"O{n}", "D1", ("COLA", n), ("可乐", 1)) for n in range(1, 10)])


def _tally(row: type[Row], modules: tuple[str, ...], *fields: str) -> Projection:
    """A projection that counts: 1 for every order, in each of the fields."""

    def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
        yield row, (change.document.dealer,)

    def fold(change: Change, rows: Rows) -> None:
        held = rows.edit(row, change.document.dealer)
        for field in fields:
            setattr(held, field, getattr(held, field) + 1)

    return Projection("tallies", (row,), frozenset({"order"}), keys, fold, modules)


@pytest.fixture
def old_and_new() -> Iterator[tuple[Projection, Projection]]:
    """Two versions of one projection; the new one's rows have a field more."""

    @table("tallies", key=("dealer",))
    class Old(Row):
        dealer: str
        orders: int = 0

    @table("tallies", key=("dealer",))
    class New(Row):
        dealer: str
        twice: int = 0
        orders: int = 0

    yield (
        _tally(Old, ("projections.orders",), "orders"),
        _tally(New, ("projections.stock",), "orders", "twice"),
    )
    del TABLES[Old], TABLES[New]


def _view(engine: Engine) -> tuple[list[str], list[Any]]:
    columns = [column["name"] for column in sa.inspect(engine.database.engine).get_columns("tallies")]
    return columns, engine.database.rows("SELECT * FROM tallies")


def _positions(engine: Engine) -> dict[str, tuple[str, int]]:
    found = (p for p in engine.database.positions() if p.projection == "tallies")
    return {p.version: (p.status, p.sequence) for p in found}


def test_a_new_version_is_built_beside_and_switched_when_it_is_level(
    scratch: Scratch, old_and_new: tuple[Projection, Projection]
) -> None:
    old, new = old_and_new
    path = scratch.new()
    engine = engine_on(path, (ORDERS, old))
    engine.apply(EVENTS[:6])
    while engine.build():
        pass
    engine.sync()
    shut(engine)

    engine = engine_on(path, (ORDERS, new))
    seen = [(_view(engine), _positions(engine))]
    while engine.build(2):
        seen.append((_view(engine), _positions(engine)))
    engine.apply(EVENTS)
    engine.sync()
    last = _view(engine), _positions(engine)
    shut(engine)

    as_it_was = (["dealer", "orders"], [("D1", 6)])
    assert [view for view, _ in seen] == [as_it_was] * 3
    assert [positions[version(new)] for _, positions in seen] == [(BUILDING, 0), (BUILDING, 2), (BUILDING, 4)]
    assert last[0] == (["dealer", "twice", "orders"], [("D1", 9, 9)])
    assert last[1] == {version(old): (RETIRED, 6), version(new): (LIVE, 9)}


def test_a_version_wanted_again_goes_on_where_it_was_left(
    scratch: Scratch, old_and_new: tuple[Projection, Projection]
) -> None:
    old, new = old_and_new
    path = scratch.new()
    for projection, end in ((old, 3), (new, 6), (old, 9)):
        engine = engine_on(path, (ORDERS, projection))
        engine.apply(EVENTS[:end])
        while engine.build(1):
            pass
        engine.sync()
        view, positions = _view(engine), _positions(engine)
        shut(engine)

    assert view == (["dealer", "orders"], [("D1", 9)])
    assert positions == {version(old): (LIVE, 9), version(new): (RETIRED, 6)}


def test_what_another_program_began_to_build_is_given_up_until_it_comes_back(
    scratch: Scratch, old_and_new: tuple[Projection, Projection]
) -> None:
    old, new = old_and_new
    path = scratch.new()
    folded(path, [EVENTS], (ORDERS, old))

    seen = []
    for projection in (new, old, new):
        engine = engine_on(path, (ORDERS, projection))
        engine.build(2)
        seen.append(_positions(engine))
        shut(engine)

    assert seen == [
        {version(old): (LIVE, 9), version(new): (BUILDING, 2)},
        {version(old): (LIVE, 9), version(new): (RETIRED, 2)},
        {version(old): (LIVE, 9), version(new): (BUILDING, 4)},
    ]


def test_what_was_level_and_not_yet_switched_when_it_was_killed_is_switched_later(
    scratch: Scratch, old_and_new: tuple[Projection, Projection]
) -> None:
    old, new = old_and_new
    path = scratch.new()
    engine = engine_on(path, (ORDERS, old))
    engine.apply(EVENTS)
    engine.build()
    shut(engine)
    engine = engine_on(path, (ORDERS, new))
    while engine.build():
        pass
    [level] = [p for p in engine.database.positions() if p.version == version(new)]
    with engine.database.transaction() as run:
        mark = engine.database.sql.marked
        run(
            mark("UPDATE positions SET status='building', leaf='', chain='' WHERE version=?"),
            (level.version,),
        )
        run(mark("UPDATE positions SET status='live' WHERE version=?"), (version(old),))
    shut(engine)

    engine = engine_on(path, (ORDERS, new))
    engine.build()
    positions = _positions(engine)
    shut(engine)

    assert positions == {version(old): (RETIRED, 9), version(new): (LIVE, 9)}


def test_a_version_tells_projections_apart_by_their_modules_and_stage_0() -> None:
    other = msgspec.structs.replace(ORDERS, modules=("projections.stock",))

    versions = [version(ORDERS), version(other), stage_0_version()]

    assert len(set(versions)) == 3
    assert version(msgspec.structs.replace(ORDERS, name="other")) == version(ORDERS)
