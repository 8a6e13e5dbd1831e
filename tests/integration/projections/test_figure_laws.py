"""Laws of the figures: they follow from the documents that stand, not from how those were learnt."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.orders import Order, OrderingDealer
from projections.rows import MemoryRows
from projections.stock_levels import levels_at
from projections.stock_rows import OrderItem, StockCount, StockLevel, StockMove
from tests.lab import bookkeeper
from tests.lab.folding import Worlds
from tests.lab.histories import Fact, facts, histories, timeline, void_of

LAW = settings(max_examples=20, derandomize=True, database=None, deadline=None)

# What stands in a row because of when the log learnt it: the sequence of a count. Flags say since when something
# is known. Whether lots were ever told apart is remembered and never forgotten. All else is a figure.
BY_ARRIVAL = {"sequence", "counted_sequence"}
FIGURES = (Order, OrderingDealer, StockLevel, StockMove, StockCount, OrderItem)


def figures(worlds: Worlds, world: str) -> dict[str, list[dict[str, Any]]]:
    """All figures of a world, without what depends on arrival."""
    return {
        row.__name__: [
            {name: value for name, value in msgspec.structs.asdict(found).items() if name not in BY_ARRIVAL}
            for found in worlds.rows(row, world)
        ]
        for row in FIGURES
    }


@LAW
@given(history=histories(), data=st.data())
def test_figures_do_not_depend_on_the_order_of_arrival(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    other = data.draw(st.permutations(history))

    assert figures(worlds, worlds.fold(history)) == figures(worlds, worlds.fold(other))


@LAW
@given(history=histories(voids=False), data=st.data())
def test_an_event_and_its_void_leave_the_figures_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))
    rest = [fact for fact in history if fact is not gone]

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert figures(worlds, worlds.fold(published)) == figures(worlds, worlds.fold(rest))


@LAW
@given(history=histories(voids=False), data=st.data())
def test_the_void_of_a_void_leaves_the_figures_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    first = void_of(data.draw(st.sampled_from(history)), "@v")

    published = data.draw(st.permutations([*history, first, void_of(first, "@w")]))

    assert figures(worlds, worlds.fold(published)) == figures(worlds, worlds.fold(history))


@LAW
@given(history=histories(), data=st.data())
def test_a_restatement_replaces_what_was_stated(worlds: Worlds, history: list[Fact], data: Any) -> None:
    # The restatement bears the time of what it restates, which it would keep in any case.
    last = data.draw(facts("@again", max(fact.time for fact in history) + timedelta(hours=1)))
    first = msgspec.structs.replace(last, id="@before", data=_other(last))
    where = data.draw(st.integers(0, len(history)))

    restated = worlds.fold([*history[:where], first, *history[where:], last])

    assert figures(worlds, restated) == figures(worlds, worlds.fold([*history, last]))


def _other(fact: Fact) -> dict[str, Any]:
    """The same document with other lines, and another place to count or to move from."""
    other = {**fact.data}
    for name in ("lines", "in", "out"):
        if name in other:
            other[name] = [
                line | {"sku": "可乐" if line["sku"] == "COLA" else "COLA"} for line in other[name]
            ]
    if "location" in other:
        other["location"] = "@ELSEWHERE"
    return other


@LAW
@given(history=histories(ties=True))
def test_levels_are_what_a_bookkeeper_reckons_at_any_instant(worlds: Worlds, history: list[Fact]) -> None:
    world = worlds.fold(history)
    rows = _in_memory(worlds, world)

    asked = [*timeline(history)[::2], bookkeeper.far(history)]
    found = [{_bucket(level): _held(level) for level in levels_at(rows, at, {})} for at in asked]

    for at, levels in zip(asked, found, strict=True):
        assert {bucket: held for bucket, held in levels.items() if any(held)} == bookkeeper.levels(
            history, at
        )


def _bucket(level: StockLevel) -> tuple[str, str, str]:
    return level.location, level.sku, level.lot


def _held(level: StockLevel) -> bookkeeper.Level:
    return level.on_hand, level.blocked, level.in_transit, level.on_order


@LAW
@given(history=histories(ties=True))
def test_a_stored_level_is_the_level_at_the_end_of_time(worlds: Worlds, history: list[Fact]) -> None:
    world = worlds.fold(history)

    rows = _in_memory(worlds, world)

    assert list(levels_at(rows, bookkeeper.far(history), {})) == rows.all(StockLevel)


@LAW
@given(history=histories(ties=True, ahead=True), data=st.data())
def test_what_is_far_ahead_waits_and_all_before_it_is_in_the_stored_level(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    world = worlds.fold(data.draw(st.permutations(history)))
    rows = _in_memory(worlds, world)
    far = bookkeeper.far(history)
    held = {_bucket(level): level for level in rows.all(StockLevel)}

    for bucket in {*held, *(_bucket(level) for level in levels_at(rows, far, {}))}:
        level = held.get(bucket, StockLevel(*bucket))
        at = far if level.due_at is None else level.due_at - timedelta(microseconds=1)
        found = {_bucket(known): known for known in levels_at(rows, at, {})}.get(bucket, StockLevel(*bucket))
        found.due_at, found.on_order = level.due_at, level.on_order
        assert level == found


def _in_memory(worlds: Worlds, world: str) -> MemoryRows:
    rows = MemoryRows()
    for kind in (StockLevel, StockMove, StockCount, OrderItem):
        for row in worlds.rows(kind, world):
            rows.put(row)
    return rows


@LAW
@given(history=histories(ties=True))
def test_what_is_in_transit_of_a_delivery_is_never_below_zero(worlds: Worlds, history: list[Fact]) -> None:
    world = worlds.fold(history)

    under_way: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for move in sorted(worlds.rows(StockMove, world), key=lambda m: m.at):
        bucket = (move.location, move.sku, move.lot, *_document(move))
        under_way[bucket] += move.in_transit
        assert under_way[bucket] >= 0, bucket


@LAW
@given(history=histories(voids=False), data=st.data())
def test_nothing_is_in_transit_of_a_delivery_that_is_resolved(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    out = data.draw(st.sampled_from([f for f in history if f.type == "delivery.dispatched.v1"] or [None]))
    if out is None:
        return
    last = max(fact.time for fact in history) + timedelta(hours=1)
    receipt = {name: out.data[name] for name in ("delivery", "dealer")} | {"receipt": "LAST", "arrived": last}
    # More than was ever sent: what is left of it arrives, and nothing beyond.
    lines = [{"sku": sku, "lot": None, "accepted": "0", "short": "99"} for sku in ("COLA", "可乐")]

    world = worlds.fold([*history, Fact("delivery.received.v1", "@last", last, receipt | {"lines": lines})])

    mine = (out.data["dealer"], f"delivery/{out.data['delivery']}")
    assert sum(m.in_transit for m in worlds.rows(StockMove, world) if _document(m) == mine) == 0


def _document(move: StockMove) -> tuple[str, ...]:
    return (move.dealer, move.document)
