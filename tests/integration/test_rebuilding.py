from __future__ import annotations

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from infra.database import BUILDING, LIVE, RETIRED, Commit, Move
from infra.engine import Engine
from infra.rebuilding import RebuildError, ask_for_rebuild, still_building
from infra.retiring import drop_retired
from projections.registry import PROJECTIONS
from tests.lab.databases import Databases, Where
from tests.lab.events import log, order
from tests.lab.folding import engine_on, tables

pytestmark = pytest.mark.integration

[ORDERS] = [projection for projection in PROJECTIONS if projection.name == "orders"]


def filled(where: Where, number: int = 30) -> Engine:
    engine = engine_on(where)
    engine.apply(log([order(f"SO-{n}", f"D{n % 3}", ("COLA", n + 1)) for n in range(number)]))
    engine.sync()
    return engine


def end(engine: Engine) -> None:
    engine.close()
    engine.database.close()


def statuses_of(engine: Engine, projection: str = "orders") -> dict[str, str]:
    return {p.version: p.status for p in engine.database.positions() if p.projection == projection}


def test_a_rebuild_says_what_the_old_tables_said_and_retires_them(database: Where) -> None:
    engine = filled(database)
    before = tables(engine)

    wanted = ask_for_rebuild(engine.database, [ORDERS])
    engine.look_for_rebuilds()
    while engine.build(limit=7):
        pass

    assert not still_building(engine.database, wanted)
    assert statuses_of(engine) == {wanted["orders"]: LIVE, wanted["orders"].removesuffix("r1"): RETIRED}
    assert tables(engine) == before
    end(engine)


def test_a_rebuild_killed_at_any_step_is_gone_on_with(databases: Databases) -> None:
    for steps in range(1, 5):
        database = databases.new()
        engine = filled(database)
        before = tables(engine)
        wanted = ask_for_rebuild(engine.database, [ORDERS])
        engine.look_for_rebuilds()
        for _ in range(steps):
            engine.build(limit=7)
        end(engine)

        again = engine_on(database)
        assert ask_for_rebuild(again.database, [ORDERS]) == wanted or not still_building(
            again.database, wanted
        )
        while again.build(limit=7):
            pass

        assert not still_building(again.database, wanted)
        assert tables(again) == before
        end(again)


def test_a_rebuild_killed_when_it_was_level_and_not_yet_switched_is_switched(database: Where) -> None:
    engine = filled(database)
    wanted = ask_for_rebuild(engine.database, [ORDERS])
    engine.look_for_rebuilds()
    while engine.behind[0].position.sequence < 28:
        engine.build(limit=7)
    [built] = still_building(engine.database, wanted)
    level = replace(built, sequence=engine.position.sequence)
    engine.database.commit(Commit((), (Move(built, level),)))
    end(engine)

    again = engine_on(database)
    while again.build():
        pass

    assert statuses_of(again)[wanted["orders"]] == LIVE
    end(again)


def test_asking_twice_asks_once_and_after_it_served_again(database: Where) -> None:
    engine = filled(database)
    first = ask_for_rebuild(engine.database, [ORDERS])
    assert ask_for_rebuild(engine.database, [ORDERS]) == first
    engine.look_for_rebuilds()
    while engine.build():
        pass

    second = ask_for_rebuild(engine.database, [ORDERS])

    assert second["orders"] == first["orders"].replace("r1", "r2")
    assert statuses_of(engine)[second["orders"]] == BUILDING
    end(engine)


def test_where_nothing_serves_there_is_nothing_to_rebuild(database: Where) -> None:
    engine = filled(database)
    with engine.database.transaction() as run:
        run("DELETE FROM positions", ())

    with pytest.raises(RebuildError, match="start a projector"):
        ask_for_rebuild(engine.database, [ORDERS])
    end(engine)


def test_tables_that_serve_no_more_go_after_the_grace_and_the_others_stay(database: Where) -> None:
    engine = filled(database)
    wanted = ask_for_rebuild(engine.database, [ORDERS])
    engine.look_for_rebuilds()
    while engine.build():
        pass
    before = tables(engine)

    early = drop_retired(engine.database, 3600)
    late = drop_retired(engine.database, 0)

    old = wanted["orders"].removesuffix("r1")
    assert (early, late) == ([], [f"orders {old}"])
    assert statuses_of(engine) == {wanted["orders"]: LIVE}
    assert tables(engine) == before
    left = sa.inspect(engine.database.engine).get_table_names()
    assert not any(name.endswith(f"__{old}") for name in left)
    end(engine)
