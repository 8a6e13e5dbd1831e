"""Promotions told by examples: inside and outside, what they gave, and whether they were worth it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.promotion_days import PromotionDay, PromotionPlan
from projections.promotions import PROMOTIONS, Promotion, promotions
from projections.registry import PROJECTIONS
from tests.lab.book import LATER, Book, book
from tests.lab.databases import Databases, Where
from tests.lab.events import body, voided
from tests.lab.folding import Worlds, shut
from tests.lab.histories import BEGIN, HOUR, Fact, void_of

D = Decimal
CHINA = timezone(timedelta(hours=8))
DAY = timedelta(days=1)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=CHINA), datetime(2026, 4, 1, tzinfo=CHINA)
MIDDAY = MARCH + timedelta(hours=12)
NEEDED = tuple(p for p in PROJECTIONS if p.name in ("sales", "parties", "promotions"))
LAW = settings(max_examples=25, derandomize=True, database=None, deadline=None)


@pytest.fixture
def told(built: Where) -> Iterator[Book]:
    yield from book(built, NEEDED)


def planned(promotion: str = "P1", **more: Any) -> bytes:
    how = {"kind": "price_off", "amount": "7", "currency": "CNY"}
    about = {"name": "春促", "from_": MARCH, "to": APRIL, "scope": {}, "mechanics": how}
    return body("promotion.planned.v1", promotion=promotion, time=MARCH - 9 * DAY, **{**about, **more})


def line(
    quantity: str = "10", net: str = "30", discount: str = "70", number: int = 1, **more: Any
) -> dict[str, Any]:
    given = [{"kind": "promotion", "promotion": "P1", "amount": discount}] if discount else []
    about = {"line": str(number), "sku": "COLA", "quantity": quantity, "unit_price": "10", "net": net}
    return about | {"discounts": given} | more


def order(order: str, time: datetime = MIDDAY, *lines: dict[str, Any], **more: Any) -> bytes:
    about = {"dealer": "D1", "currency": "CNY"} | more
    return body("order.placed.v1", order=order, time=time, lines=lines or [line()], **about)


def asked(told: Book, at: datetime = LATER) -> Promotion:
    [row] = told.ask(promotions, at, promotion=["P1"])
    return row


def test_what_was_ordered_outside_the_window_is_shown_apart(told: Book) -> None:
    told.say(planned(), order("O1"), order("O2", MARCH - DAY), order("O3", APRIL, line("4", "12", "28")))

    row = asked(told)

    assert (row.lines, row.quantity, row.net, row.discount) == (3, D(24), D(72), D(168))
    assert (row.outside_lines, row.outside_quantity, row.outside_net, row.outside_discount) == (
        2,
        D(14),
        D(42),
        D(98),
    )
    assert row.discount_rate == D("0.7")


@pytest.mark.parametrize(
    ("scope", "inside"),
    [
        ({}, 2),
        ({"dealers": ["D1"]}, 1),
        ({"skus": ["COLA"]}, 2),
        ({"skus": ["TEA"]}, 0),
        ({"categories": ["soft"]}, 2),
        ({"categories": ["beer"]}, 0),
        ({"territories": ["north"]}, 1),  # D1's, by its part; D2 is known to be elsewhere
        ({"territories": ["south"], "skus": ["COLA"]}, 1),
        ({"org": "U"}, 1),  # D1's, by its part
    ],
)
def test_what_is_not_for_the_dealer_or_the_product_is_outside_within_the_window(
    told: Book, scope: dict[str, Any], inside: int
) -> None:
    told.say(
        body("product.listed.v1", sku="COLA", name="Cola", base_uom="case", category="soft"),
        body("territory.defined.v1", territory="north", name="North"),
        body("territory.defined.v1", territory="n1", name="N1", parent="north"),
        body("territory.defined.v1", territory="south", name="South"),
        body("territory.assigned.v1", dealer="D1", territory="n1", from_=MARCH - 90 * DAY),
        body("territory.assigned.v1", dealer="D2", territory="south", from_=MARCH - 90 * DAY),
        body("org.defined.v1", org="U", name="U"),
        body("org.defined.v1", org="U1", name="U1", parent="U"),
        body("dealer.registered.v1", dealer="D1", name="D1", org="U1"),
        body("dealer.registered.v1", dealer="D2", name="D2", org="V"),
        planned(scope=scope),
        order("O1"),
        order("O2", dealer="D2"),
        order("O3", APRIL),
    )

    row = asked(told)

    assert row.lines == 3
    assert (row.outside_lines, row.outside_scope_lines) == (3 - inside, 2 - inside)
    assert row.expected_discount == D(70) * inside


def test_what_is_not_known_of_a_purchase_does_not_put_it_outside(told: Book) -> None:
    told.say(planned(scope={"territories": ["north"], "categories": ["soft"], "org": "U1"}), order("O1"))

    assert (asked(told).outside_lines, asked(told).outside_scope_lines) == (0, 0)


def test_what_the_mechanics_give_stands_beside_what_was_given(told: Book) -> None:
    told.say(planned(mechanics={"kind": "percent", "percent": "60"}), order("O1"))
    percent = asked(told)
    told.say(
        body(
            "promotion.amended.v1",
            promotion="P1",
            name="春促",
            from_=MARCH,
            to=APRIL,
            scope={},
            mechanics={"kind": "buy_get", "buy": "10", "get": "1"},
        )
    )

    assert (percent.discount, percent.expected_discount) == (D(70), D(60))
    assert (asked(told).free, asked(told).expected_free) == (D(0), D(1))


def test_without_a_plan_nothing_is_outside(told: Book) -> None:
    told.say(order("O1", MARCH - 400 * DAY))

    assert (asked(told).quantity, asked(told).outside_lines, asked(told).status) == (D(10), 0, "")


def test_the_promotion_that_earns_three_instead_of_ten_must_sell_more_than_three_times_as_much(
    told: Book,
) -> None:
    # domain.md §3.12: 10 units at 3 instead of the 3 units at 10 that would have sold in the same time.
    normal = [order(f"N{n}", MIDDAY - (n + 1) * DAY, line("1", "17", "", cost="7")) for n in range(28)]
    told.say(planned(to=MARCH + 10 * DAY), *normal, order("O1", MIDDAY, line("30", "300", "210", cost="210")))

    row = asked(told)

    assert (row.unit_margin, row.normal_unit_margin, row.break_even) == (D(3), D(10), D("3.333333"))
    assert (row.baseline_quantity, row.uplift) == (D(10), D(3))
    assert (row.margin, row.effect) == (D(90), D(-10))


def test_a_stated_baseline_goes_before_the_four_weeks(told: Book) -> None:
    told.say(planned(baseline={"daily_quantity": "2"}), order("O1"))

    assert (asked(told).baseline_quantity, asked(told).uplift) == (D(62), D("0.16129"))
    assert (asked(told, MIDDAY).baseline_quantity, asked(told, MIDDAY).uplift) == (D(2), D(5))


def test_free_goods_are_no_sale_and_cost_what_they_cost(told: Book) -> None:
    bonus = line("1", "0", "", 2, unit_cost="5", free={"kind": "bonus", "promotion": "P1"})
    told.say(planned(), order("O1", MIDDAY, line("10", "100", "", 1, unit_cost="5"), bonus))
    unnamed = asked(told)

    told.say(order("O2", MIDDAY, line("10", "100", "0", 1, unit_cost="5"), bonus))

    assert (unnamed.quantity, unnamed.free, unnamed.margin, unnamed.unit_margin) == (D(0), D(1), D(-5), None)
    assert (asked(told).quantity, asked(told).free, asked(told).margin) == (D(10), D(2), D(40))
    assert asked(told).unit_margin == D(4)


def test_a_cancelled_order_leaves_no_trace_and_comes_back_when_the_cancellation_is_void(told: Book) -> None:
    told.say(order("O1"), body("order.cancelled.v1", id="gone", order="O1", dealer="D1", time=MIDDAY + DAY))
    cancelled = told.rows(PromotionDay)

    told.say(voided("gone", time=MIDDAY + 2 * DAY))

    assert (cancelled, asked(told).quantity) == ([], D(10))


def test_two_currencies_are_never_added_and_the_past_knows_nothing_of_later_orders(told: Book) -> None:
    told.say(planned(), order("O1"), order("O2", currency="USD"), order("O3", MIDDAY + 9 * DAY, dealer="D2"))

    assert [(row.currency, row.quantity, row.dealers) for row in told.ask(promotions)] == [
        ("CNY", D(20), 2),
        ("USD", D(10), 1),
    ]
    assert [(row.currency, row.quantity, row.dealers) for row in told.ask(promotions, MIDDAY + DAY)] == [
        ("CNY", D(10), 1),
        ("USD", D(10), 1),
    ]


def test_a_promotion_is_as_last_amended_and_as_far_as_it_has_come(told: Book) -> None:
    told.say(planned(), body("promotion.started.v1", promotion="P1", time=MARCH))
    how = {"kind": "percent", "percent": "20"}
    about = {"name": "春促二", "from_": MARCH, "to": APRIL + DAY, "scope": {}}
    told.say(body("promotion.amended.v1", promotion="P1", time=MARCH + DAY, mechanics=how, **about))

    row = asked(told)

    assert (row.name, row.status, row.to_day, row.currency) == ("春促二", "started", (APRIL + DAY).date(), "")
    assert row.mechanics == how


# laws


@st.composite
def facts(draw: st.DrawFn, id: str, time: datetime) -> Fact:
    """One fact about an order under promotions, or about one of them."""
    kind = draw(st.sampled_from(["order", "order", "amended", "cancelled", "planned", "started"]))
    about = {"order": draw(st.sampled_from(["@O1", "@O2"])), "dealer": draw(st.sampled_from(["@D1", "@D2"]))}
    promotion = st.sampled_from(["@P1", "@P2", None])
    if kind in ("order", "amended"):
        lines = []
        for number in range(draw(st.integers(1, 3))):
            given = {
                "kind": "promotion",
                "promotion": draw(promotion),
                "amount": draw(st.sampled_from(["1", "0.333333"])),
            }
            free = draw(st.sampled_from([None, None, {"kind": "bonus", "promotion": draw(promotion)}]))
            cost = {"unit_cost": draw(st.sampled_from([None, "1.5"])), "free": free}
            lines.append(
                line("2.5", "10", "", number)
                | cost
                | {"discounts": draw(st.sampled_from([[], [given], [given, given]]))}
            )
        if kind == "amended":
            return Fact("order.amended.v1", id, time, about | {"initiator": "dealer", "lines": lines})
        return Fact("order.placed.v1", id, time, about | {"currency": "CNY", "lines": lines})
    if kind == "cancelled":
        return Fact("order.cancelled.v1", id, time, about)
    if kind == "started":
        return Fact("promotion.started.v1", id, time, {"promotion": "@P1"})
    data = {
        "promotion": "@P1",
        "name": "促",
        "from": time,
        "to": time + 9 * DAY,
        "scope": {"dealers": ["@D1"]},
    }
    return Fact("promotion.planned.v1", id, time, data | {"mechanics": {"kind": "percent", "percent": "20"}})


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    hours = draw(st.lists(st.integers(0, 300), min_size=2, max_size=10, unique=True))
    return [draw(facts(f"@e{number}", BEGIN + hour * HOUR)) for number, hour in enumerate(hours)]


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    worlds = Worlds(databases.new(), (PROMOTIONS,))
    yield worlds
    shut(worlds.engine)


def rows(worlds: Worlds, *batches: list[Fact]) -> list[Any]:
    world = worlds.fold(*batches)
    return [worlds.rows(PromotionPlan, world), worlds.rows(PromotionDay, world)]


@LAW
@given(history=histories(), data=st.data())
def test_promotions_depend_neither_on_the_order_of_arrival_nor_on_batches(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    other = data.draw(st.permutations(history))

    assert rows(worlds, history) == rows(worlds, *[[fact] for fact in other])


@LAW
@given(history=histories(), data=st.data())
def test_an_event_and_its_void_leave_promotions_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert rows(worlds, published) == rows(worlds, [fact for fact in history if fact is not gone])
