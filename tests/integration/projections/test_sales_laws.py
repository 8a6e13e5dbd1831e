"""Laws of sales: figures follow from the documents that stand, and parts add up to their wholes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.rows import Row
from projections.sales import SALES
from projections.sales_orders import SalesOrder
from projections.sales_rows import FIGURES, DealerDay, SalesDay
from tests.lab.databases import Databases
from tests.lab.folding import Worlds, shut
from tests.lab.histories import BEGIN, HOUR, Fact, void_of
from tests.lab.trading import reckoned, trade, trades

LAW = settings(max_examples=20, derandomize=True, database=None, deadline=None)
CLOSE = Fraction(1, 10_000)  # a part is rounded at 6 places


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    """Histories of trade folded side by side, each under ids of its own."""
    worlds = Worlds(databases.new(), (SALES,))
    yield worlds
    shut(worlds.engine)


def sales(worlds: Worlds, *batches: list[Fact]) -> list[list[Any]]:
    """All rows of a world that follow from its documents; the parts of an order in whatever order they came."""
    world = worlds.fold(*batches)
    found: list[list[Any]] = [worlds.rows(SalesDay, world), worlds.rows(DealerDay, world)]
    for order in worlds.rows(SalesOrder, world):
        order.parts = tuple(sorted(order.parts, key=msgspec.json.encode))
        found.append([order])
    return found


def nonzero(row: Row) -> dict[str, Decimal]:
    return {name: value for name in FIGURES if (value := getattr(row, name))}


def at(id: str) -> str:
    """An id as the history writes it: a world takes its mark off."""
    return id and f"@{id}"


@LAW
@given(history=trade(), data=st.data())
def test_sales_do_not_depend_on_the_order_of_arrival(worlds: Worlds, history: list[Fact], data: Any) -> None:
    other = data.draw(st.permutations(history))

    assert sales(worlds, history) == sales(worlds, other)


@LAW
@given(history=trade(), data=st.data())
def test_sales_do_not_depend_on_how_the_log_is_cut_into_batches(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    cut = data.draw(st.integers(0, len(history)))
    parts = [part for part in (history[:cut], history[cut:]) if part]

    assert sales(worlds, *parts) == sales(worlds, *[[fact] for fact in history]) == sales(worlds, history)


@LAW
@given(history=trade(voids=False), data=st.data())
def test_an_event_and_its_void_leave_sales_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))
    rest = [fact for fact in history if fact is not gone]

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert sales(worlds, published) == sales(worlds, rest)


@LAW
@given(history=trade(), data=st.data())
def test_a_restatement_replaces_what_was_stated(worlds: Worlds, history: list[Fact], data: Any) -> None:
    last = data.draw(trades("@again", BEGIN + 500 * HOUR))
    lines = [
        line | {"sku": "可乐" if line["sku"] == "COLA" else "COLA"} for line in last.data.get("lines", ())
    ]
    first = msgspec.structs.replace(
        last, id="@before", data={**last.data, "lines": lines} if lines else last.data
    )
    where = data.draw(st.integers(0, len(history)))

    assert sales(worlds, [*history[:where], first, *history[where:], last]) == sales(worlds, [*history, last])


@LAW
@given(history=trade(most=16))
def test_sales_are_what_a_bookkeeper_reckons(worlds: Worlds, history: list[Fact]) -> None:
    world = worlds.fold(history)

    found = {
        (at(r.dealer), r.day, r.sku, at(r.rep), at(r.territory), r.currency): nonzero(r)
        for r in worlds.rows(SalesDay, world)
    }

    expected = reckoned(history)
    for key in {*found, *expected}:
        mine, theirs = found.get(key, {}), expected.get(key, {})
        for name in {*mine, *theirs}:
            difference = Fraction(mine.get(name, 0)) - theirs.get(name, 0)
            exact = "net" not in name and name not in ("list_amount", "discount", "cost")
            assert difference == 0 if exact else abs(difference) < CLOSE, (key, name)


@LAW
@given(history=trade(most=16))
def test_a_dealers_day_is_the_sum_of_its_products(worlds: Worlds, history: list[Fact]) -> None:
    world = worlds.fold(history)
    sums: dict[tuple[Any, ...], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))

    for row in worlds.rows(SalesDay, world):
        for name in FIGURES:
            sums[row.dealer, row.day, row.rep, row.territory, row.currency][name] += getattr(row, name)

    for day in worlds.rows(DealerDay, world):
        held = sums.pop((day.dealer, day.day, day.rep, day.territory, day.currency), {})
        assert {n: v for n, v in held.items() if v} == nonzero(day)
        assert day.lines > 0
    assert not sums


@LAW
@given(
    quantities=st.lists(st.integers(1, 10**6), min_size=1, max_size=6),
    net=st.decimals(-(10**6), 10**6, places=6),
    days=st.data(),
)
def test_what_is_delivered_in_parts_is_worth_what_was_ordered_to_the_last_digit(
    worlds: Worlds, quantities: list[int], net: Decimal, days: Any
) -> None:
    line = {"line": "1", "sku": "COLA", "quantity": str(sum(quantities)), "unit_price": "1", "net": str(net)}
    about = {"order": "@O", "dealer": "@D"}
    facts = [Fact("order.placed.v1", "@o", BEGIN, about | {"currency": "CNY", "lines": [line]})]
    for number, quantity in enumerate(quantities):
        at = BEGIN + timedelta(days=days.draw(st.integers(0, 5)), minutes=number)
        goods = [{"sku": "COLA", "quantity": str(quantity)}]
        facts.append(
            Fact(
                "delivery.dispatched.v1",
                f"@l{number}",
                at,
                about | {"delivery": f"@L{number}", "lines": goods},
            )
        )

    world = worlds.fold(days.draw(st.permutations(facts)))

    assert sum(day.dispatched_net for day in worlds.rows(SalesDay, world)) == net
