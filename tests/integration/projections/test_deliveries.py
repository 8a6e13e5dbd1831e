"""Deliveries and what they did for their orders, folded from events and asked as views."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.event_types import CATALOGUE
from infra.engine import Engine
from infra.importing import Import
from projections.deliveries import DELIVERIES, Delivery
from projections.fulfilments import Fulfilment
from projections.otif import Otif, OtifLine, OtifPolicy, otif, otif_lines
from projections.parties import PARTIES
from projections.rows import MemoryRows
from tests.lab.databases import Databases, Where
from tests.lab.events import NOON, body, dispatched, log, order, received, voided
from tests.lab.folding import engine_on, messages, shut, stored

DAY = timedelta(days=1)
ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("QUDAO_REAL_DATA") or ROOT.parent / "shared" / "data")
Fold = Callable[..., MemoryRows]


@pytest.fixture
def fold(built: Where) -> Iterator[Fold]:
    """What the tables say after events, as a computed view reads them."""
    engine = engine_on(built, (DELIVERIES,))

    def fold(*events: bytes) -> MemoryRows:
        engine.apply(log(events, after=engine.position.sequence))
        engine.sync()
        rows = MemoryRows()
        for kind in (Delivery, Fulfilment, OtifPolicy):
            for row in stored(engine, kind):
                rows.put(row)
        return rows

    yield fold
    shut(engine)


def window(day: float, days: float = 1) -> dict[str, datetime]:
    return {"from": NOON + day * DAY, "to": NOON + (day + days) * DAY}


def confirmed(day: float, *, at: float = 0, **more: Any) -> bytes:
    more = {"promised": window(day)} | more
    return body("order.confirmed.v1", order="O1", dealer="D1", time=NOON + at * DAY, **more)


def left(day: float, *lines: tuple[str, object], delivery: str = "L1", **more: Any) -> bytes:
    return dispatched(delivery, "D1", *lines, order="O1", carrier="SF", time=NOON + day * DAY, **more)


def arrived(day: float, accepted: object = 10, **more: Any) -> bytes:
    when = NOON + day * DAY
    return received(arrived=when, time=when, accepted=accepted, place={"id": "SHOP"}, **more)


def asked(**filters: Any) -> dict[str, Any]:
    return {name: [value] for name, value in filters.items()}


def only(rows: MemoryRows, at: float = 30, **filters: Any) -> Otif:
    [found] = otif(rows, NOON + at * DAY, asked(**filters))
    return found


ORDER = order(ship_to={"id": "SHOP"}, requested=window(1))


def test_an_order_is_judged_whatever_came_first(fold: Fold) -> None:
    rows = fold(arrived(2.5), left(1), confirmed(2), ORDER)

    found = only(rows)

    assert (found.outcome, found.otif, found.right_place, found.carrier) == ("on_time", 1, 1, "SF")
    assert (found.version, found.counted, found.good) == ("built-in", Decimal(1), Decimal(1))


def test_a_receipt_may_name_the_order_where_its_delivery_does_not(fold: Fold) -> None:
    rows = fold(ORDER, confirmed(2), dispatched(time=NOON), arrived(2.5, order="O1"))

    assert only(rows).otif == 1
    [delivery] = rows.all(Delivery)
    assert (delivery.order, delivery.arrivals, delivery.accepted) == ("O1", 1, Decimal(10))


def test_a_later_confirmation_is_the_last_promise_and_the_first_stays(fold: Fold) -> None:
    rule = body(
        "policy.published.v1",
        policy="strict",
        kind="otif",
        version="1",
        effective=NOON - DAY,
        body={"basis": "promised_first", "level": "case"},
    )
    rows = fold(ORDER, confirmed(2), confirmed(4, at=0.5), left(1), arrived(4.5), rule)

    last, first = only(rows), only(rows, policy="strict")

    assert (last.outcome, first.outcome, first.cause) == ("on_time", "late", "transit")
    assert (first.level, first.counted, first.good) == ("case", Decimal(10), Decimal(0))


def test_a_confirmation_under_its_own_time_replaces_and_a_void_withdraws_a_promise(fold: Fold) -> None:
    first = body("order.confirmed.v1", order="O1", dealer="D1", id="c1", time=NOON, promised=window(9))
    rows = fold(ORDER, first, confirmed(2), left(1), arrived(2.5))
    assert [stated.window.to for stated in rows.all(Fulfilment)[0].course.promised] == [NOON + 3 * DAY]

    rows = fold(confirmed(7, at=0.1), voided("c1"))

    assert [stated.window.to for stated in rows.all(Fulfilment)[0].course.promised] == [
        NOON + 3 * DAY,
        NOON + 8 * DAY,
    ]


def test_a_line_is_held_to_its_own_window(fold: Fold) -> None:
    placed = order("O1", "D1", ("COLA", 10), ("TEA", 5), ship_to={"id": "SHOP"})
    own = confirmed(2, lines=[{"line": "2", "promised": window(5)}])
    rows = fold(
        placed, own, left(1, ("COLA", 10), ("TEA", 5)), arrived(2.5), arrived(5.5, 5, receipt="R2", sku="TEA")
    )

    lines = list(otif_lines(rows, NOON + 30 * DAY, {}))

    assert [(line.sku, line.on_time, line.window_to) for line in lines] == [
        ("COLA", 1, NOON + 3 * DAY),
        ("TEA", 1, NOON + 6 * DAY),
    ]
    assert only(rows).otif == 1


def test_an_amendment_by_the_company_does_not_move_what_the_dealer_asked_for(fold: Fold) -> None:
    line = {
        "line": "1",
        "sku": "COLA",
        "quantity": "10",
        "unit_price": "1",
        "net": "10",
        "requested": window(8),
    }

    def amended(initiator: str) -> bytes:
        return body(
            "order.amended.v1",
            order="O1",
            dealer="D1",
            initiator=initiator,
            lines=[line],
            time=NOON + DAY / 4,
        )

    company = only(fold(ORDER, amended("company")))
    dealer = only(fold(amended("dealer")))

    assert (company.due, dealer.due) == (NOON + 2 * DAY, NOON + 9 * DAY)


def test_what_has_not_come_waits_until_its_window_has_closed(fold: Fold) -> None:
    rows = fold(ORDER, confirmed(2), left(1), arrived(4))

    seen = [only(rows, at) for at in (1.5, 3, 4)]

    assert [(s.outcome, s.overdue, s.counted) for s in seen] == [
        ("not_shipped", 0, Decimal(0)),
        ("not_shipped", 1, Decimal(1)),
        ("late", 0, Decimal(1)),
    ]
    assert [s.cause for s in seen] == ["", "transit", "transit"]


def test_an_order_is_judged_by_the_version_in_force_when_it_was_placed(fold: Fold) -> None:
    def version(number: str, since: datetime, **rule: Any) -> bytes:
        return body(
            "policy.published.v1",
            policy="otif-default",
            kind="otif",
            version=number,
            effective=since,
            body=rule,
        )

    before, after = order("O1", "D1", time=NOON), order("O2", "D1", time=NOON + 9 * DAY)
    unreadable = version("3", NOON + 2 * DAY, basis="whenever")
    rows = fold(before, after, version("2", NOON + DAY, grace_minutes=60), unreadable)

    found = [(o.order, o.version) for o in otif(rows, NOON + 30 * DAY, {})]

    assert found == [("O1", "built-in"), ("O2", "2")]


def test_a_delivery_whose_order_is_withdrawn_keeps_its_facts_and_is_not_judged(fold: Fold) -> None:
    placed = order(id="o", requested=window(1))

    rows = fold(placed, dispatched(order="O1", time=NOON), voided("o"))

    assert list(otif(rows, NOON + 30 * DAY, {})) == []
    [fulfilment] = rows.all(Fulfilment)
    assert [load.delivery for load in fulfilment.course.sent] == ["L1"]


def test_a_delivery_without_a_window_is_neither_on_time_nor_late(fold: Fold) -> None:
    rows = fold(
        left(1, delivery="L1"),
        arrived(2, delivery="L1", short=1),
        left(1, delivery="L2", promised=window(2)),
        arrived(9, delivery="L2"),
    )

    none, late = rows.all(Delivery)

    assert (none.on_time, none.late, none.in_full, none.short) == (0, 0, True, Decimal(1))
    assert (late.on_time, late.late, late.place_ok) == (0, 1, None)


@pytest.fixture(scope="module")
def northwind(databases: Databases) -> Iterator[Engine]:
    """The whole Northwind export, folded."""
    if not DATA.is_dir():
        pytest.skip(f"no real exports at {DATA}: name their folder in QUDAO_REAL_DATA")
    engine = engine_on(databases.new(), (PARTIES, DELIVERIES))
    running = Import(ROOT / "examples" / "mappings" / "northwind.toml", DATA / "northwind", CATALOGUE)
    events = messages([(message.subject, message.body) for message in running.outgoing()])
    for start in range(0, len(events), 1000):
        engine.apply(events[start : start + 1000])
    engine.sync()
    yield engine
    shut(engine)


def sums(engine: Engine, fields: str, by: str = "policy") -> list[Sequence[Any]]:
    totals = ", ".join(f"SUM({name})" for name in fields.split())
    return list(
        engine.database.rows(
            f"SELECT {by}, {totals} FROM otif_orders WHERE policy = 'otif-dispatched' GROUP BY {by} ORDER BY {by}"
        )
    )


def test_northwinds_shippers_are_as_late_as_its_own_dates_say(northwind: Engine) -> None:
    found = sums(northwind, "orders late on_time not_shipped", "carrier")

    assert found == [
        ("", 21, 0, 0, 21),
        ("Federal Shipping", 249, 9, 240, 0),
        ("Speedy Express", 245, 12, 233, 0),
        ("United Package", 315, 16, 299, 0),
    ]
    assert sums(northwind, "orders late on_time not_shipped early no_window") == [
        ("otif-dispatched", 830, 37, 772, 21, 0, 0)
    ]


def test_northwinds_orders_that_went_elsewhere(northwind: Engine) -> None:
    assert sums(northwind, "elsewhere lines") == [("otif-dispatched", 13, 2155)]


def test_sql_and_the_rule_agree_on_northwind(northwind: Engine) -> None:
    rows = MemoryRows()
    for row in stored(northwind, Fulfilment):
        rows.put(row)
    fields = ("late", "on_time", "not_shipped", "in_full", "otif", "lines_ok", "cases_ok", "days_late")

    computed = list(otif(rows, NOON, asked(policy="otif-dispatched")))

    totals = [sum(getattr(o, name) for o in computed) for name in fields[:6]]
    assert sums(northwind, " ".join(fields[:6])) == [("otif-dispatched", *totals)]
    # What has not been shipped in all those years is a failure by now.
    assert sum(o.overdue for o in computed) == 21
    assert OtifLine.__struct_fields__[:4] == ("dealer", "order", "sku", "policy")
