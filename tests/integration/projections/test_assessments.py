"""Cards of dealers filled in from events: the published examples, and what a card does without data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.moment import Moment
from domain.cards import FIGURES, OF_A_WHOLE
from domain.periods import period_of, quarters
from projections.assessment_figures import figures_of
from projections.assessments import ASSESSMENTS, Assessment, assessments
from projections.conduct import ConductDay, GivenMark
from projections.policies import policies
from tests.lab.book import LATER, Book, book
from tests.lab.databases import Databases, Where
from tests.lab.events import body, counted
from tests.lab.folding import Worlds, shut
from tests.lab.histories import BEGIN, HOUR, Fact, void_of

D = Decimal
CHINA = timezone(timedelta(hours=8))
DAY = timedelta(days=1)
JANUARY, APRIL = datetime(2026, 1, 1, tzinfo=CHINA), datetime(2026, 4, 1, tzinfo=CHINA)
MIDDAY = JANUARY + 40 * DAY + timedelta(hours=12)
Q1 = "2026-Q1"
LAW = settings(max_examples=25, derandomize=True, database=None, deadline=None)


@pytest.fixture
def told(built: Where) -> Iterator[Book]:
    yield from book(built)


def delivered(number: int, *, late: bool, dealer: str = "D1", day: datetime = MIDDAY) -> list[bytes]:
    """An order promised for the next day and what arrived of it."""
    about = {"dealer": dealer, "order": f"O{number}"}
    lines = [{"line": "1", "sku": "COLA", "quantity": "1", "unit_price": "2", "net": "2"}]
    promised = {"from": day, "to": day + DAY}
    goods = [{"sku": "COLA", "quantity": "1"}]
    arrived = day + (2 if late else 0.5) * DAY
    receipt = {
        "delivery": f"L{number}",
        "receipt": "R",
        "arrived": arrived,
        "lines": [{"sku": "COLA", "accepted": "1"}],
    }
    return [
        body("order.placed.v1", time=day, currency="CNY", promised=promised, lines=lines, **about),
        body("delivery.dispatched.v1", time=day, delivery=f"L{number}", lines=goods, **about),
        body("delivery.received.v1", time=arrived, **about, **receipt),
    ]


def breach(case: str, kind: str = "price", type: str = "confirmed", day: datetime = MIDDAY) -> bytes:
    return body(f"violation.{type}.v1", case=case, dealer="D1", kind=kind, by="supervisor", time=day)


def billed(invoice: str, settled_after_days: int, dealer: str = "D1") -> list[bytes]:
    lines = [{"line": "1", "sku": "COLA", "quantity": "1", "net": "10"}]
    about = {"dealer": dealer, "currency": "CNY"}
    at, paid = MIDDAY + 10 * DAY, MIDDAY + settled_after_days * DAY
    parts = [{"invoice": invoice, "amount": "10"}]
    return [
        body("invoice.issued.v1", invoice=invoice, kind="invoice", time=MIDDAY, due=at, lines=lines, **about),
        body(
            "payment.received.v1",
            payment=f"P-{invoice}",
            kind="payment",
            amount="10",
            time=paid,
            allocations=parts,
            **about,
        ),
    ]


def published(policy: str, rule: dict[str, Any], effective: datetime, version: str = "1") -> bytes:
    about = {"policy": policy, "kind": "assessment", "version": version, "effective": effective, "body": rule}
    return body("policy.published.v1", **about)


def given_mark(criterion: str, dealer: str = "D1", **said: str) -> bytes:
    period = {"from": JANUARY, "to": APRIL}
    return body(
        "assessment.input.v1",
        dealer=dealer,
        period=period,
        criterion=criterion,
        by="supervisor",
        subject=dealer,
        **said,
    )


def cards(told: Book, at: datetime = LATER, **filters: str) -> list[Assessment]:
    return told.ask(assessments, at, **{"period": [Q1], **{name: [value] for name, value in filters.items()}})


def adds_up(card: Assessment) -> bool:
    """Whether what is shown makes the score, to the cent."""
    judged = [c for c in card.criteria if c.earned is not None]
    whole = sum(c.points for c in judged)
    if card.score is None or not whole:
        return card.score is None
    earned = 100 * sum(c.earned or D(0) for c in judged) / whole - sum(d.points for d in card.deductions)
    return card.score == max(D(0), min(D(100), earned)).quantize(D("0.01"))


RATIO = {"code": "on_time", "figure": "on_time", "points": 40, "way": "ratio"}
PAYMENT = {"code": "pay", "figure": "late_payments", "points": 100, "way": "count_down", "step": 5}
HAND = {"code": "look", "figure": "manual", "points": 60, "way": "manual", "grades": {"優": 100, "良": 80}}


def test_the_card_of_a_distributor_in_shanghai_scores_what_is_published(told: Book) -> None:
    told.say(*[event for number in range(100) for event in delivered(number, late=number >= 92)])
    told.say(breach("V1"), breach("V2", day=APRIL + DAY))
    told.say(counted("C1", "D1", MIDDAY, *[(f"S{n}", 1) for n in range(10)], ("S11", 0), dealer="D1"))
    told.say(*billed("I1", 11), *billed("I2", 5))

    [card] = cards(told)

    assert [(c.code, c.earned) for c in card.criteria] == [
        ("on_time", D("27.6")),
        ("price", D(10)),
        ("region", D(20)),
        ("stock", D("16.666667")),
        ("payment", D(5)),
    ]
    assert (card.policy, card.score, card.grade, card.coverage) == ("pepsi-shanghai", D("79.27"), "C", D(1))
    assert adds_up(card)


def test_an_order_of_which_nothing_came_is_late_once_its_window_has_closed_and_unknown_before(
    told: Book,
) -> None:
    told.say(published("ours", {"criteria": [RATIO, HAND]}, JANUARY), given_mark("look", grade="優"))
    told.say(*delivered(1, late=False), delivered(2, late=False)[0])

    [before], [after] = cards(told, MIDDAY + DAY * 0.9), cards(told, MIDDAY + DAY)

    assert [c.earned for c in before.criteria] == [D(40), D(60)]
    assert [c.earned for c in after.criteria] == [D(20), D(60)]


def test_an_order_is_judged_by_what_had_arrived_at_the_instant(told: Book) -> None:
    told.say(published("ours", {"criteria": [RATIO, HAND]}, JANUARY), given_mark("look", grade="優"))
    told.say(*delivered(1, late=True))

    [open_], [closed] = cards(told, MIDDAY + DAY * 0.9), cards(told, MIDDAY + DAY)

    assert (open_.criteria[0].whole, closed.criteria[0].whole) == (None, D(1))
    assert closed.criteria[0].earned == D(0)


def test_a_rest_that_came_late_does_not_count_before_it_came(told: Book) -> None:
    """As `otif_orders` says of the same instant: half of the order had come, in time."""
    told.say(published("ours", {"criteria": [RATIO]}, JANUARY))
    placed, dispatched, received = delivered(1, late=False)
    told.say(placed.replace(b'"quantity": "1"', b'"quantity": "2"'), dispatched, received)
    told.say(delivered(2, late=False)[0])  # of which nothing came at all
    rest = {"delivery": "L1", "receipt": "R2", "lines": [{"sku": "COLA", "accepted": "1"}]}
    told.say(body("delivery.received.v1", dealer="D1", order="O1", arrived=MIDDAY + 3 * DAY, **rest))

    [before], [after] = cards(told, MIDDAY + 2 * DAY), cards(told, MIDDAY + 3 * DAY)

    assert [(c.part, c.whole) for c in (*before.criteria, *after.criteria)] == [(1, 2), (0, 2)]


def test_deliveries_are_judged_by_the_companys_own_rule_where_it_has_one(told: Book) -> None:
    told.say(published("ours", {"criteria": [RATIO]}, JANUARY))
    told.say(*delivered(1, late=False), *delivered(2, late=True), delivered(3, late=False)[0])
    [built_in] = cards(told)
    rule = {"policy": "otif-default", "kind": "otif", "version": "1", "effective": JANUARY}
    told.say(body("policy.published.v1", **rule, body={"grace_minutes": 2 * 24 * 60}))
    [own] = cards(told)

    assert [(c.part, c.whole) for c in (*built_in.criteria, *own.criteria)] == [(1, 3), (2, 3)]


def test_an_order_fails_when_the_window_of_a_line_has_closed_on_nothing(told: Book) -> None:
    """The other line may come until the evening; the company's own rule, which is the built-in one, says the same."""
    told.say(published("ours", {"criteria": [RATIO]}, JANUARY))
    line = {"sku": "COLA", "quantity": "1", "unit_price": "2", "net": "2"}
    lines = [
        line
        | {
            "line": str(hours),
            "sku": f"S{hours}",
            "promised": {"from": MIDDAY - DAY, "to": MIDDAY + hours * DAY / 24},
        }
        for hours in (1, 6)
    ]
    told.say(
        body("order.placed.v1", dealer="D1", order="O9", currency="CNY", time=MIDDAY - 2 * DAY, lines=lines)
    )
    [early], [built_in] = cards(told, MIDDAY), cards(told, MIDDAY + DAY / 8)
    rule = {"policy": "otif-default", "kind": "otif", "version": "1", "effective": JANUARY}
    told.say(body("policy.published.v1", **rule, body={}))
    [own] = cards(told, MIDDAY + DAY / 8)

    assert [(c.part, c.whole) for c in (*early.criteria, *built_in.criteria, *own.criteria)] == [
        *[(None, None), (0, 1), (0, 1)]
    ]


