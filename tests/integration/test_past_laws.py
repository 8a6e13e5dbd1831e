"""Laws of the past: what was true and known at any moment is what folding only that much would have given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.query import read_query
from api.reading import Opened, read_page, shown
from api.views import View
from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from infra.database import physical
from infra.engine import Engine
from infra.message import Message
from infra.past import Past
from projections.events import EventFlag
from projections.registry import PROJECTIONS
from projections.rows import TABLES
from tests.lab.databases import Where
from tests.lab.events import body, dispatched, log, moved, order, voided
from tests.lab.folding import Scratch, engine_on, messages, shut
from tests.lab.histories import DEALERS, noisy
from tests.lab.year import VIEWS, opened_on

LATER = datetime(2026, 7, 1, tzinfo=UTC)
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


@FEW
@given(
    published=noisy(most=25), dealer=st.sampled_from(DEALERS), place=st.sampled_from((*DEALERS, "@WH", "@S1"))
)
def test_what_is_asked_of_a_dealer_or_a_place_is_folded_from_all_that_bears_on_it(
    scratch_of_all: Scratch, published: Published, dealer: str, place: str
) -> None:
    """Folded again from what bears on it, it says what the live tables say, which are made of everything."""
    _assert_folded_again_alike(scratch_of_all.new(), messages(published), dealer, place)


def test_what_is_on_order_at_a_place_knows_deliveries_that_do_not_name_it(scratch_of_all: Scratch) -> None:
    said = [
        dispatched("L0", "D2"),
        order("O1", "D1", ("COLA", 10), ship_to={"id": "WH"}),
        dispatched("L1", "D1", ("COLA", 4), order="O1"),
    ]

    _assert_folded_again_alike(scratch_of_all.new(), log(said), "D1", "WH")


def test_withdrawing_what_is_not_ones_own_is_flagged_in_the_past_too(scratch_of_all: Scratch) -> None:
    said = [order("O1", "D2", id="theirs"), voided("theirs", dealer="D1")]

    _assert_folded_again_alike(scratch_of_all.new(), log(said), "D1", "D2")


def test_stock_that_others_move_to_a_dealers_own_locations_is_the_dealers(scratch_of_all: Scratch) -> None:
    said = [
        body("location.registered.v1", location="D1-STORE", kind="store", dealer="D1"),
        body("dealer.registered.v1", dealer="D1", name="某某商行"),
        moved("M1", "WH", "transfer", 5, to_location="D1-STORE", dealer="D2"),
    ]

    _assert_folded_again_alike(scratch_of_all.new(), log(said), "D1", "D1-STORE")


def _assert_folded_again_alike(where: Where, said: Sequence[Message], dealer: str, place: str) -> None:
    opened = opened_on(where, said)
    for view in VIEWS.values():
        for by, name in (("dealer", dealer), ("location", place)):
            if view.explained and by in view.fields:
                known = _asked(opened, view, (by, name), ("known_at", str(len(said))))
                assert known == _asked(opened, view, (by, name)), (view.name, by, name)
    opened.close()


def _asked(opened: Opened, view: View, *said: tuple[str, str]) -> list[dict[str, Any]]:
    return shown(read_page(opened, view, read_query(view, [*said, ("limit", "1000")]), LATER))


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
