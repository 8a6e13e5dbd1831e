"""Laws of the past: what was true and known at any moment is what folding only that much would have given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.diffing import diff
from api.explaining import explain
from api.problems import Problem
from api.query import read_query
from api.reading import Opened, read_page, shown
from api.views import View
from api.whose import EVERYBODY
from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from infra.definitions import physical
from infra.engine import Engine
from infra.message import Message
from infra.past import Past
from projections.events import EventFlag
from projections.registry import PROJECTIONS
from projections.rows import TABLES
from tests.lab.channels import DEALERS, PLACES, PROMOTIONS, REPS, TARGETS, TERRITORIES, Channel
from tests.lab.events import NOON, body, counted, dispatched, log, moved, order, received, subject_of, voided
from tests.lab.folding import Scratch, engine_on, messages, shut
from tests.lab.histories import noisy
from tests.lab.year import VIEWS, opened_on

LATER, DAY = datetime(2026, 7, 1, tzinfo=UTC), timedelta(days=1)
FEW = settings(max_examples=4, derandomize=True, database=None, deadline=None)
ROWS = [EventFlag, *[row for projection in PROJECTIONS for row in projection.rows]]
#: What a question can name, so that not all events bear on it.
WAYS = {"dealer": DEALERS, "location": PLACES, "rep": REPS, "territory": TERRITORIES, "under": TERRITORIES}
WAYS |= {"promotion": PROMOTIONS, "target": TARGETS, "stated_rep": REPS, "stated_territory": TERRITORIES}
Published = list[tuple[str, bytes]]
Tables = dict[str, list[tuple[Any, ...]]]


@FEW
@given(published=noisy(most=25), known=st.integers(0, 30))
def test_the_past_is_what_the_engine_had_then(
    scratch_of_all: Scratch, published: Published, known: int
) -> None:
    log = messages(published)
    engine = engine_on(scratch_of_all.new(), PROJECTIONS)
    engine.apply(log[:known])
    engine.sync()
    then = _tables(engine)
    engine.apply(log)
    engine.sync()
    accepted = _accepted(engine, log[:known])
    shut(engine)

    assert _past(accepted) == then


@pytest.mark.parametrize("seed", range(2))
def test_what_is_asked_of_a_dealer_or_a_place_is_folded_from_all_that_bears_on_it(
    scratch_of_all: Scratch, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel with every kind of fact: folded again from what bears on it, a row is what all events make it."""
    channel = Channel(seed)
    said = messages([(subject_of(event), event) for event in channel.events(60)])
    where = scratch_of_all.new()
    opened = opened_on(where, said)
    chance = channel.chance
    last, middle = [("known_at", str(n)) for n in (len(said), chance.randint(1, len(said)))]
    without = ("without", str(chance.choice(_taken(opened))))
    valid_at = ("valid_at", (NOON + chance.randint(-30, 30) * timedelta(days=1)).isoformat())
    asked = [
        (view, (by, chance.choice(names)))
        for view in VIEWS.values()
        for by, names in WAYS.items()
        if view.explained and (view.tree if by == "under" else by in view.fields)
    ][
        seed + 2 * isinstance(where, str) :: 4
    ]  # two channels in two databases: together they are asked everything
    for view, whose in asked:
        assert _tried(opened, view, [whose, last]) == _tried(opened, view, [whose]), (view.name, whose)
    questions = [
        (view, [whose, *m]) for view, whose in asked for m in ([middle], [middle, valid_at], [without])
    ]
    scoped = [_tried(opened, *question) for question in questions]
    monkeypatch.setattr("api.past.whose", lambda index, query, kinds: EVERYBODY)  # of everything there is
    whole = [_tried(opened, *question) for question in questions]
    opened.close()

    for one, other, (view, question) in zip(scoped, whole, questions, strict=True):
        assert one == other, (view.name, question)


def _taken(opened: Opened) -> list[int]:
    with opened.reader() as reader:
        run = reader.connection.exec_driver_sql
        return [n for (n,) in run("SELECT sequence FROM events WHERE status = 'accepted'")]


def _tried(opened: Opened, view: View, said: list[tuple[str, str]]) -> list[dict[str, Any]] | str:
    try:
        return _asked(opened, view, *said)
    except Problem as problem:  # before everything the book speaks of
        return str(problem)