def test_an_invoice_is_late_from_the_instant_it_is_due_in_any_offset(told: Book) -> None:
    due = datetime(2026, 3, 1, 23, tzinfo=timezone(timedelta(hours=-8)))  # in UTC it is the day after
    lines = [{"line": "1", "sku": "COLA", "quantity": "1", "net": "10"}]
    about = {"invoice": "I1", "dealer": "D1", "kind": "invoice", "currency": "USD", "lines": lines}
    told.say(body("invoice.issued.v1", time=MIDDAY, due=due, **about), *delivered(1, late=False))
    told.say(published("ours", {"criteria": [PAYMENT]}, JANUARY))

    [before], [after] = cards(told, due - timedelta.resolution), cards(told, due)

    assert (before.criteria[0].part, after.criteria[0].part) == (None, 1)


def test_a_payment_that_failed_counts_in_the_period_it_failed_in_alone(told: Book) -> None:
    told.say(*billed("I1", settled_after_days=5), published("ours", {"criteria": [PAYMENT]}, JANUARY))
    told.say(body("payment.failed.v1", payment="P-I1", dealer="D1", time=APRIL + DAY / 2, reason="bounced"))

    [first], [second] = cards(told, at=APRIL + 30 * DAY), cards(told, at=APRIL + 30 * DAY, period="2026-Q2")

    assert first.criteria[0].part == 0  # it was settled when it was due
    assert second.criteria[0].part == 1


