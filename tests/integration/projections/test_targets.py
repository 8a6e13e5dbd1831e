"""Targets: whose sales count, in what currency and by which rule, and where a target is going."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.policies import Calendar
from projections.registry import PROJECTIONS
from projections.target_plans import TargetHistory
from projections.targets import Target, targets
from tests.lab.book import LATER, Book, book
from tests.lab.databases import Where
from tests.lab.events import body, voided

D = Decimal
CHINA = timezone(timedelta(hours=8))
DAY = timedelta(days=1)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=CHINA), datetime(2026, 4, 1, tzinfo=CHINA)
MIDDAY = timedelta(hours=12)
NEEDED = tuple(
    p for p in PROJECTIONS if p.name in ("sales", "parties", "policies", "receivables", "targets", "orders")
)


@pytest.fixture
def told(built: Where) -> Iterator[Book]:
    yield from book(built, NEEDED)


def set_(target: str = "T1", value: str = "100", **more: Any) -> bytes:
    about = {
        "measure": "amount",
        "flow": "primary",
        "from_": MARCH,
        "to": APRIL,
        "currency": "CNY",
        "scope": {},
    }
    type = "target.revised.v1" if more.pop("revised", False) else "target.set.v1"
    return body(type, target=target, value=value, **{"time": MARCH, **about, **more})


def sold(order: str, net: str, day: datetime = MARCH + MIDDAY, sku: str = "COLA", **more: Any) -> bytes:
    about = {"dealer": "D1", "currency": "CNY"} | more
    lines = [{"line": "1", "sku": sku, "quantity": "10", "unit_price": "1", "net": net}]
    return body("order.placed.v1", order=order, time=day, lines=lines, **about)


def sent(order: str, quantity: str, day: datetime = MARCH + MIDDAY) -> bytes:
    lines = [{"sku": "COLA", "quantity": quantity}]
    return body(
        "delivery.dispatched.v1", delivery=f"L-{order}", dealer="D1", order=order, time=day, lines=lines
    )


def ruled(policy: str, kind: str, effective: datetime, rule: dict[str, Any]) -> bytes:
    return body("policy.published.v1", policy=policy, kind=kind, version="1", effective=effective, body=rule)


def held(territory: str, since: datetime, dealer: str = "D1", to: datetime | None = None) -> bytes:
    return body("territory.assigned.v1", territory=territory, dealer=dealer, from_=since, to=to)


def asked(told: Book, target: str = "T1", at: datetime = LATER) -> Target:
    [row] = told.ask(targets, at, target=[target])
    return row


def test_a_target_of_outlets_counts_each_that_ordered_once_for_who_held_it_then(told: Book) -> None:
    told.say(
        body("outlet.opened.v1", outlet="S1", **{"name": "Shop", "class": "small"}),
        body("outlet.opened.v1", outlet="S2", **{"name": "Shop", "class": "horeca"}),
        held("north", MARCH - 90 * DAY, to=MARCH + 10 * DAY),
        sold("O1", "1", outlet="S1"),
        sold("O2", "1", MARCH + 2 * DAY, outlet="S1"),
        sold("O3", "1", MARCH + 3 * DAY, outlet="S2"),
        sold("O4", "1", MARCH + 20 * DAY, outlet="S3"),
        sold("O5", "1", MARCH + 3 * DAY, outlet="S4"),
        body("order.cancelled.v1", order="O5", dealer="D1", time=MARCH + 4 * DAY),
        sold("O6", "1"),
        sold("O7", "1", APRIL, outlet="S5"),
        *[
            set_(name, "4", measure="outlets", currency=None, scope=scope)
            for name, scope in (
                ("all", {}),
                ("small", {"outlet_class": "small"}),
                ("north", {"territory": "north"}),
                ("other", {"dealer": "D2"}),
            )
        ],
        set_("cola", "4", measure="outlets", currency=None, scope={"skus": ["COLA"]}),
    )

    reached = {name: asked(told, name).actual for name in ("all", "small", "north", "other", "cola")}

    assert reached == {"all": D(3), "small": D(1), "north": D(2), "other": D(0), "cola": None}
    assert (asked(told, "all").attainment, asked(told, "all").recognition) == (
        D("0.75"),
        "outlets that ordered",
    )


def test_a_target_may_be_published_after_its_sales(told: Book) -> None:
    told.say(sold("O1", "60"), set_(time=APRIL + 9 * DAY))

    row = asked(told)

    assert (row.actual, row.variance, row.attainment) == (D(60), D(-40), D("0.6"))


def test_a_revised_target_keeps_what_was_set_before(told: Book) -> None:
    told.say(set_(value="100"), set_(value="80", revised=True, id="again", time=MARCH + DAY))
    revised = asked(told)

    told.say(voided("again", dealer=None, family="plans", time=MARCH + 2 * DAY))

    assert (revised.value, revised.revisions) == (D(80), 1)
    assert (asked(told).value, [h.value for h in told.rows(TargetHistory)]) == (D(100), [D(100)])


def test_a_period_without_sales_is_the_whole_target_short(told: Book) -> None:
    told.say(set_())

    row = asked(told)

    assert (row.actual, row.variance, row.attainment) == (D(0), D(-100), D(0))


def test_a_target_of_nothing_has_no_attainment(told: Book) -> None:
    told.say(set_(value="0"), sold("O1", "5"))

    assert (asked(told).actual, asked(told).attainment) == (D(5), None)


def test_two_currencies_are_never_added(told: Book) -> None:
    told.say(set_("T1"), set_("T2", currency=None), sold("O1", "60"), sold("O2", "7", currency="USD"))

    one, none = asked(told, "T1"), asked(told, "T2")

    assert (one.actual, one.uncounted) == (D(60), ("USD",))
    assert (none.actual, none.uncounted) == (None, ("CNY", "USD"))


def test_a_target_that_names_no_currency_has_that_of_its_sales(told: Book) -> None:
    told.say(set_(currency=None), sold("O1", "60"))

    assert (asked(told).actual, asked(told).currency) == (D(60), "CNY")


@pytest.mark.parametrize(
    ("scope", "actual"),
    [
        ({"dealer": "D1"}, 11),
        ({"dealer": "D2"}, 4),
        ({"rep": "R1"}, 10),
        ({"territory": "East"}, 11),
        ({"territory": "Shanghai"}, 11),
        ({"territory": "West"}, 0),
        ({"org": "B1"}, 4),
        ({"org": "B"}, 4),
        ({"org": "C"}, 0),
        ({"category": "soda"}, 14),
        ({"skus": ["茶"]}, 1),
        ({"dealer": "D1", "category": "soda"}, 10),
    ],
)
def test_a_target_counts_the_sales_of_its_scope(told: Book, scope: dict[str, Any], actual: int) -> None:
    told.say(
        body("territory.defined.v1", territory="East", name="華東"),
        body("territory.defined.v1", territory="Shanghai", name="上海", parent="East"),
        held("Shanghai", MARCH - DAY),
        body("org.defined.v1", org="B", name="北方"),
        body("org.defined.v1", org="B1", name="北一", parent="B"),
        body("dealer.registered.v1", dealer="D2", name="某某商行", org="B1"),
        body("product.listed.v1", sku="COLA", name="可乐", category="soda", base_uom="case"),
        sold("O1", "10", rep="R1"),
        sold("O2", "1", sku="茶"),
        sold("O3", "4", dealer="D2"),
        set_(scope=scope),
    )

    assert asked(told).actual == actual


def test_a_territory_assigned_back_in_time_moves_only_what_was_sold_while_it_is_held(told: Book) -> None:
    told.say(
        sold("O1", "10", MARCH + DAY), sold("O2", "5", MARCH + 20 * DAY), set_(scope={"territory": "East"})
    )
    before = asked(told).actual

    told.say(held("East", MARCH + 10 * DAY))

    assert (before, asked(told).actual) == (D(0), D(5))


def test_sales_before_the_day_asked_about_and_none_after_count(told: Book) -> None:
    told.say(sold("O1", "10", MARCH + MIDDAY), sold("O2", "5", MARCH + 9 * DAY + MIDDAY), set_())

    assert asked(told, at=MARCH + 5 * DAY).actual == 10
    assert asked(told, at=MARCH + 9 * DAY + MIDDAY).actual == 15
    assert asked(told, at=MARCH - 5 * DAY).actual == 0


# what counts as a sale


def test_orders_count_where_nothing_is_ever_delivered_and_dispatches_where_anything_is(told: Book) -> None:
    told.say(sold("O1", "60"), sold("O2", "40", dealer="D2"), set_("T1"), set_("T2", scope={"dealer": "D2"}))
    ordered = asked(told), asked(told, "T2")

    told.say(sent("O1", "5"))

    assert [(row.actual, row.recognition) for row in ordered] == [(D(100), "ordered"), (D(40), "ordered")]
    assert (asked(told).actual, asked(told).recognition) == (D(30), "dispatched, net of returns")
    assert asked(told, "T2").actual == 0


def test_a_target_may_name_what_counts_and_else_the_policy_of_its_last_day_does(told: Book) -> None:
    told.say(sold("O1", "60"), sent("O1", "5"), set_("T1", recognition="ordered"), set_("T2"))
    told.say(
        ruled("sale", "recognition", MARCH + 3 * DAY, {"counts": "invoiced"}),
        ruled("sale-next", "recognition", APRIL, {"counts": "accepted"}),
    )

    assert (asked(told).actual, asked(told).recognition) == (D(60), "ordered")
    assert (asked(told, "T2").actual, asked(told, "T2").recognition) == (D(0), "invoiced")


def test_collection_counts_for_who_held_the_dealer_when_it_paid(told: Book) -> None:
    def paid(payment: str, amount: str, day: datetime, kind: str = "payment") -> bytes:
        about = {"dealer": "D1", "currency": "CNY", "kind": kind, "amount": amount}
        return body("payment.received.v1", payment=payment, time=day, **about)

    told.say(
        held("East", MARCH + 10 * DAY),
        body("rep.assigned.v1", rep="R1", to={"territory": "East"}, from_=MARCH),
    )
    told.say(
        paid("P1", "10", MARCH + DAY),
        paid("P2", "50", MARCH + 20 * DAY),
        paid("P3", "8", MARCH + 21 * DAY, "refund"),
    )
    scopes = ({"dealer": "D1"}, {"territory": "East"}, {"rep": "R1"}, {"rep": "R2"})
    told.say(*[set_(f"T{n}", measure="collection", scope=scope) for n, scope in enumerate(scopes)])

    assert [asked(told, f"T{n}").actual for n in range(4)] == [D(52), D(42), D(42), D(0)]


def test_volume_is_litres_and_what_has_no_class_of_outlet_cannot_be_said(told: Book) -> None:
    told.say(
        body("product.listed.v1", sku="COLA", name="可乐", base_uom="case", volume="7.92"), sold("O1", "60")
    )
    told.say(set_("T1", measure="volume", currency=None), set_("T2", scope={"outlet_class": "small"}))

    assert asked(told).actual == D("79.2")
    assert (asked(told, "T2").actual, asked(told, "T2").variance) == (None, None)


# where it is going


def test_pace_goes_by_the_working_days_of_the_company(told: Book) -> None:
    # March 2026 begins on a Sunday: 22 working days, less the 2nd and 3rd, and the 7th made up for one.
    holidays = {"holidays": ["2026-03-02", "2026-03-03"], "made_up": ["2026-03-07"]}
    told.say(
        ruled("year", "calendar", MARCH - 60 * DAY, holidays),
        set_(value="210"),
        sold("O1", "40", MARCH + 3 * DAY),
    )

    row = asked(told, at=MARCH + 6 * DAY + MIDDAY)  # the 4th, 5th, 6th and 7th

    assert (row.working_days, row.elapsed_days) == (21, 4)
    assert (row.run_rate, row.landing, row.required_rate) == (D(10), D(210), D(10))
    assert (row.phased_value, row.pace) == (D(40), D(1))


def test_a_back_loaded_target_is_not_late_because_it_is_back_loaded(told: Book) -> None:
    half = MARCH + 15 * DAY
    phases = [{"from": MARCH, "to": half, "share": "0.2"}, {"from": half, "to": APRIL, "share": "0.8"}]
    told.say(set_(phasing=phases), sold("O1", "20", MARCH + 2 * DAY))

    row = asked(told, at=half - DAY + MIDDAY)

    assert (row.phased_value, row.pace, row.landing) == (D(20), D(1), D(100))


def test_before_it_begins_a_target_has_neither_pace_nor_landing(told: Book) -> None:
    told.say(set_())

    row = asked(told, at=MARCH - 9 * DAY)

    assert (row.elapsed_days, row.run_rate, row.landing, row.pace) == (0, None, None, None)


def test_children_are_held_against_their_parent_in_its_own_unit(told: Book) -> None:
    told.say(
        set_("YEAR", "100"),
        set_("A", "60", parent="YEAR"),
        set_("B", "30", parent="YEAR"),
        set_("C", "900", parent="YEAR", currency="USD"),
        set_("S", "80", parent="YEAR", level="stretch"),
    )

    assert (asked(told, "YEAR").children_value, asked(told, "YEAR").children_variance) == (D(90), D(-10))
    assert asked(told, "A").children_value is None


def test_targets_asked_together_are_the_targets_asked_alone(told: Book) -> None:
    windows = [(0, 31), (0, 10), (5, 20), (10, 31), (-40, 90)]
    told.say(*[sold(f"O{n}", str(2**n), MARCH + n * 2 * DAY + MIDDAY) for n in range(12)])
    told.say(*[set_(f"T{n}", from_=MARCH + a * DAY, to=MARCH + b * DAY) for n, (a, b) in enumerate(windows)])

    together = {row.target: row for row in told.ask(targets)}

    assert [together[f"T{n}"] for n in range(5)] == [asked(told, f"T{n}") for n in range(5)]
    assert [together[f"T{n}"].actual for n in range(5)] == [
        sum(2**n for n in range(12) if a <= 2 * n < b) for a, b in windows
    ]


days = st.dates(date(2025, 12, 1), date(2026, 3, 1))


@settings(max_examples=30, derandomize=True, database=None)
@given(
    st.builds(
        Calendar,
        working_days=st.lists(st.integers(1, 7), max_size=7).map(tuple),
        holidays=st.lists(days, max_size=5).map(tuple),
        made_up=st.lists(days, max_size=5).map(tuple),
    ),
    *(days, st.integers(-5, 60)),
)
def test_working_days_are_counted_as_one_by_one(calendar: Calendar, first: date, length: int) -> None:
    found = calendar.count(first, first + length * DAY)

    assert found == sum(calendar.works(first + n * DAY) for n in range(length))
