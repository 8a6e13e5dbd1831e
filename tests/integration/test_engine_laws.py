"""Laws of the engine: how the log comes in pieces, twice or after a restart changes nothing in any table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import engine as engines
from infra.database import BUILDING, Position
from infra.engine import Engine
from infra.positions import insert_position
from projections.registry import PROJECTIONS
from tests.lab.folding import CORE, LOG, Scratch, engine_on, folded, messages, shut, split, tables
from tests.lab.histories import noisy, repeated

LAW = settings(max_examples=4, derandomize=True, database=None, deadline=None)
FEW = settings(LAW, max_examples=2)  # with every projection there is

Published = list[tuple[str, bytes]]
logs = noisy(most=25)
cuts = st.lists(st.integers(0, 99), max_size=6)
commits = st.integers(1, 9)  # events folded before they are committed


@LAW
@given(published=logs, ends=cuts)
def test_any_split_into_batches_gives_the_same_tables(
    scratch: Scratch, published: Published, ends: list[int]
) -> None:
    log = messages(published)

    one_by_one = folded(scratch.new(), [[message] for message in log], events_max=1)

    assert folded(scratch.new(), [log]) == folded(scratch.new(), split(log, ends)) == one_by_one


@LAW
@given(published=logs, data=st.data())
def test_messages_delivered_again_change_nothing(scratch: Scratch, published: Published, data: Any) -> None:
    log = messages(published)
    batches = []
    done = 0
    while done < len(log):
        start = data.draw(st.integers(0, done))
        done = data.draw(st.integers(done + 1, len(log)))
        again = data.draw(st.integers(start, done))
        batches.append([*log[start:done], *log[start:again]])  # overlapping, and again within the batch

    often = folded(scratch.new(), batches, events_max=data.draw(commits))
    assert often == folded(scratch.new(), [log])


@LAW
@given(published=logs, ends=cuts, data=st.data())
def test_a_restart_anywhere_changes_nothing(
    scratch: Scratch, published: Published, ends: list[int], data: Any
) -> None:
    log, path = messages(published), scratch.new()
    left = []
    for batch in split(log, ends):
        engine = engine_on(path, CORE)
        engine.apply(batch)
        engine.sync()
        if data.draw(st.booleans()):
            shut(engine)
        else:
            left.append(engine)  # killed: it had no time to close anything

    again = folded(path, [])

    for engine in left:
        shut(engine)
    assert again == folded(scratch.new(), [log])


@LAW
@given(published=logs, ends=cuts)
def test_caches_too_small_for_anything_give_the_same_tables(
    scratch: Scratch, published: Published, ends: list[int]
) -> None:
    log = messages(published)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "BYTES_MAX", 1)
        patch.setattr("infra.documents.IDENTITIES_KEPT", 1)
        engine = engine_on(scratch.new(), CORE, rows_max=1)
        for batch in split(log, ends):
            engine.apply(batch)
            engine.sync()
        small = tables(engine)
        shut(engine)

    assert small == folded(scratch.new(), [log])


@LAW
@given(published=logs, data=st.data())
def test_duplicates_sent_later_change_only_the_index(
    scratch: Scratch, published: Published, data: Any
) -> None:
    copies = data.draw(st.lists(st.sampled_from(published), min_size=1, max_size=9))

    log = messages(published)
    more = messages([repeated(*copy) for copy in copies], after=len(log))
    once, twice = folded(scratch.new(), [log]), folded(scratch.new(), [log, more])

    index = {"events", "rejections", "event_names"}
    assert {k: v for k, v in once.items() if k not in index} == {
        k: v for k, v in twice.items() if k not in index
    }


@FEW
@given(published=logs, ends=cuts, events=commits)
def test_every_projection_is_the_same_however_the_log_is_split_and_committed(
    scratch_of_all: Scratch, published: Published, ends: list[int], events: int
) -> None:
    log = messages(published)

    whole = folded(scratch_of_all.new(), [log], projections=PROJECTIONS)

    parts = folded(scratch_of_all.new(), split(log, ends), projections=PROJECTIONS, events_max=events)
    assert parts == whole


@FEW
@given(published=logs, data=st.data())
def test_a_projection_rebuilt_beside_is_the_live_one(
    scratch_of_all: Scratch, published: Published, data: Any
) -> None:
    log = messages(published)
    begin, middle = sorted(data.draw(st.integers(0, len(log))) for _ in range(2))
    step = data.draw(st.integers(1, 5))
    engine = engine_on(scratch_of_all.new(), PROJECTIONS)
    engine.apply(log[:begin])
    engine.sync()
    _ask_for_rebuilds(engine)
    engine.build(step)
    engine.apply(log[begin:middle])
    while engine.build(step):
        engine.apply(log[middle : middle + 1])  # the log goes on, and the live group with it
        middle += 1
    engine.apply(log)
    engine.sync()
    rebuilt = {p.projection: p.version for p in engine.database.positions() if p.status == "live"}
    found = tables(engine)
    shut(engine)

    assert {name for name, version in rebuilt.items() if version.endswith("r1")} == {
        p.name for p in PROJECTIONS
    }
    assert found == folded(scratch_of_all.new(), [log], projections=PROJECTIONS)


def _ask_for_rebuilds(engine: Engine) -> None:
    for member in list(engine.members):
        beside = f"{member.position.version}r1"
        insert_position(
            engine.database,
            Position(member.projection.name, beside, BUILDING, 0, LOG.store_id, LOG.created),
        )
    engine.look_for_rebuilds()