def test_a_dismissed_violation_does_not_count(told: Book) -> None:
    told.say(*delivered(1, late=False))
    told.say(breach("V1"), breach("V2", "diversion"), breach("V2", "diversion", "dismissed", MIDDAY + DAY))

    [day] = told.rows(ConductDay)

    assert (day.price_breaches, day.diversions, day.violations_open) == (1, 0, 0)


def test_marks_of_a_person_count_by_the_grades_of_the_card_and_complete_the_secondary_card(
    told: Book,
) -> None:
    told.say(*delivered(1, late=False), given_mark("feedback", grade="良"), given_mark("direct", value="60"))
    told.say(given_mark("forecast", value="0.3"))
    about = {"measure": "amount", "flow": "primary", "recognition": "ordered", "currency": "CNY"}
    window = {"from_": JANUARY, "to": APRIL, "scope": {"dealer": "D1"}}
    told.say(body("target.set.v1", target="T1", value="4", **about, **window))

    [card] = cards(told, policy="secondary-quarterly")

    assert {c.code: c.earned for c in card.criteria} == {
        "target": D(25),
        "main_product": None,
        "order_changes": D(10),
        "forecast": D(4),
        "feedback": D(8),
        "direct": D(3),
    }
    assert (card.score, card.coverage, card.what_if) == (D("62.5"), D("0.8"), True)
    assert adds_up(card)


