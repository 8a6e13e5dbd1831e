"""On time, in full, at the right place: one order at three levels, and what is unknown is not late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.calendar import Window
from domain.fulfilment import Asked, Came, Course, Held, Sent, Stated, Taken, same_place
from domain.otif import CAUSES, Rule, judge, judge_lines, rule_of
from domain.places import Address, Place

DAY = timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEDNESDAY = MONDAY + 2 * DAY
SHOP, GATE = Place(id="SHOP"), Place(id="GATE")
ARRIVED, DISPATCHED = Rule(), Rule(measure="dispatched")


def window(day: int, days: int = 1) -> Window:
    return Window(from_=MONDAY + day * DAY, to=MONDAY + (day + days) * DAY)


def promised(day: int, at: int = 0) -> Stated:
    return Stated(MONDAY + at * DAY, window(day))


def sent(day: float, *lines: tuple[str, object], delivery: str = "L1") -> Sent:
    return Sent(MONDAY + day * DAY, delivery, tuple((sku, Decimal(str(q))) for sku, q in lines), "SF")


def came(day: float, *lines: tuple[str, object], place: Place | None = SHOP, **more: Any) -> Came:
    taken = tuple(Taken(sku, Decimal(str(q)), Decimal(more.get("spoilt", 0))) for sku, q in lines)
    return Came(MONDAY + day * DAY, more.get("delivery", "L1"), more.get("receipt", "R1"), taken, place)


def course(*asked: tuple[str, object], **more: Any) -> Course:
    """An order for Wednesday to the shop, as promised on Monday."""
    lines = tuple(Asked(sku, Decimal(str(quantity))) for sku, quantity in asked or (("COLA", 10),))
    return replace(Course(asked=lines, promised=(promised(2),), ship_to=SHOP), **more)


# 140 of 160 cases came in time: one line of three was split, and its second part came a day late.
SPLIT = course(
    ("COLA", 100),
    ("可乐", 50),
    ("TEA", 10),
    sent=(sent(1, ("COLA", 100), ("可乐", 30), ("TEA", 10)), sent(2, ("可乐", 20), delivery="L2")),
    came=(
        came(2.5, ("COLA", 100), ("可乐", 30), ("TEA", 10)),
        came(3.5, ("可乐", 20), delivery="L2"),
    ),
)


def test_one_order_is_judged_at_three_levels() -> None:
    said = judge(SPLIT, ARRIVED)

    assert (said.outcome, said.ok, said.in_full, said.right_place) == ("late", False, True, True)
    assert (said.lines_ok, said.lines) == (2, 3)
    assert (said.cases_ok, said.cases) == (Decimal(140), Decimal(160))
    assert (said.cause, said.days_late) == ("transit", 1)


def test_it_left_in_time_all_the_same() -> None:
    said = judge(replace(SPLIT, promised=(Stated(MONDAY, window(1, 2)),)), DISPATCHED)

    assert (said.outcome, said.ok, said.cases_ok) == ("on_time", True, Decimal(160))


def test_two_parts_that_both_come_in_time_are_in_full() -> None:
    order = course(
        came=(came(2.2, ("COLA", 4)), came(2.8, ("COLA", 6), receipt="R2")), sent=(sent(1, ("COLA", 10)),)
    )

    said = judge(order, ARRIVED)

    assert (said.ok, said.in_full, said.cases_ok, said.cause) == (True, True, Decimal(10), "")


def test_a_short_delivery_is_on_time_and_not_in_full() -> None:
    said = judge(course(came=(came(2, ("COLA", 7)),), sent=(sent(1, ("COLA", 10)),)), ARRIVED)

    assert (said.outcome, said.in_full, said.ok, said.cause) == ("on_time", False, False, "short")


def test_what_was_refused_is_not_merely_short() -> None:
    said = judge(course(came=(came(2, ("COLA", 7), spoilt=3),), sent=(sent(1, ("COLA", 10)),)), ARRIVED)

    assert said.cause == "refused"


def test_a_tolerance_forgives_some_of_it_and_no_more() -> None:
    short, over = course(came=(came(2, ("COLA", "9.5")),)), course(came=(came(2, ("COLA", "10.6")),))
    rule = Rule(tolerance_under=Decimal("0.05"), tolerance_over=Decimal("0.05"))

    assert [judge(order, ARRIVED).in_full for order in (short, over)] == [False, False]
    assert [judge(order, rule).in_full for order in (short, over)] == [True, False]
    assert judge(over, rule).cause == "over"


def test_the_window_is_half_open_and_grace_widens_it() -> None:
    on_the_hour = course(came=(came(3, ("COLA", 10)),))

    assert judge(on_the_hour, ARRIVED).outcome == "late"
    assert judge(on_the_hour, Rule(grace_minutes=1)).outcome == "on_time"
    assert judge(course(came=(came(1.9, ("COLA", 10)),)), ARRIVED).outcome == "early"


def test_the_wrong_place_is_no_delivery_in_time() -> None:
    said = judge(course(came=(came(2, ("COLA", 10), place=GATE),)), ARRIVED)

    assert (said.outcome, said.right_place, said.ok) == ("on_time", False, False)
    assert (said.cases_ok, said.cause) == (Decimal(0), "wrong_place")


def test_a_place_that_nobody_names_is_neither_right_nor_wrong() -> None:
    said = judge(course(came=(came(2, ("COLA", 10), place=None),)), ARRIVED)

    assert (said.right_place, said.ok) == (None, True)


def test_without_a_window_nothing_is_late() -> None:
    said = judge(course(promised=(), came=(came(9, ("COLA", 10)),)), ARRIVED, MONDAY + 99 * DAY)

    assert (said.outcome, said.overdue, said.cause) == ("no_window", False, "")


def test_what_never_came_fails_once_its_window_has_closed() -> None:
    order = course(sent=())

    assert [judge(order, ARRIVED, MONDAY + day * DAY).overdue for day in (2, 3)] == [False, True]
    assert judge(order, ARRIVED).outcome == "not_shipped"
    assert judge(order, ARRIVED, MONDAY + 3 * DAY).cause == "late_dispatch"


def test_what_the_dealer_no_longer_wants_is_not_missing() -> None:
    partly = course(("COLA", 10), ("TEA", 5), withdrawn=True, came=(came(2, ("COLA", 4)),))

    said = judge(partly, ARRIVED, MONDAY + 9 * DAY)

    assert (said.ok, said.lines, said.cases) == (True, 1, Decimal(4))
    assert judge(course(withdrawn=True), ARRIVED, MONDAY + 9 * DAY).outcome == ""


def test_the_bases_are_three() -> None:
    order = course(
        requested=(Stated(MONDAY, window(1)),),
        promised=(promised(2), promised(4, at=1)),
        sent=(sent(3, ("COLA", 10)),),
    )

    [windows] = [
        [
            judge_lines(order, Rule(basis=basis))[0].window
            for basis in ("requested", "promised_first", "promised_last")
        ]
    ]

    assert windows == [window(1), window(2), window(4)]


def test_a_promise_given_after_goods_have_left_resets_nothing() -> None:
    order = course(
        promised=(promised(2), promised(6, at=4)),
        sent=(sent(3.5, ("COLA", 10)),),
        came=(came(6, ("COLA", 10)),),
    )

    assert judge(order, ARRIVED).outcome == "late"


def test_a_change_by_the_dealer_resets_the_first_promise_if_a_new_one_came_before_dispatch() -> None:
    first = Rule(basis="promised_first")
    order = course(
        promised=(promised(2), promised(5, at=1)), changed=(MONDAY + DAY / 2,), came=(came(5, ("COLA", 10)),)
    )
    soon, too_soon = sent(4, ("COLA", 10)), sent(0.9, ("COLA", 10))

    assert judge(replace(order, sent=(soon,)), first).outcome == "on_time"
    assert judge(replace(order, sent=(too_soon,)), first).outcome == "late"
    assert judge(replace(order, changed=(), sent=(soon,)), first).outcome == "late"


@pytest.mark.parametrize(
    ("held", "left", "cause"),
    [
        ((Held("credit", MONDAY, WEDNESDAY + DAY), Held("stock", MONDAY, WEDNESDAY)), 3, "credit_hold"),
        ((Held("stock", MONDAY, WEDNESDAY + DAY),), 3, "no_stock"),
        ((Held("compliance", MONDAY, WEDNESDAY + DAY),), 3, "late_dispatch"),
        ((Held("credit", MONDAY, MONDAY + DAY),), 2, "transit"),
        ((), 3, "late_dispatch"),
        ((), 2, "transit"),
        ((), None, "unknown"),
    ],
)
def test_the_cause_is_the_first_link_that_failed(
    held: tuple[Held, ...], left: int | None, cause: str
) -> None:
    loads = () if left is None else (sent(left, ("COLA", 10)),)

    said = judge(course(held=held, sent=loads, came=(came(4, ("COLA", 10)),)), ARRIVED)

    assert (said.outcome, said.cause) == ("late", cause)


@pytest.mark.parametrize(
    ("wanted", "actual", "same"),
    [
        (Place(id="A"), Place(id="A"), True),
        (Place(id="A"), Place(id="B"), False),
        (Place(gln="1" * 13, id="A"), Place(gln="1" * 13, id="B"), True),
        (Place(id="A", spot="dock 1"), Place(id="A", spot="Dock 1 "), True),
        (Place(id="A", spot="dock 1"), Place(id="A", spot="dock 2"), False),
        (Place(id="A", spot="dock 1"), Place(id="A"), True),
        (Place(id="A"), Place(name="somewhere"), None),
        (
            Place(address=Address(country="CN", city="上海")),
            Place(address=Address(country="CN", city="上海")),
            True,
        ),
        (Place(address=Address(country="CN", city="上海")), Place(address=Address(city="蘇州")), False),
        (Place(address=Address(country="CN")), Place(address=Address(country="CN")), None),
        (Place(address=Address(country="CN")), Place(address=Address(country="JP")), False),
        (None, Place(id="A"), None),
    ],
)
def test_places_compare_as_far_as_both_sides_say(
    wanted: Place | None, actual: Place, same: bool | None
) -> None:
    assert same_place(wanted, actual) is same


def test_a_rule_that_cannot_be_read_is_none() -> None:
    assert rule_of({"basis": "requested", "tolerance_under": "0.02"}) == Rule(
        basis="requested", tolerance_under=Decimal("0.02")
    )
    assert rule_of({"basis": "whenever"}) is None
    assert rule_of({"tolerance_over": 2}) is None


quantities = st.integers(0, 12).map(Decimal)
days = st.integers(0, 48).map(lambda hours: hours / 8)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    skus = ("COLA", "TEA")
    loads = [
        sent(draw(days), *[(s, draw(quantities)) for s in skus], delivery=f"L{n}")
        for n in range(draw(st.integers(0, 2)))
    ]
    receipts = [
        came(
            draw(days),
            *[(s, draw(quantities)) for s in skus],
            receipt=f"R{n}",
            place=draw(st.sampled_from((SHOP, GATE, None))),
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    return course(
        *[(sku, draw(st.integers(1, 12))) for sku in skus],
        promised=tuple(promised(draw(st.integers(1, 4)), at) for at in range(draw(st.integers(0, 2)))),
        withdrawn=draw(st.booleans()),
        held=draw(st.sampled_from([(), (Held("credit", MONDAY),), (Held("stock", MONDAY, WEDNESDAY),)])),
        sent=tuple(loads),
        came=tuple(receipts),
    )


rules = st.builds(
    Rule,
    basis=st.sampled_from(("requested", "promised_first", "promised_last")),
    measure=st.sampled_from(("arrived", "dispatched")),
    tolerance_under=st.sampled_from((Decimal(0), Decimal("0.1"))),
    tolerance_over=st.sampled_from((Decimal(0), Decimal("0.1"))),
    grace_minutes=st.sampled_from((0, 600)),
)
LAW = settings(max_examples=30, derandomize=True, database=None, deadline=None)


@LAW
@given(courses(), rules, st.sampled_from((None, MONDAY, MONDAY + 9 * DAY)))
def test_levels_agree_and_every_failure_has_a_cause(order: Course, rule: Rule, at: datetime | None) -> None:
    said = judge(order, rule, at)

    assert said.ok == (said.lines > 0 and said.lines_ok == said.lines)
    assert 0 <= said.lines_ok <= min(said.lines_on_time, said.lines_in_full) <= said.lines
    assert 0 <= said.cases_ok <= said.cases
    assert said.cause in ("", *CAUSES)
    if (
        said.outcome in ("late", "early")
        or said.overdue
        or (said.right_place is False and said.outcome != "not_shipped")
    ):
        assert said.cause
    if said.ok:
        assert (said.cause, said.overdue) == ("", False)


@LAW
@given(courses(), rules, st.randoms(use_true_random=False))
def test_the_order_in_which_goods_are_told_of_changes_nothing(order: Course, rule: Rule, random: Any) -> None:
    loads, receipts = list(order.sent), list(order.came)
    random.shuffle(loads)
    random.shuffle(receipts)

    assert judge(replace(order, sent=tuple(loads), came=tuple(receipts)), rule) == judge(order, rule)


@LAW
@given(courses(), rules)
def test_a_wider_rule_never_fails_what_a_narrower_one_passes(order: Course, rule: Rule) -> None:
    wider = replace(rule, grace_minutes=rule.grace_minutes + 60)

    assert judge(order, wider).lines_ok >= judge(order, rule).lines_ok