ORDERED = order("O1", "D1", ("COLA", 10), ship_to={"id": "WH"})
EARLY = NOON - timedelta(days=20)
WHEN = {"from_": EARLY, "to": NOON + timedelta(days=20)}
AMOUNT = {"measure": "amount", "currency": "CNY", "flow": "primary", "value": "100", **WHEN}
TARGET = body("target.set.v1", target="G1", scope={"dealer": "D1"}, **AMOUNT)
IN_T = body("territory.assigned.v1", dealer="D1", territory="T", from_=EARLY)
OFFERED = {
    **{"line": "1", "sku": "COLA", "quantity": "5", "unit_price": "2", "net": "9"},
    "discounts": [{"kind": "p", "amount": "1", "promotion": "P1"}],
}
NET = "dispatched, net of returns"
STEPS = ((-3, "held"), (-2, "released"), (-1, "held"), (1, "released"))
PERCENT = {"kind": "percent", "percent": "10"}
#: What is asked, of whom, and what was said that does not name whom; it is asked as it is true at noon, too.
STORIES = {
    "others release at a place what was ordered far ahead": (
        *("order_items", "dealer", "D1"),
        [
            order("O0", "D1"),
            order("O1", "D1", ship_to={"id": "WH"}, time=NOON + timedelta(days=30)),
            moved("M1", "WH", "in", 1),
        ],
    ),
    "the first delivery is of a later day than another's": (
        *("targets", "dealer", "D1"),
        [
            TARGET,
            order("O1", "D1"),
            dispatched("L1", "D2", time=NOON + timedelta(days=1)),
            dispatched("L2", "D3", time=NOON - timedelta(days=1)),
        ],
    ),
    "an order's delivery does not name where the order goes": (
        *("stock_levels", "location", "WH"),
        [dispatched("L0", "D2"), ORDERED, dispatched("L1", "D1", ("COLA", 4), order="O1")],
    ),
    "what is withdrawn is another dealer's": (
        *("flags", "dealer", "D1"),
        [order("O1", "D2", id="theirs"), voided("theirs", dealer="D1")],
    ),
    "another dealer moves stock to a registered place": (
        *("dealers", "dealer", "D1"),
        [
            body("location.registered.v1", location="D1-STORE", kind="store", dealer="D1"),
            body("dealer.registered.v1", dealer="D1", name="某某商行"),
            moved("M1", "WH", "transfer", 5, to_location="D1-STORE", dealer="D2"),
        ],
    ),
    "a registered place bears the id of a dealer": (
        *("dealers", "dealer", "D1"),
        [
            body("location.registered.v1", location="D2", kind="store", dealer="D1"),
            body("dealer.registered.v1", dealer="D1", name="某某商行"),
            dispatched("L0", "D3"),
            dispatched("L1", "D2"),
            received("L1", "D2", accepted=10),
        ],
    ),
    "a target is broken down to others": (
        *("targets", "dealer", "D1"),
        [TARGET, body("target.set.v1", target="G2", parent="G1", scope={"dealer": "D2"}, **AMOUNT)],
    ),
    "another dealer holds the same territory": (
        *("territory_overlaps", "dealer", "D1"),
        [
            body("territory.assigned.v1", dealer=dealer, territory="T", exclusive=True, from_=NOON)
            for dealer in ("D1", "D2")
        ],
    ),
    "a sale is a delivery where anything was ever delivered": (
        *("targets", "dealer", "D1"),
        [
            TARGET,
            dispatched("L0", "D2", id="l0"),
            voided("l0", dealer="D2", family="deliveries"),
            dispatched("L1", "D2", ("COLA", 0)),
            order("O1", "D1"),
            dispatched("L2", "D2", ("COLA", 7)),
        ],
    ),
    "a representative sells where the territory is a dealer's": (
        *("dealer_sales", "rep", "R1"),
        [IN_T, body("rep.assigned.v1", rep="R1", to={"territory": "T"}, from_=EARLY), order("O1", "D1")],
    ),
    "a territory is a part of a part": (
        *("dealer_sales", "under", "TOP"),
        [
            *[
                body("territory.defined.v1", territory=part, name=part, parent=whole)
                for part, whole in (("T", "MIDDLE"), ("MIDDLE", "TOP"))
            ],
            *(IN_T, order("O1", "D1")),
        ],
    ),
    "a representative's target is broken down to others": (
        *("targets", "rep", "R1"),
        [
            body("target.set.v1", target="G1", scope={"rep": "R1"}, **AMOUNT),
            body("target.set.v1", target="G2", parent="G1", scope={"dealer": "D2"}, **AMOUNT),
        ],
    ),
    "a target is a representative's": (
        *("targets", "target", "G1"),
        [body("target.set.v1", target="G1", scope={"rep": "R1"}, **AMOUNT), order("O1", "D1", rep="R1")],
    ),
    "a promotion is compared with what else its dealers bought": (
        *("promotions", "promotion", "P1"),
        [
            body("promotion.planned.v1", promotion="P1", name="p", mechanics=PERCENT, scope={}, **WHEN),
            order("O1", "D1", time=EARLY - timedelta(days=5)),
            body("order.placed.v1", order="O2", dealer="D1", currency="CNY", lines=[OFFERED]),
        ],
    ),
    "a sale is an order where nothing was": (
        *("targets", "dealer", "D1"),
        [
            TARGET,
            dispatched("L1", "D2", id="l1"),
            order("O1", "D1"),
            voided("l1", dealer="D2", family="deliveries"),
        ],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_what_bears_on_a_question_without_naming_whom_is_folded_too(
    scratch_of_all: Scratch, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, by, whom, said = STORIES[story]
    opened = opened_on(scratch_of_all.new(), log(said))
    known = _asked(opened, VIEWS[name], (by, whom), ("known_at", str(len(said))))
    live = _asked(opened, VIEWS[name], (by, whom))
    at_noon = [(by, whom), ("valid_at", NOON.isoformat())]
    true = _tried(opened, VIEWS[name], at_noon)
    monkeypatch.setattr("api.past.whose", lambda index, query, kinds: EVERYBODY)
    whole = _tried(opened, VIEWS[name], at_noon)
    opened.close()

    assert live
    assert known == live
    assert true == whole


def test_a_comparison_begins_with_what_was_known_then(scratch_of_all: Scratch) -> None:
    """Another's delivery made sales deliveries, was withdrawn, and another one came: each counts while it stands."""
    others = [dispatched("L1", "D2", id="l1"), voided("l1", dealer="D2", family="deliveries")]
    said = log([TARGET, others[0], order("O1", "D1"), others[1], dispatched("L3", "D3")])
    opened = opened_on(scratch_of_all.new(), said)
    view = VIEWS["targets"]
    known = [_asked(opened, view, ("target", "G1"), ("known_at", str(n)))[0] for n in (3, 4, 5)]
    query = read_query(view, [("known_at", "5")], one_row=True)
    found = diff(opened, view, ("G1",), query, 3, LATER)
    opened.close()

    assert [row["recognition"] for row in known] == [NET, "ordered", NET]
    assert found is not None
    assert (found.before, found.after) == (known[0], known[2])
    assert [(e.sequence, e.changes["recognition"].after) for e in found.effects] == [(4, "ordered"), (5, NET)]


def test_a_step_is_true_from_its_own_time_on(scratch_of_all: Scratch) -> None:
    """What is held or graded once more is that from then on: it does not say what was wrong before."""
    held = {"order": "O1", "dealer": "D1", "reason": "credit"}
    said = [
        order("O1", "D1", time=EARLY),
        *[body(f"order.{what}.v1", **held, time=NOON + n * timedelta(days=1)) for n, what in STEPS],
        body("dealer.graded.v1", dealer="D1", grade="A", time=EARLY),
        body("dealer.graded.v1", dealer="D1", grade="C", time=NOON + timedelta(days=1)),
    ]
    opened = opened_on(scratch_of_all.new(), log(said))
    at_noon = [("dealer", "D1"), ("valid_at", NOON.isoformat())]
    [there], [graded] = _asked(opened, VIEWS["orders"], *at_noon), _asked(opened, VIEWS["dealers"], *at_noon)
    [now] = _asked(opened, VIEWS["orders"], ("dealer", "D1"))
    opened.close()

    assert (there["status"], now["status"], graded["grade"]) == ("held", "placed", "A")


def test_an_explanation_counts_what_waited_for_its_time(scratch_of_all: Scratch) -> None:
    """The second move leaves the stored row as it was: it is summed anew where somebody asks."""
    said = [moved(f"M{n}", "WH", "in", n, time=NOON + n * timedelta(days=10)) for n in (1, 2)]
    opened = opened_on(scratch_of_all.new(), log(said))
    query = read_query(VIEWS["stock_levels"], [], one_row=True)
    found = explain(opened, VIEWS["stock_levels"], ("WH", "COLA", ""), query, LATER)
    opened.close()

    assert found is not None
    assert found.row["on_hand"] == "3"
    assert [effect.changes["on_hand"].difference for effect in found.effects] == ["1", "2"]


def test_what_has_come_due_is_found_by_what_it_says_now(scratch_of_all: Scratch) -> None:
    said = [
        order("O1", "D1"),
        order("O2", "D1", time=NOON + 3 * DAY),
        moved("M1", "D1", "in", 2, time=NOON + 3 * DAY),
    ]
    opened = opened_on(scratch_of_all.new(), log(said))
    view = VIEWS["stock_levels"]
    shown = _told(opened, view)
    found = {
        name: _told(opened, view, (name, value)) for name, value in (("on_order", "20"), ("on_hand", "2"))
    }
    stale = _told(opened, view, ("on_order", "10"))
    opened.close()

    assert [(row["on_order"], row["on_hand"]) for row in shown] == [("20", "2")]
    assert found == {"on_order": shown, "on_hand": shown}
    assert stale == []


#: What counts or keeps what was last said, whatever its time.
LAST_SAID = {"dealer_orders", "ordering_dealers", "stock_waits"}


def test_what_claims_to_be_far_ahead_is_not_shown_before_its_time(scratch_of_all: Scratch) -> None:
    far = LATER + timedelta(days=90)
    said = [event for at, suffix in ((NOON, "/1"), (far, "/2")) for event in _trade(at, suffix)]
    opened = opened_on(scratch_of_all.new(), log(said))
    live, true = [
        {
            (name, by, whom): [row | {"due_at": None} for row in _told(opened, view, (by, whom), *moment)]
            for name, view in VIEWS.items()
            for by, whom in (("dealer", "D1"), ("location", "D1"), ("location", "S1"))
            if view.explained and by in view.fields and name not in LAST_SAID
        }
        for moment in ([], [("valid_at", LATER.isoformat())])
    ]
    opened.close()

    assert live == true
    assert sum(map(bool, live.values())) > 20


def _trade(at: datetime, suffix: str) -> list[bytes]:
    """A dealer orders, is delivered, pays and sells on, all at one instant."""
    own: dict[str, Any] = {"dealer": "D1", "time": at}
    line = {"line": "1", "sku": "COLA", "quantity": "1", "net": "5"}
    late = {"from": (at - 2 * DAY).isoformat(), "to": (at - DAY).isoformat()}
    opened = [{"invoice": "B" + suffix, "amount": "7", "currency": "CNY"}]
    money: dict[str, Any] = {"currency": "CNY", **own}
    settled = [{"invoice": "I" + suffix, "amount": "5"}]
    return [
        order("O" + suffix, "D1", ("COLA", 5), time=at, promised=late),
        body("balance.opened.v1", balance="B" + suffix, kind="receivable", as_of=at, lines=opened, **own),
        order("Q" + suffix, "D1", ("TEA", 5), time=at),
        dispatched("L" + suffix, "D1", ("COLA", 5), order="O" + suffix, time=at),
        received("L" + suffix, "D1", accepted=5, arrived=at, time=at),
        moved("M" + suffix, "D1", "in", 3, time=at, dealer="D1"),
        counted("C" + suffix, "S1", at, ("COLA", 9), time=at),
        body("invoice.issued.v1", invoice="I" + suffix, kind="invoice", due=at + DAY, lines=[line], **money),
        body(
            "payment.received.v1",
            payment="P" + suffix,
            kind="payment",
            amount="5",
            allocations=settled,
            **money,
        ),
        body(
            "sellout.reported.v1",
            report="S" + suffix,
            flow="secondary",
            from_=at - DAY,
            to=at,
            lines=[line],
            **own,
        ),
    ]


def _told(opened: Opened, view: View, *said: tuple[str, str]) -> list[dict[str, Any]]:
    """The rows as a client reads them."""
    rows: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(_asked(opened, view, *said)))
    return rows


def _asked(opened: Opened, view: View, *said: tuple[str, str]) -> list[dict[str, Any]]:
    return shown(read_page(opened, view, read_query(view, [*said, ("limit", "1000")]), LATER))


def _accepted(engine: Engine, log: Sequence[Message]) -> list[Recorded[Payload]]:
    taken = {n for (n,) in engine.database.rows("SELECT sequence FROM events WHERE status = 'accepted'")}
    return [CATALOGUE.read(m.sequence, m.recorded, m.subject, m.body) for m in log if m.sequence in taken]


def _tables(engine: Engine) -> Tables:
    live = dict(engine.live_tables())
    return {
        TABLES[row].name: sorted(engine.database.rows(f"SELECT * FROM {physical(row, live[row])}"))
        for row in ROWS
    }


def _past(events: Iterable[Recorded[Payload]]) -> Tables:
    past = Past(PROJECTIONS)
    for event in events:
        past.take(event)
    past.write()
    found = {
        TABLES[row].name: sorted(
            tuple(values)
            for values in past.connection.exec_driver_sql(f"SELECT * FROM {TABLES[row].name}__past")
        )
        for row in ROWS
    }
    past.close()
    return found