def test_what_cannot_be_judged_gives_its_weight_to_the_others(told: Book) -> None:
    told.say(published("ours", {"criteria": [RATIO, HAND]}, JANUARY), given_mark("look", grade="優"))

    [card] = cards(told)

    assert (card.score, card.grade, card.coverage) == (D(100), "A", D("0.6"))
    assert [c.reason for c in card.criteria] == ["no data", ""]


def test_under_sixty_percent_of_the_points_there_is_no_grade(told: Book) -> None:
    told.say(published("ours", {"criteria": [RATIO | {"points": 41}, HAND | {"points": 59}]}, JANUARY))
    told.say(given_mark("look", grade="優"))

    [card] = cards(told)

    assert (card.score, card.grade, card.coverage) == (None, "暫不評級", D("0.59"))


@pytest.mark.parametrize(
    ("value", "grade"), [("100", "A"), ("90", "A"), ("89.99", "B"), ("80", "B"), ("69.99", "D")]
)
def test_a_grade_begins_at_its_least_score_and_the_top_one_holds_a_hundred(
    told: Book, value: str, grade: str
) -> None:
    told.say(published("ours", {"criteria": [HAND]}, JANUARY), given_mark("look", value=value))

    [card] = cards(told)

    assert (card.score, card.grade) == (D(value), grade)


def test_deductions_are_capped_and_a_score_is_never_below_nothing(told: Book) -> None:
    off = [{"code": "price", "figure": "price_breaches", "each": 3, "most": 6}]
    told.say(
        published("ours", {"criteria": [HAND], "deductions": off}, JANUARY), given_mark("look", value="5")
    )
    told.say(given_mark("look", dealer="D2", value="50"))
    told.say(*[breach(f"V{n}") for n in range(3)])

    one, other = cards(told)

    assert ([d.points for d in one.deductions], one.score, other.score) == ([D(6)], D(0), D(50))


def test_a_policy_rules_the_periods_that_end_after_it_takes_effect_by_its_own_clock(told: Book) -> None:
    told.say(*delivered(1, late=False), *delivered(2, late=False, day=APRIL + DAY))
    told.say(
        published("ours", {"criteria": [RATIO]}, JANUARY),
        published("ours", {"criteria": [RATIO, HAND]}, APRIL, "2"),
    )

    first = cards(told)
    second = told.ask(assessments, period=["2026-Q2"])

    assert [(c.policy, c.version) for c in (*first, *second)] == [("ours", "1"), ("ours", "2")]


def test_before_the_companys_own_policy_the_built_in_one_rules_and_the_own_one_can_be_tried(
    told: Book,
) -> None:
    told.say(*delivered(1, late=False), published("ours", {"criteria": [RATIO]}, APRIL))

    [ruling], [tried] = cards(told), cards(told, policy="ours")

    assert (ruling.policy, ruling.what_if) == ("pepsi-shanghai", False)
    assert (tried.policy, tried.score, tried.what_if) == ("ours", D(100), True)


def test_a_policy_that_cannot_be_read_leaves_the_one_before_in_force(told: Book) -> None:
    told.say(given_mark("look", value="70"), published("ours", {"criteria": [HAND]}, JANUARY))
    told.say(published("ours", {"criteria": "none"}, JANUARY + DAY, "2"))

    assert [(c.version, c.score) for c in cards(told)] == [("1", D(70))]


