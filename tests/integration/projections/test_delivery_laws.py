"""Laws of deliveries and fulfilments: they follow from the documents that stand, not from how those were learnt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.otif import BUILT_IN, DEFAULT, DISPATCHED, judge
from projections.deliveries import DELIVERIES, Delivery
from projections.fulfilments import Fulfilment
from projections.rows import Row
from tests.lab.databases import Databases
from tests.lab.folding import Worlds, shut
from tests.lab.histories import Fact, facts, histories, void_of

LAW = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    """Histories folded side by side, each under ids of its own."""
    worlds = Worlds(databases.new(), (DELIVERIES,))
    yield worlds
    shut(worlds.engine)


def figures(worlds: Worlds, world: str) -> list[list[Row]]:
    return [list(worlds.rows(Delivery, world)), list(worlds.rows(Fulfilment, world))]


@st.composite
def timed(draw: st.DrawFn, /, **options: Any) -> list[Fact]:
    """A history in which orders ask for and confirmations promise a window, some for one line only."""
    found = []
    for fact in draw(histories(**options)):
        hours = draw(st.sampled_from((None, 1, 24, 200)))
        if hours is not None and fact.type in ("order.placed.v1", "order.confirmed.v1"):
            window = {"from": fact.time, "to": fact.time + hours * HOUR}
            name = "requested" if fact.type == "order.placed.v1" else "promised"
            data = {**fact.data, name: window}
            if name == "promised" and draw(st.booleans()):
                data = {**fact.data, "lines": [{"line": "1", "promised": window}]}
            fact = msgspec.structs.replace(fact, data=data)
        found.append(fact)
    return found


@LAW
@given(history=timed(), data=st.data())
def test_the_order_of_arrival_changes_nothing(worlds: Worlds, history: list[Fact], data: Any) -> None:
    other = data.draw(st.permutations(history))

    assert figures(worlds, worlds.fold(history)) == figures(worlds, worlds.fold(other))


@LAW
@given(history=timed(ties=True), data=st.data())
def test_what_is_sent_again_changes_nothing(worlds: Worlds, history: list[Fact], data: Any) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=6))
    cut = data.draw(st.integers(0, len(history)))

    repeated = worlds.fold(history[:cut], [*history[cut:], *again])

    assert figures(worlds, repeated) == figures(worlds, worlds.fold(history))


@LAW
@given(history=timed(voids=False), data=st.data())
def test_an_event_and_its_void_leave_the_rows_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))
    rest = [fact for fact in history if fact is not gone]

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert figures(worlds, worlds.fold(published)) == figures(worlds, worlds.fold(rest))


@LAW
@given(history=timed(), data=st.data())
def test_a_restatement_replaces_what_was_stated(worlds: Worlds, history: list[Fact], data: Any) -> None:
    last = data.draw(facts("@again", max(fact.time for fact in history) + HOUR))
    lines = [line | {"sku": "TEA"} for line in last.data.get("lines", ())]
    first = msgspec.structs.replace(last, id="@before", data=last.data | ({"lines": lines} if lines else {}))
    where = data.draw(st.integers(0, len(history)))

    restated = worlds.fold([*history[:where], first, *history[where:], last])

    assert figures(worlds, restated) == figures(worlds, worlds.fold([*history, last]))


@LAW
@given(history=timed())
def test_what_is_stored_is_what_the_rules_say_of_the_course(worlds: Worlds, history: list[Fact]) -> None:
    for row in worlds.rows(Fulfilment, worlds.fold(history)):
        came, sent = (judge(row.course, BUILT_IN[name]) for name in (DEFAULT, DISPATCHED))
        assert (row.outcome, row.cause, row.ok, row.lines_ok, row.cases_ok) == (
            *(came.outcome, came.cause, came.ok, came.lines_ok, came.cases_ok),
        )
        assert (row.sent_outcome, row.sent_cause, row.sent_ok, row.sent_cases_ok) == (
            *(sent.outcome, sent.cause, sent.ok, sent.cases_ok),
        )
