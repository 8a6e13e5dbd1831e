"""Sales told by examples: whose a sale was, what a part is worth, and what is never added together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from domain.numbers import unscaled
from projections.registry import PROJECTIONS
from tests.lab.databases import Where
from tests.lab.events import NOON, body, log, voided
from tests.lab.folding import engine_on, shut

D = Decimal
CHINA = timezone(timedelta(hours=8))
FEBRUARY, MARCH = datetime(2026, 2, 10, 9, tzinfo=CHINA), datetime(2026, 3, 10, 9, tzinfo=CHINA)
NEEDED = tuple(p for p in PROJECTIONS if p.name in ("sales", "parties"))

Asked = dict[tuple[str, ...], tuple[Decimal, ...]]
Ask = Callable[..., Asked]


@pytest.fixture
def ask(built: Where) -> Iterator[Ask]:
    """`ask(events, view, by, *figures)`: fold more events, then sum a view on the database."""
    engine = engine_on(built, NEEDED)

    def sums(events: list[bytes], view: str, by: str, *figures: str) -> Asked:
        if events:
            engine.apply(log(events, after=engine.position.sequence))
            engine.sync()
        wanted = ", ".join(f"SUM({figure})" for figure in figures)
        groups = len(by.split(","))
        found = engine.database.rows(f"SELECT {by}, {wanted} FROM {view} GROUP BY {by} ORDER BY {by}")
        return {row[:groups]: tuple(unscaled(value) for value in row[groups:]) for row in found}

    yield sums
    shut(engine)


def line(sku: str = "COLA", quantity: str = "10", net: str = "25", **more: Any) -> dict[str, Any]:
    return {"line": "1", "sku": sku, "quantity": quantity, "unit_price": "2.5", "net": net, **more}


def order(order: str = "O1", time: datetime = FEBRUARY, *lines: dict[str, Any], **more: Any) -> bytes:
    more = {"dealer": "D1", "currency": "CNY"} | more
    return body("order.placed.v1", order=order, time=time, lines=lines or [line()], **more)


def sent(
    delivery: str, order: str | None, quantity: str, time: datetime = FEBRUARY, sku: str = "COLA"
) -> bytes:
    lines = [{"sku": sku, "quantity": quantity}]
    return body("delivery.dispatched.v1", delivery=delivery, dealer="D1", order=order, time=time, lines=lines)


def returned(*lines: dict[str, Any], time: datetime = MARCH, **more: Any) -> bytes:
    about = {"dealer": "D1", "direction": "to_company", "reason": "aged"} | more
    goods = [{"sku": "COLA", "condition": "sellable", **line} for line in lines]
    return body("return.received.v1", return_="T1", time=time, lines=goods, **about)


def assigned(territory: str, since: datetime, to: datetime | None = None) -> bytes:
    return body("territory.assigned.v1", territory=territory, dealer="D1", from_=since, to=to)


def test_a_new_territory_does_not_move_past_sales(ask: Ask) -> None:
    sold = [order("O1", FEBRUARY), order("O2", MARCH, line(net="40"))]
    moved = [assigned("North", FEBRUARY - timedelta(days=30)), assigned("South", MARCH - timedelta(days=1))]

    found = ask([*sold, *moved], "sales", "territory", "ordered_net")

    assert found == {("North",): (D(25),), ("South",): (D(40),)}
    assert ask([], "dealer_sales", "territory", "ordered_net") == found


def test_a_territory_assigned_back_in_time_takes_its_sales_without_any_rebuild(ask: Ask) -> None:
    before = ask([order("O1", FEBRUARY)], "sales", "territory", "ordered_net")

    after = ask([assigned("North", FEBRUARY - timedelta(days=30))], "sales", "territory", "ordered_net")

    assert (before, after) == ({("",): (D(25),)}, {("North",): (D(25),)})


def test_the_territory_and_rep_an_order_states_go_before_any_assignment(ask: Ask) -> None:
    held = [assigned("North", FEBRUARY - timedelta(days=30))]
    held += [
        body("rep.assigned.v1", rep="R1", to={"territory": "North"}, from_=FEBRUARY - timedelta(days=30))
    ]

    found = ask(
        [*held, order("O1"), order("O2", MARCH, territory="West"), order("O3", MARCH, rep="R9")],
        *("sales", "territory, rep", "ordered"),
    )

    assert found == {("North", "R1"): (D(10),), ("North", "R9"): (D(10),), ("West", ""): (D(10),)}


def test_a_dealers_own_rep_goes_before_its_territorys(ask: Ask) -> None:
    since = FEBRUARY - timedelta(days=30)
    held = [
        assigned("North", since),
        body("rep.assigned.v1", rep="R1", to={"territory": "North"}, from_=since),
    ]
    held += [body("rep.assigned.v1", rep="R2", to={"dealer": "D1"}, from_=MARCH - timedelta(days=1))]

    found = ask([*held, order("O1", FEBRUARY), order("O2", MARCH)], "dealer_sales", "rep", "ordered")

    assert found == {("R1",): (D(10),), ("R2",): (D(10),)}


def test_what_comes_back_is_worth_what_it_was_sold_for_on_the_day_it_comes_back(ask: Ask) -> None:
    sold = order("O1", FEBRUARY, line(net="20"), line("COLA", "10", "40", line="2"), rep="R1")
    back = returned(
        {"quantity": "1"},
        {"quantity": "2", "of": {"order": "O1", "line": "2"}},
        {"quantity": "1", "net": "1"},
        order="O1",
    )

    found = ask([back, sold], "sales", "day, rep, currency", "returned", "returned_net")

    # One of twenty for 60, two of the second line's ten for 40, and one that says itself what it is worth.
    assert found["2026-03-10", "R1", "CNY"] == (D(4), D(3) + D(8) + D(1))
    assert found["2026-02-10", "R1", "CNY"] == (D(0), D(0))


def test_a_return_without_an_order_has_a_quantity_and_no_price(ask: Ask) -> None:
    found = ask([returned({"quantity": "3"})], "sales", "currency", "returned", "returned_net")

    assert found == {("",): (D(3), D(0))}


def test_what_an_outlet_brings_back_to_its_dealer_is_not_taken_from_the_companys_sales(ask: Ask) -> None:
    found = ask([order(), returned({"quantity": "3"}, direction="to_dealer")], "sales", "dealer", "returned")

    assert found == {("D1",): (D(0),)}


def test_two_currencies_are_never_added(ask: Ask) -> None:
    orders = [order("O1"), order("O2", FEBRUARY, line(net="7"), currency="USD")]

    found = ask(orders, "sales", "currency", "ordered_net")

    assert found == {("CNY",): (D(25),), ("USD",): (D(7),)}


def test_free_goods_are_not_ordered_but_cost_and_are_delivered_at_their_share(ask: Ask) -> None:
    bonus = line("COLA", "2", "0", line="2", unit_cost="1", free={"kind": "bonus"})
    events = [order("O1", FEBRUARY, line(net="24", unit_cost="1"), bonus), sent("L1", "O1", "6")]

    found = ask(
        events, "sales", "sku", "ordered", "free", "ordered_net", "cost", "dispatched", "dispatched_net"
    )

    assert found == {("COLA",): (D(10), D(2), D(24), D(12), D(6), D(12))}


def test_a_delivery_before_its_order_has_a_quantity_until_the_order_prices_it(ask: Ask) -> None:
    before = ask([sent("L1", "O1", "4", MARCH)], "sales", "day, currency", "dispatched", "dispatched_net")

    after = ask([order("O1", FEBRUARY)], "sales", "day, currency", "dispatched", "dispatched_net")

    assert before == {("2026-03-10", ""): (D(4), D(0))}
    assert after == {("2026-02-10", "CNY"): (D(0), D(0)), ("2026-03-10", "CNY"): (D(4), D(10))}


def test_of_a_cancelled_order_only_what_was_dispatched_counts_as_ordered(ask: Ask) -> None:
    cancelled = body("order.cancelled.v1", id="gone", order="O1", dealer="D1", time=MARCH)

    found = ask([order("O1"), cancelled, sent("L1", "O1", "4")], "sales", "sku", "ordered", "ordered_net")
    again = ask([voided("gone", time=MARCH, event_id="v")], "sales", "sku", "ordered", "ordered_net")

    assert found == {("COLA",): (D(4), D(10))}
    assert again == {("COLA",): (D(10), D(25))}


def test_the_day_is_the_facts_own_and_never_that_of_utc(ask: Ask) -> None:
    early = datetime(2026, 2, 10, 0, 30, tzinfo=CHINA)

    found = ask([order("O1", early)], "sales", "day", "ordered")

    assert found == {("2026-02-10",): (D(10),)}


def test_what_is_sold_on_counts_on_the_last_day_of_the_reported_period(ask: Ask) -> None:
    midnight = datetime(2026, 3, 1, tzinfo=CHINA)
    about = {"dealer": "D1", "flow": "secondary", "from_": FEBRUARY, "to": midnight, "currency": "CNY"}

    found = ask(
        [
            body(
                "sellout.reported.v1",
                report="Q1",
                lines=[{"sku": "COLA", "quantity": "5", "net": "15"}],
                **about,
            )
        ],
        *("sales", "day", "secondary", "secondary_net", "tertiary"),
    )

    assert found == {("2026-02-28",): (D(5), D(15), D(0))}


def test_a_credit_note_is_taken_from_what_was_invoiced_in_its_own_currency(ask: Ask) -> None:
    def bill(invoice: str, kind: str, quantity: str, net: str) -> bytes:
        lines = [{"line": "1", "sku": "COLA", "quantity": quantity, "net": net}]
        about = {"dealer": "D1", "order": "O1", "currency": "CNY", "kind": kind, "time": MARCH}
        return body("invoice.issued.v1", invoice=invoice, lines=lines, **about)

    found = ask(
        [order("O1", rep="R1"), bill("I1", "invoice", "10", "25"), bill("I2", "credit_note", "1", "2.5")],
        *("sales", "day, rep", "invoiced", "invoiced_net"),
    )

    assert found["2026-03-10", "R1"] == (D(9), D("22.5"))


def test_the_category_is_the_products_as_it_is_listed_now(ask: Ask) -> None:
    def listed(category: str, id: str, time: datetime) -> bytes:
        return body(
            "product.listed.v1", id=id, time=time, sku="COLA", name="可乐", category=category, base_uom="case"
        )

    before = ask([order(), listed("soda", "p1", NOON)], "sales", "category, name", "ordered")

    after = ask([listed("drinks", "p2", NOON + timedelta(days=1))], "sales", "category, name", "ordered")

    assert (before, after) == ({("soda", "可乐"): (D(10),)}, {("drinks", "可乐"): (D(10),)})