def test_a_card_that_makes_no_sense_leaves_the_one_before_and_at_last_the_built_in_one_in_force(
    told: Book,
) -> None:
    told.say(given_mark("look", value="70"), *delivered(1, late=False))
    nonsense = {"criteria": [{**HAND, "points": 0}, {**RATIO, "figure": "lateness"}]}

    told.say(published("ours", nonsense, JANUARY))
    first, asked = cards(told), cards(told, policy="ours")
    told.say(published("ours", {"criteria": [HAND]}, JANUARY + DAY, "2"))
    told.say(published("ours", nonsense, JANUARY + 2 * DAY, "3"))
    second = cards(told)

    assert ([(c.policy, c.what_if) for c in first], asked) == ([("pepsi-shanghai", False)], [])
    assert [(c.version, c.score) for c in second] == [("2", D(70))]
    said = {row.version: row for row in told.ask(policies) if row.policy == "ours"}
    assert {version: row.readable for version, row in said.items()} == {"1": False, "2": True, "3": False}
    assert [flaw.field for flaw in said["3"].flaws] == ["criteria[0].points", "criteria[1].figure"]


def test_the_figures_that_cards_may_name_are_those_that_are_counted(told: Book) -> None:
    about = {"flow": "primary", "measure": "quantity", "from_": JANUARY, "to": APRIL}
    for target, scope in (("T1", {"dealer": "D1"}), ("T2", {"dealer": "D1", "skus": ["COLA"]})):
        told.say(body("target.set.v1", target=target, value="5", scope=scope, **about))
    told.say(*delivered(1, late=False), *billed("I1", 5))
    told.say(counted("C1", "D1", MIDDAY, ("COLA", 5), dealer="D1"))

    with told.engine.database.engine.connect() as connection:
        first, end = JANUARY.date(), APRIL.date()
        found = figures_of(Moment(connection, ()), (first, end), LATER, {}, {"D1"})

    assert sorted(found["D1"]) == sorted(FIGURES)
    assert {name for name, figure in found["D1"].items() if figure.whole is not None} == set(OF_A_WHOLE)


def test_who_has_a_contract_in_the_period_is_shown_and_has_a_card_even_without_trade(told: Book) -> None:
    about = {"from_": JANUARY - 30 * DAY, "to": JANUARY + 30 * DAY}
    told.say(body("contract.signed.v1", contract="C1", dealer="D2", **about), *delivered(1, late=False))

    assert [(c.dealer, c.contracted) for c in cards(told)] == [("D1", False), ("D2", True)]
    assert [(c.dealer, c.grade) for c in cards(told, dealer="D2")] == [("D2", "暫不評級")]


def test_a_warehouse_that_is_counted_is_no_dealer(told: Book) -> None:
    told.say(counted("C1", "WH", MIDDAY, ("COLA", 5)), *delivered(1, late=False))

    assert [card.dealer for card in cards(told)] == ["D1"]


def test_targets_in_different_units_are_not_added(told: Book) -> None:
    about = {"flow": "primary", "recognition": "ordered", "from_": JANUARY, "to": APRIL}
    told.say(*delivered(1, late=False))
    told.say(
        body(
            "target.set.v1",
            target="T1",
            value="4",
            measure="amount",
            currency="CNY",
            scope={"dealer": "D1"},
            **about,
        ),
        body("target.set.v1", target="T2", value="1", measure="quantity", scope={"dealer": "D1"}, **about),
        body(
            "target.set.v1",
            target="T3",
            value="1",
            measure="quantity",
            scope={"dealer": "D1"},
            parent="T2",
            **about,
        ),
        body(
            "target.set.v1",
            target="T4",
            value="5",
            measure="quantity",
            scope={"dealer": "D1", "skus": ["COLA"]},
            **about,
        ),
    )

    [card] = cards(told, policy="secondary-quarterly")

    found = {c.code: (c.part, c.whole) for c in card.criteria}
    assert found["target"] == (D("1.5"), D(2))
    assert found["main_product"] == (D(1), D(5))


def test_without_a_period_the_last_quarter_and_the_present_one_are_answered(told: Book) -> None:
    told.say(*delivered(1, late=False), *delivered(2, late=False, day=APRIL + DAY))

    found = told.ask(assessments, APRIL + 20 * DAY)

    assert [card.period for card in found] == ["2026-Q1", "2026-Q2"]


