"""What orders are after telling histories, and what is flagged about them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from projections.events import EventFlag
from projections.orders import Order, OrderFlag
from tests.lab.events import HOUR, NOON, body, dispatched, log, order, received, voided
from tests.lab.folding import Worlds, stored


def fold(worlds: Worlds, *events: bytes) -> None:
    """Fold events behind all others; every test speaks of a dealer of its own."""
    worlds.engine.apply(log(events, after=worlds.engine.position.sequence))
    worlds.engine.sync()


def orders(worlds: Worlds, dealer: str) -> list[Order]:
    return [found for found in stored(worlds.engine, Order) if found.dealer == dealer]


def flags(worlds: Worlds, dealer: str, *, about: str = "") -> list[tuple[str, str, bool]]:
    """(kind, subject, whether it stands) of a dealer's flags of a kind, or of any."""
    found = [f for kind in (OrderFlag, EventFlag) for f in stored(worlds.engine, kind) if f.dealer == dealer]
    return [(f.kind, f.subject, f.cleared is None) for f in found if about in f.kind]


def said(type: str, dealer: str, **more: Any) -> bytes:
    return body(f"order.{type}.v1", order="O1", dealer=dealer, **more)


def test_a_dispatch_without_an_order_is_flagged_until_the_order_comes(worlds: Worlds) -> None:
    fold(worlds, dispatched("L1", "A1", order="O1"))
    before = flags(worlds, "A1")

    fold(worlds, order("O1", "A1"))

    assert before == [("delivery_without_order", "O1", True)]
    assert ("delivery_without_order", "O1", False) in flags(worlds, "A1")


def test_a_dispatch_whose_order_is_voided_is_flagged(worlds: Worlds) -> None:
    fold(
        worlds, order("O1", "A2", id="A2-o"), dispatched("L1", "A2", order="O1"), voided("A2-o", dealer="A2")
    )

    [row] = orders(worlds, "A2")
    assert (row.status, row.dispatched) == ("", 10)
    assert flags(worlds, "A2", about="without") == [("delivery_without_order", "O1", True)]


def test_an_order_of_an_unknown_dealer_is_flagged_until_the_dealer_is_registered(worlds: Worlds) -> None:
    fold(worlds, order("O1", "B1"))
    before = flags(worlds, "B1")

    fold(worlds, body("dealer.registered.v1", dealer="B1", name="某某商行"))

    assert before == [("unknown_dealer", "B1", True)]
    assert flags(worlds, "B1") == [("unknown_dealer", "B1", False)]


def test_a_voided_order_of_an_unknown_dealer_clears_its_flag(worlds: Worlds) -> None:
    fold(worlds, order("O1", "B2", id="B2-o"), voided("B2-o", dealer="B2"))

    assert flags(worlds, "B2") == [("unknown_dealer", "B2", False)]
    assert orders(worlds, "B2") == []


def test_an_amendment_replaces_all_lines_and_a_later_restatement_replaces_it(worlds: Worlds) -> None:
    lines = [{"line": "1", "sku": "FANTA", "quantity": "3", "unit_price": "1", "net": "3"}]
    amended = said("amended", "C1", initiator="dealer", lines=lines, time=NOON + HOUR)
    fold(worlds, amended, order("O1", "C1", ("COLA", 10)))
    [first] = orders(worlds, "C1")

    fold(worlds, order("O1", "C1", ("COLA", 4), ("FANTA", 1), time=NOON + 2 * HOUR))

    [second] = orders(worlds, "C1")
    assert (first.lines, first.quantity, first.net) == (1, 3, 3)
    assert (second.lines, second.quantity) == (2, 5)


def test_a_restated_order_keeps_its_business_day(worlds: Worlds) -> None:
    shanghai = timezone(timedelta(hours=8))
    placed = datetime(2026, 3, 3, 1, tzinfo=shanghai)  # still the second in UTC

    fold(worlds, order("O1", "C2", time=placed), order("O1", "C2", time=placed + timedelta(days=2)))

    [row] = orders(worlds, "C2")
    assert (row.placed, row.day) == (placed.astimezone(UTC), date(2026, 3, 3))


def test_an_order_is_held_until_every_reason_is_released(worlds: Worlds) -> None:
    steps = [
        order("O1", "D1"),
        said("held", "D1", reason="credit", time=NOON + HOUR),
        said("held", "D1", reason="stock", time=NOON + HOUR),
        said("released", "D1", reason="credit", time=NOON + 2 * HOUR),
        said("released", "D1", reason="stock", time=NOON + 2 * HOUR),
    ]
    found = []
    for step in steps:
        fold(worlds, step)
        found.append(orders(worlds, "D1")[0].status)

    assert found == ["placed", "held", "held", "held", "placed"]


def test_a_release_known_before_its_hold_still_releases_it(worlds: Worlds) -> None:
    release = said("released", "D2", reason="credit", time=NOON + 2 * HOUR)

    fold(worlds, order("O1", "D2"), release, said("held", "D2", reason="credit", time=NOON + HOUR))

    assert orders(worlds, "D2")[0].status == "placed"


def test_what_was_dispatched_and_accepted_of_an_order_adds_up_over_deliveries(worlds: Worlds) -> None:
    fold(
        worlds,
        dispatched("L1", "E1", ("COLA", 6), order="O1"),
        dispatched("L2", "E1", ("COLA", 4), order="O1"),
        received("L1", "E1", accepted=5, short=1),
        received("L2", "E1", accepted=4),
        order("O1", "E1"),
    )

    [row] = orders(worlds, "E1")
    assert (row.dispatched, row.accepted) == (10, 9)


def test_a_delivery_restated_for_another_order_leaves_the_first(worlds: Worlds) -> None:
    fold(
        worlds,
        order("O1", "E2"),
        order("O2", "E2"),
        dispatched("L1", "E2", order="O1"),
        dispatched("L1", "E2", order="O2", time=NOON + HOUR),
    )

    assert [(row.order, row.dispatched) for row in orders(worlds, "E2")] == [("O1", 0), ("O2", 10)]


def test_an_order_restated_by_another_source_is_accepted_and_flagged(worlds: Worlds) -> None:
    fold(worlds, order("O1", "F1"), order("O1", "F1", ("COLA", 3), source="crm", time=NOON + HOUR))

    assert orders(worlds, "F1")[0].quantity == 3
    assert flags(worlds, "F1", about="source") == [("restated_by_another_source", "order/O1", True)]


def test_a_void_published_for_another_dealer_withdraws_nothing(worlds: Worlds) -> None:
    fold(worlds, order("O1", "G1", id="G1-o"), voided("G1-o", dealer="G2"))

    assert orders(worlds, "G1")[0].status == "placed"
    assert flags(worlds, "G2") == [("void_of_another_dealer", "erp#G1-o", True)]
