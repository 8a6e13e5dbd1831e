"""Laws of what the company sets: targets and policies are what the statements that stand say, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.policies import POLICIES, PolicyVersion
from projections.target_plans import TargetHistory, TargetPlan
from projections.targets import TARGETS
from tests.lab.databases import Databases
from tests.lab.folding import Worlds, shut
from tests.lab.histories import BEGIN, HOUR, Fact, void_of

LAW = settings(max_examples=25, derandomize=True, database=None, deadline=None)


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    worlds = Worlds(databases.new(), (POLICIES, TARGETS))
    yield worlds
    shut(worlds.engine)


@st.composite
def facts(draw: st.DrawFn, id: str, time: datetime) -> Fact:
    """One statement about one of two targets, or a version of one of two policies."""
    value = draw(st.sampled_from(["1", "2.5", "900"]))
    if draw(st.booleans()):
        data = {"policy": draw(st.sampled_from(["@A", "@B"])), "kind": "calendar", "effective": time}
        return Fact(
            "policy.published.v1",
            id,
            time,
            data | {"version": draw(st.sampled_from("12")), "body": {"n": value}},
        )
    how = draw(st.sampled_from(["set", "revised"]))
    scope = {"dealer": draw(st.sampled_from([None, "@D1"])), "skus": draw(st.sampled_from([[], ["COLA"]]))}
    about = {"measure": "quantity", "flow": "primary", "from": BEGIN, "to": time + timedelta(days=90)}
    scope = {name: held for name, held in scope.items() if held}
    data = {"target": draw(st.sampled_from(["@T1", "@T2"])), "scope": scope, "value": value}
    return Fact(f"target.{how}.v1", id, time, data | about)


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    hours = draw(st.lists(st.integers(0, 300), min_size=2, max_size=10, unique=True))
    return [draw(facts(f"@e{number}", BEGIN + hour * HOUR)) for number, hour in enumerate(hours)]


def rows(worlds: Worlds, *batches: list[Fact]) -> list[Any]:
    """What is set, and every value it was set to by the time of that, without the sequences they came with."""
    world = worlds.fold(*batches)
    plans, versions = worlds.rows(TargetPlan, world), worlds.rows(PolicyVersion, world)
    for row in (*plans, *versions):
        row.sequence = 0
    history = sorted(
        (h.target, h.stated, h.value, h.to_day) for h in worlds.rows(TargetHistory, world) if h.stated
    )
    return [plans, versions, history]


@LAW
@given(history=histories(), data=st.data())
def test_what_is_set_depends_neither_on_the_order_of_arrival_nor_on_batches(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    other = data.draw(st.permutations(history))

    assert rows(worlds, history) == rows(worlds, *[[fact] for fact in other])


@LAW
@given(history=histories(), data=st.data())
def test_a_statement_and_its_void_leave_what_is_set_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert rows(worlds, published) == rows(worlds, [fact for fact in history if fact is not gone])