def test_periods_are_named_by_year_quarter_or_month() -> None:
    names = ["2026", "2026-Q4", "2026-12", "2026-02", "2026-13", "0000", "9999"]

    found = [p and (str(p.from_day), str(p.to_day)) for p in map(period_of, names)]

    assert found[:4] == [
        ("2026-01-01", "2027-01-01"),
        ("2026-10-01", "2027-01-01"),
        ("2026-12-01", "2027-01-01"),
        ("2026-02-01", "2026-03-01"),
    ]
    assert found[4:] == [None, None, None]
    assert [p.name for p in quarters(JANUARY.date())] == ["2025-Q4", "2026-Q1"]


# laws


@st.composite
def facts(draw: st.DrawFn, id: str, time: datetime) -> Fact:
    """One fact of a dealer's conduct."""
    dealer = draw(st.sampled_from(["@D1", "@D2"]))
    kind = draw(
        st.sampled_from(
            ["placed", "amended", "cancelled", "closed", "opened", "resolved", "counted", "mark", "case"]
        )
    )
    about = {"dealer": dealer, "order": draw(st.sampled_from(["@O1", "@O2"]))}
    lines = [{"line": "1", "sku": "COLA", "quantity": "1", "unit_price": "2", "net": "2"}]
    if kind == "placed":
        return Fact("order.placed.v1", id, time, about | {"currency": "CNY", "lines": lines})
    if kind == "amended":
        how = {
            "initiator": draw(st.sampled_from(["dealer", "company"])),
            "severity": draw(st.sampled_from([None, "major"])),
        }
        return Fact("order.amended.v1", id, time, about | how | {"lines": lines})
    if kind in ("cancelled", "closed"):
        return Fact(f"order.{kind}.v1", id, time, about)
    if kind in ("opened", "resolved"):
        decision = draw(st.sampled_from([None, "不成立", "補償"])) if kind == "resolved" else None
        data = {"complaint": "@K1", "dealer": dealer, "kind": "quality", "decision": decision}
        return Fact(f"complaint.{kind}.v1", id, time, data)
    if kind == "counted":
        goods = [{"sku": s, "quantity": draw(st.sampled_from(["0", "3"]))} for s in ("COLA", "茶")]
        data = {"count": "@C1", "location": dealer, "dealer": draw(st.sampled_from([None, dealer]))}
        return Fact(
            "stock.counted.v1",
            id,
            time,
            data | {"at": time, "scope": "full", "method": "count", "lines": goods},
        )
    if kind == "case":
        return Fact("violation.recorded.v1", id, time, {"case": "@V1", "dealer": dealer, "kind": "price"})
    period = {"from": JANUARY, "to": APRIL}
    said = {
        "criterion": draw(st.sampled_from(["a", "b"])),
        "value": draw(st.sampled_from(["0", "50"])),
        "by": "@P",
    }
    return Fact("assessment.input.v1", id, time, {"dealer": dealer, "period": period} | said)


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    hours = draw(st.lists(st.integers(0, 300), min_size=2, max_size=12, unique=True))
    return [draw(facts(f"@e{number}", BEGIN + hour * HOUR)) for number, hour in enumerate(hours)]


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    worlds = Worlds(databases.new(), (ASSESSMENTS,))
    yield worlds
    shut(worlds.engine)


def rows(worlds: Worlds, *batches: list[Fact]) -> list[Any]:
    """All rows of a world, but for the sequence a mark came with."""
    world = worlds.fold(*batches)
    marks = worlds.rows(GivenMark, world)
    for mark in marks:
        mark.sequence = 0
    return [worlds.rows(ConductDay, world), marks]


@LAW
@given(history=histories(), data=st.data())
def test_conduct_depends_neither_on_the_order_of_arrival_nor_on_batches(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    other = data.draw(st.permutations(history))

    assert rows(worlds, history) == rows(worlds, *[[fact] for fact in other])


@LAW
@given(history=histories(), data=st.data())
def test_an_event_and_its_void_leave_conduct_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert rows(worlds, published) == rows(worlds, [fact for fact in history if fact is not gone])
