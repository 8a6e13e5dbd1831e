"""What stock is after telling histories: transit, counts, late and far moves, orders, flags."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any

from infra.message import Message
from projections.events import EventFlag
from projections.stock_levels import open_quantity
from projections.stock_rows import OrderItem, StockFlag, StockLevel, StockWait
from tests.lab import events
from tests.lab.events import HOUR, NOON, body, counted, dispatched, log, moved, order, received
from tests.lab.folding import Worlds, stored


def levels(worlds: Worlds, *events: bytes) -> dict[tuple[str, str, str], StockLevel]:
    """The levels after events, by location, SKU and lot."""
    fold(worlds, *events)
    return {(x.location, x.sku, x.lot): x for x in stored(worlds.engine, StockLevel)}


def fold(worlds: Worlds, *events: bytes, start: datetime = NOON + HOUR) -> list[Message]:
    """Fold events behind all others, recorded from `start` on; every test speaks of ids of its own."""
    messages = log(events, after=worlds.engine.position.sequence, start=start)
    worlds.engine.apply(messages)
    worlds.engine.sync()
    return messages


def flags(worlds: Worlds, subject: str) -> list[tuple[str, bool]]:
    """Kind of every flag about a subject, and whether it stands."""
    return [
        (flag.kind, flag.cleared is None)
        for kind in (StockFlag, EventFlag)
        for flag in stored(worlds.engine, kind)
        if flag.subject == subject
    ]


def sold(report: str, dealer: str, to: Any, quantity: object, **more: Any) -> bytes:
    lines = [{"sku": "COLA", "quantity": str(quantity)}]
    return body(
        "sellout.reported.v1",
        report=report,
        dealer=dealer,
        flow=more.pop("flow", "secondary"),
        from_=to - 24 * HOUR,
        to=to,
        lines=lines,
        **more,
    )


def returned(name: str, dealer: str, direction: str, quantity: object, **more: Any) -> bytes:
    line = {"sku": "COLA", "quantity": str(quantity), "condition": "sellable"}
    data = {"return": name, "dealer": dealer, "direction": direction, "reason": "aged", "lines": [line]}
    return body("return.received.v1", **more, **data)


def voided(id: str, **more: Any) -> bytes:
    """A void on the family of what moves goods."""
    return events.voided(id, family="deliveries", **more)


# transit


def test_a_short_receipt_leaves_nothing_in_transit(worlds: Worlds) -> None:
    found = levels(worlds, dispatched("L1", "A1"), received("L1", "A1", accepted=7, short=3))

    level = found["A1", "COLA", ""]
    assert (level.on_hand, level.in_transit) == (7, 0)


def test_what_is_damaged_or_refused_is_no_longer_in_transit_and_not_in_stock(worlds: Worlds) -> None:
    found = levels(worlds, dispatched("L1", "A2"), received("L1", "A2", accepted=4, damaged=1, refused=2))

    level = found["A2", "COLA", ""]
    assert (level.on_hand, level.in_transit) == (4, 3)


def test_a_receipt_known_before_its_dispatch_leaves_nothing_in_transit(worlds: Worlds) -> None:
    first = received("L1", "A3", accepted=10, arrived=NOON + HOUR, time=NOON + HOUR)

    found = levels(worlds, first, dispatched("L1", "A3", from_="A3-WH"))

    assert (found["A3", "COLA", ""].on_hand, found["A3", "COLA", ""].in_transit) == (10, 0)
    assert found["A3-WH", "COLA", ""].on_hand == -10


def test_a_receipt_without_any_dispatch_brings_goods_and_takes_nothing_from_transit(worlds: Worlds) -> None:
    found = levels(worlds, received("L1", "A4", accepted=10))

    level = found["A4", "COLA", ""]
    assert (level.on_hand, level.in_transit) == (10, 0)


def test_two_dealers_may_give_two_deliveries_one_number(worlds: Worlds) -> None:
    found = levels(
        worlds,
        dispatched("L1", "A5", ("COLA", 3), from_="A5-WH"),
        dispatched("L1", "A6", ("COLA", 4), from_="A5-WH"),
        counted("C1", "A5-WH", NOON - HOUR, ("COLA", 100), dealer="A5"),
    )

    assert found["A5-WH", "COLA", ""].on_hand == 93


def test_two_dealers_may_give_two_counts_of_one_place_one_number(worlds: Worlds) -> None:
    both = [counted("C1", "A7-WH", NOON, ("COLA", n), dealer=f"A{n}", id=f"count-{n}") for n in (7, 8)]

    found = levels(worlds, *both, voided("count-8", dealer="A8"))

    assert found["A7-WH", "COLA", ""].on_hand == 7


# counts


def test_a_late_count_sets_the_stock_of_its_time_and_keeps_the_moves_after_it(worlds: Worlds) -> None:
    found = levels(
        worlds,
        moved("B1-1", "B1", "in", 5, time=NOON),
        moved("B1-2", "B1", "out", 2, time=NOON + 2 * HOUR),
        counted("C1", "B1", NOON + HOUR, ("COLA", 100)),
    )

    assert found["B1", "COLA", ""].on_hand == 98


def test_a_late_count_before_a_later_one_changes_nothing(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C2", "B2", NOON + HOUR, ("COLA", 10)),
        counted("C1", "B2", NOON, ("COLA", 100)),
    )

    assert (found["B2", "COLA", ""].on_hand, found["B2", "COLA", ""].counted_at) == (10, NOON + HOUR)


def test_a_late_move_before_a_count_changes_nothing(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C1", "B3", NOON, ("COLA", 10)),
        moved("B3-1", "B3", "in", 5, time=NOON - HOUR),
        moved("B3-2", "B3", "in", 5, time=NOON),
    )

    assert found["B3", "COLA", ""].on_hand == 10


def test_a_late_move_after_a_count_is_added(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C1", "B4", NOON, ("COLA", 10)),
        moved("B4-2", "B4", "out", 1, time=NOON + 2 * HOUR),
        moved("B4-1", "B4", "in", 5, time=NOON + HOUR),
    )

    assert found["B4", "COLA", ""].on_hand == 14


def test_a_full_count_says_none_of_what_it_does_not_name(worlds: Worlds) -> None:
    found = levels(
        worlds,
        moved("B5-1", "B5", "in", 5, sku="FANTA", time=NOON - HOUR),
        moved("B5-2", "B5", "in", 7, sku="COLA", time=NOON - HOUR),
        counted("C1", "B5", NOON, ("COLA", 6), scope="full"),
    )

    assert (found["B5", "FANTA", ""].on_hand, found["B5", "COLA", ""].on_hand) == (0, 6)


def test_a_full_count_bears_on_a_product_first_heard_of_later(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C1", "B6", NOON, ("COLA", 6), scope="full"),
        moved("B6-1", "B6", "in", 5, sku="FANTA", time=NOON - HOUR),
        moved("B6-2", "B6", "in", 2, sku="FANTA", time=NOON + HOUR),
    )

    assert found["B6", "FANTA", ""].on_hand == 2


def test_a_count_without_a_lot_resets_the_lots(worlds: Worlds) -> None:
    found = levels(
        worlds,
        moved("B7-1", "B7", "in", 5, lot="L1", time=NOON - HOUR),
        moved("B7-2", "B7", "in", 7, lot="L2", time=NOON + HOUR),
        counted("C1", "B7", NOON, ("COLA", 20)),
    )

    assert {lot: found["B7", "COLA", lot].on_hand for lot in ("", "L1", "L2")} == {"": 20, "L1": 0, "L2": 7}


def test_a_count_without_a_lot_bears_on_a_lot_first_heard_of_later(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C1", "B8", NOON, ("COLA", 20)),
        moved("B8-1", "B8", "in", 5, lot="L1", time=NOON - HOUR),
    )

    assert (found["B8", "COLA", ""].on_hand, found["B8", "COLA", "L1"].on_hand) == (20, 0)


def test_a_count_whose_void_is_voided_stands_at_its_own_time(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C1", "B9", NOON, ("COLA", 20), id="B9-c", dealer="B9"),
        voided("B9-c", dealer="B9", event_id="B9-v", time=NOON + 5 * HOUR),
        voided("B9-v", dealer="B9", time=NOON + 6 * HOUR),
        moved("B9-1", "B9", "in", 5, time=NOON + HOUR),
    )

    assert (found["B9", "COLA", ""].on_hand, found["B9", "COLA", ""].counted_at) == (25, NOON)


# orders


def test_a_cancelled_order_has_nothing_on_order(worlds: Worlds) -> None:
    cancel = body("order.cancelled.v1", order="O1", dealer="C1", time=NOON + HOUR)

    found = levels(worlds, order("O1", "C1", ("COLA", 10)), cancel)

    assert ("C1", "COLA", "") not in found


def test_what_an_order_ships_elsewhere_is_on_order_there(worlds: Worlds) -> None:
    found = levels(worlds, order("O1", "C2", ("COLA", 10), ship_to={"id": "C2-SHOP"}))

    assert found["C2-SHOP", "COLA", ""].on_order == 10
    assert ("C2", "COLA", "") not in found


def test_more_than_was_ordered_never_makes_the_open_quantity_negative(worlds: Worlds) -> None:
    found = levels(worlds, order("O1", "C3", ("COLA", 10)), dispatched("L1", "C3", ("COLA", 12), order="O1"))

    [item] = stored(worlds.engine, OrderItem, "C3")
    assert (open_quantity(item), found["C3", "COLA", ""].on_order) == (0, 0)


def test_a_voided_part_of_an_over_dispatch_leaves_what_is_still_open(worlds: Worlds) -> None:
    found = levels(
        worlds,
        dispatched("L1", "C4", ("COLA", 8), order="O1", id="C4-1"),
        dispatched("L2", "C4", ("COLA", 9), order="O1", id="C4-2"),
        order("O1", "C4", ("COLA", 10)),
        voided("C4-1", dealer="C4"),
    )

    assert found["C4", "COLA", ""].on_order == 1


# flags


def test_stock_below_zero_is_flagged_then_cleared(worlds: Worlds) -> None:
    fold(worlds, moved("D1-1", "D1", "out", 5, time=NOON))
    below = flags(worlds, "D1/COLA/")

    fold(worlds, moved("D1-2", "D1", "in", 5, time=NOON - HOUR))

    assert below == [("negative_stock", True)]
    assert flags(worlds, "D1/COLA/") == [("negative_stock", False)]


def test_a_correction_that_ends_well_raises_no_flag_on_its_way(worlds: Worlds) -> None:
    fold(worlds, received("L1", "D2", accepted=10), moved("D2-1", "D2", "out", 10, time=NOON + 2 * HOUR))

    fold(worlds, received("L1", "D2", accepted=10, arrived=NOON + HOUR, time=NOON + HOUR))

    assert flags(worlds, "D2/COLA/") == []


def test_a_time_two_days_ahead_of_the_log_is_flagged_and_waits(worlds: Worlds) -> None:
    [message] = fold(worlds, moved("D3-1", "D3", "in", 5, time=NOON + timedelta(hours=48)))

    [level] = [x for x in stored(worlds.engine, StockLevel) if x.location == "D3"]
    assert flags(worlds, str(message.sequence)) == [("ahead_of_log", True)]
    assert (level.on_hand, level.due_at) == (0, NOON + timedelta(hours=48))


def test_what_waited_is_in_stock_once_its_time_has_come_and_anything_moves(worlds: Worlds) -> None:
    far, later = NOON + timedelta(days=30), NOON + timedelta(days=30, hours=1)
    fold(worlds, moved("D6-1", "D6", "in", 5, time=far), counted("C1", "D7", far, ("COLA", 20)))
    fold(worlds, moved("D6-2", "D6", "in", 1), moved("D7-1", "D7", "in", 1))
    waiting = [(x.on_hand, x.due_at) for x in stored(worlds.engine, StockLevel) if x.location in ("D6", "D7")]

    events = moved("D6-3", "D6", "out", 2, time=later), moved("D7-2", "D7", "out", 2, time=later)
    fold(worlds, *events, start=later)

    found = [(x.on_hand, x.due_at) for x in stored(worlds.engine, StockLevel) if x.location in ("D6", "D7")]
    assert waiting == [(1, far), (1, far)]
    assert found == [(4, None), (18, None)]


def test_what_is_ordered_far_ahead_is_on_order_once_its_time_has_come(worlds: Worlds) -> None:
    far, later = NOON + timedelta(days=30), NOON + timedelta(days=30, hours=1)
    fold(worlds, order("F1", "D8"), order("F2", "D8", time=far), order("F3", "D8", time=far, id="F3"))
    on_order = [_on_order(worlds, "D8")]
    fold(worlds, events.voided("F3", dealer="D8"), dispatched("F4", "D8", ("COLA", 4), order="F1", time=far))
    on_order.append(_on_order(worlds, "D8"))

    fold(worlds, moved("D8-1", "D8", "in", 1, time=later), start=later)

    assert on_order == [(10, far), (10, far)]
    assert _on_order(worlds, "D8") == (16, None)


def test_a_full_count_far_ahead_says_nothing_of_what_is_not_there_any_more(worlds: Worlds) -> None:
    said = [
        moved("H1", "E6", "in", 1, lot="A", id="H1"),
        events.voided("H1", dealer=None, family="deliveries"),
        counted("H2", "E6", NOON + timedelta(days=30), scope="full"),
    ]
    fold(worlds, *said)  # in one batch, where the row that was taken back is still in memory

    assert [level for level in stored(worlds.engine, StockLevel) if level.location == "E6"] == []


def test_an_order_far_ahead_that_is_withdrawn_leaves_nothing(worlds: Worlds) -> None:
    fold(worlds, order("F5", "D9", time=NOON + timedelta(days=30), id="F5"))
    found = levels(worlds, events.voided("F5", dealer="D9"))

    assert ("D9", "COLA", "") not in found
    assert [wait for wait in stored(worlds.engine, StockWait) if wait.ordered_by == "D9"] == []


def test_what_waits_on_order_is_told_anew_with_what_is_said_of_it(worlds: Worlds) -> None:
    far, farther = NOON + timedelta(days=30), NOON + timedelta(days=40)
    fold(worlds, order("G1", "E4", time=far, id="G1"), order("G2", "E4", ("COLA", 3), time=farther))
    told = [_on_order(worlds, "E4")]
    fold(worlds, events.voided("G1", dealer="E4"))  # what is due next is the other
    told.append(_on_order(worlds, "E4"))
    fold(worlds, order("G3", "E4", time=far), order("G3", "E4", ("COLA", 7), time=farther))
    told.append(_on_order(worlds, "E4"))
    fold(worlds, order("G4", "E4", time=far, placed=NOON))  # true by now
    told.append(_on_order(worlds, "E4"))
    fold(worlds, order("G5", "E4", time=far), order("G5", "E4", time=farther, ship_to={"id": "E5"}))
    told += [_on_order(worlds, "E4"), _on_order(worlds, "E5")]

    fold(
        worlds, *[moved(f"{place}-1", place, "in", 1, time=farther) for place in ("E4", "E5")], start=farther
    )

    assert told == [(0, far), (0, farther), (0, far), (10, far), (10, far), (0, far)]
    assert [_on_order(worlds, place) for place in ("E4", "E5")] == [(20, None), (10, None)]


def _on_order(worlds: Worlds, location: str) -> tuple[D, datetime | None]:
    [level] = [x for x in stored(worlds.engine, StockLevel) if x.location == location]
    return level.on_order, level.due_at


def test_a_void_that_comes_before_its_event_is_flagged_until_it_comes(worlds: Worlds) -> None:
    fold(worlds, voided("D4-e", dealer="D4"))
    early = flags(worlds, "erp#D4-e")

    found = levels(worlds, dispatched("L1", "D4", id="D4-e"))

    assert early == [("void_of_nothing", True)]
    assert flags(worlds, "erp#D4-e") == [("void_of_nothing", False)]
    assert ("D4", "COLA", "") not in found


def test_a_void_of_a_void_that_comes_first_is_flagged_until_the_other_comes(worlds: Worlds) -> None:
    fold(worlds, voided("D5-v", dealer="D5"))
    early = flags(worlds, "erp#D5-v")

    event = dispatched("L1", "D5", id="D5-e")
    found = levels(worlds, event, voided("D5-e", dealer="D5", event_id="D5-v"))

    assert early == [("void_of_nothing", True)]
    assert flags(worlds, "erp#D5-v") == [("void_of_nothing", False)]
    assert found["D5", "COLA", ""].in_transit == 10


def test_a_long_chain_of_voids_ends_where_the_last_one_says(worlds: Worlds) -> None:
    chain = [voided(f"E1-{n}", dealer="E1", event_id=f"E1-{n + 1}") for n in range(1500)]

    found = levels(worlds, dispatched("L1", "E1", id="E1-0"), *reversed(chain))

    assert found["E1", "COLA", ""].in_transit == 10


# the other ways goods move


def test_a_transfer_takes_here_and_gives_there(worlds: Worlds) -> None:
    found = levels(worlds, moved("F1", "F1", "transfer", "2.5", to_location="F2", lot="L1"))

    assert (found["F1", "COLA", "L1"].on_hand, found["F2", "COLA", "L1"].on_hand) == (D("-2.5"), D("2.5"))


def test_what_is_blocked_is_still_on_hand_until_released(worlds: Worlds) -> None:
    blocked = levels(worlds, moved("G1", "G1", "in", 5), moved("G2", "G1", "block", 3))["G1", "COLA", ""]
    released = levels(worlds, moved("G3", "G1", "release", 2))["G1", "COLA", ""]

    assert [(x.on_hand, x.blocked) for x in (blocked, released)] == [(5, 3), (5, 1)]


def test_a_return_to_the_company_leaves_the_dealer_and_one_from_an_outlet_comes_to_it(worlds: Worlds) -> None:
    found = levels(worlds, returned("T1", "H1", "to_company", 3), returned("T1", "H2", "to_dealer", 3))

    assert (found["H1", "COLA", ""].on_hand, found["H2", "COLA", ""].on_hand) == (-3, 3)


def test_a_restated_return_stays_at_its_time(worlds: Worlds) -> None:
    found = levels(
        worlds,
        counted("C1", "H3", NOON, ("COLA", 10)),
        returned("T1", "H3", "to_company", 3, time=NOON - HOUR),
        returned("T1", "H3", "to_company", 4, time=NOON + HOUR),
    )

    assert found["H3", "COLA", ""].on_hand == 10


def test_what_was_sold_on_leaves_the_dealer_for_its_outlet_at_the_end_of_the_period(worlds: Worlds) -> None:
    found = levels(worlds, sold("Q1", "I1", NOON, 4, outlet="I1-SHOP"))

    assert (found["I1", "COLA", ""].on_hand, found["I1-SHOP", "COLA", ""].on_hand) == (-4, 4)
    assert found["I1", "COLA", ""].last_move == NOON


def test_what_an_outlet_sold_on_leaves_it_and_not_the_dealer(worlds: Worlds) -> None:
    found = levels(worlds, sold("Q1", "I2", NOON, 4, outlet="I2-SHOP", flow="tertiary"))

    assert found["I2-SHOP", "COLA", ""].on_hand == -4
    assert ("I2", "COLA", "") not in found


def test_a_move_that_names_a_delivery_is_not_counted_again(worlds: Worlds) -> None:
    found = levels(worlds, received("L1", "J1", accepted=4), moved("J1", "J1", "in", 4, delivery="L1"))

    assert found["J1", "COLA", ""].on_hand == 4
