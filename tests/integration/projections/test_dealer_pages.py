"""What a dealer's page says of its target, its last card and its territories over time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from projections.dealer_pages import Dealer, TerritorySpan, dealers_at
from tests.lab.book import Book, book
from tests.lab.databases import Where
from tests.lab.events import body, moved

D = Decimal
CHINA = timezone(timedelta(hours=8))
APRIL, MAY, JUNE, JULY = [datetime(2026, month, 1, tzinfo=CHINA) for month in (4, 5, 6, 7)]
MID_MAY = datetime(2026, 5, 15, 12, tzinfo=CHINA)


@pytest.fixture
def told(built: Where) -> Iterator[Book]:
    yield from book(built)


def aimed(target: str, value: str, first: datetime, last: datetime, **more: Any) -> bytes:
    about = {"measure": "amount", "flow": "primary", "scope": {"dealer": "D1"}, "currency": "CNY"} | more
    return body("target.set.v1", target=target, value=value, from_=first, to=last, time=APRIL, **about)


def sold(order: str, net: str, day: datetime, currency: str = "CNY") -> bytes:
    line = {"line": "1", "sku": "COLA", "quantity": "1", "unit_price": "1", "net": net}
    return body("order.placed.v1", order=order, dealer="D1", currency=currency, time=day, lines=[line])


def registered() -> bytes:
    return body("dealer.registered.v1", dealer="D1", name="某某商行", territory="N", time=APRIL)


def page(told: Book, at: datetime = MID_MAY) -> Dealer:
    [row] = told.ask(dealers_at, at, dealer=["D1"])
    return row


def goal(row: Dealer) -> tuple[Any, ...]:
    return row.target_value, row.target_actual, row.attainment


def test_targets_that_are_parts_of_each_other_are_none(told: Book) -> None:
    told.say(registered(), aimed("A", "1", MAY, JUNE, parent="B"), aimed("B", "2", MAY, JUNE, parent="A"))

    assert goal(page(told)) == (None, None, None)


def test_the_target_of_the_month_counts_and_not_the_quarter_it_lies_in(told: Book) -> None:
    told.say(
        registered(),
        aimed("Q2", "1000", APRIL, JULY),
        aimed("M5", "80", MAY, JUNE, parent="Q2"),
        sold("O1", "40", APRIL),
        sold("O2", "60", MAY),
    )

    assert goal(page(told)) == (D(80), D(60), D("0.75"))
    assert (page(told).target_from, page(told).target_to) == (date(2026, 5, 1), date(2026, 6, 1))
    assert goal(page(told, JUNE)) == (D(1000), D(100), D("0.1"))
    assert goal(page(told, JULY)) == (None, None, None)


def test_a_month_begins_by_the_clock_of_its_target_and_what_was_ordered_since_is_there(told: Book) -> None:
    told.say(registered(), aimed("M4", "80", APRIL, MAY), aimed("M5", "90", MAY, JUNE), sold("O1", "60", MAY))

    row = page(told, MAY.astimezone(UTC))  # in UTC it is April still

    assert (row.target_from, *goal(row)[:2]) == (date(2026, 5, 1), D(90), D(60))
    assert (row.orders, row.last_order, row.sales[0].ordered_30) == (1, date(2026, 5, 1), D(60))


def test_base_targets_of_a_stretch_are_added_and_neither_parts_nor_stretches_of_will(told: Book) -> None:
    told.say(
        registered(),
        aimed("A", "60", MAY, JUNE, level="base"),
        aimed("B", "40", MAY, JUNE),
        aimed("A1", "30", MAY, JUNE, parent="A"),
        aimed("WISH", "500", MAY, JUNE, level="stretch"),
        aimed("TEA", "7", MAY, JUNE, scope={"dealer": "D1", "skus": ["TEA"]}),
        aimed("LAND", "9", MAY, JUNE, scope={"territory": "N"}),
        sold("O1", "50", MAY),
    )

    assert page(told).target_value == D(100)


def test_targets_in_two_currencies_are_not_added(told: Book) -> None:
    told.say(
        registered(),
        aimed("A", "60", MAY, JUNE),
        aimed("B", "40", MAY, JUNE, currency="USD"),
        sold("O1", "50", MAY),
    )

    assert goal(page(told)) == (None, None, None)


def test_the_last_card_is_that_of_the_quarter_before_under_the_companys_own_policy(told: Book) -> None:
    card = {
        "criteria": [{"code": "look", "figure": "manual", "points": 5, "way": "manual", "grades": {"優": 90}}]
    }
    rule: dict[str, Any] = {
        "policy": "ours",
        "kind": "assessment",
        "version": "1",
        "effective": "2026-01-01T00:00:00Z",
    }
    mark: dict[str, Any] = {
        "dealer": "D1",
        "criterion": "look",
        "grade": "優",
        "by": "supervisor",
        "subject": "D1",
    }
    told.say(
        registered(),
        body("policy.published.v1", body=card, **rule),
        body("assessment.input.v1", period={"from": "2026-01-01T00:00:00+08:00", "to": APRIL}, **mark),
    )

    row = page(told)
    assert (row.last_period, row.last_policy, row.last_score, row.last_grade) == (
        *("2026-Q1", "ours"),
        *(D(90), "A"),
    )
    assert page(told, JULY).last_period == ""


def test_territories_over_time_begin_with_master_data_and_end_where_they_are_said_to(told: Book) -> None:
    told.say(
        registered(),
        body("territory.assigned.v1", dealer="D1", territory="S", from_=MAY, to=JUNE),
    )

    row = page(told)
    assert row.territories == (
        TerritorySpan("N", None, date(2026, 5, 1)),
        TerritorySpan("S", date(2026, 5, 1), date(2026, 6, 1)),
    )
    assert row.territory == "S"


def test_stock_is_its_owners_whoever_is_asked_for(told: Book) -> None:
    """A place may bear the id of a dealer, and be registered as another's."""
    told.say(
        registered(),
        body("dealer.registered.v1", dealer="D2", name="另一商行", time=APRIL),
        body("location.registered.v1", location="D1", kind="store", dealer="D2", time=APRIL),
        moved("M1", "D1", "in", 10, time=APRIL),
    )
    listed = {row.dealer: row.stock_skus for row in told.ask(dealers_at, MID_MAY)}
    alone = [told.ask(dealers_at, MID_MAY, dealer=[dealer])[0].stock_skus for dealer in ("D1", "D2")]

    assert listed == {"D1": 0, "D2": 1}
    assert alone == [0, 1]


def test_stock_that_waited_counts_when_its_time_has_come(told: Book) -> None:
    told.say(registered(), moved("M1", "D1", "in", 10, time=APRIL), moved("M2", "D1", "out", 12, time=JULY))

    before, after = page(told), page(told, JULY)

    assert [(row.stock_skus, row.stock_negative) for row in (before, after)] == [(1, 0), (0, 1)]
