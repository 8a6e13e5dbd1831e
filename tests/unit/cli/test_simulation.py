"""The simulated year is seeded, valid where it means to be, and keeps its own books right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.simulation import Published, Tally, events
from cli.simulation.publishing import publish
from domain.catalogue import Rejected
from domain.event_types import CATALOGUE
from infra.append import Outgoing, Receipt

Event = dict[str, Any]
SIZE = 6_000
SLOTS = {
    name: [field.encode_name for field in msgspec.structs.fields(entry.payload) if field.name in entry.slot]
    for name, entry in CATALOGUE.types.items()
}


@pytest.fixture(scope="module")
def year() -> tuple[list[Published], Tally]:
    tally = Tally()
    return list(events(7, events=SIZE, tally=tally)), tally


@pytest.fixture(scope="module")
def read(year: tuple[list[Published], Tally]) -> list[Event]:
    return standing(year[0])


def standing(stream: Iterable[Published]) -> list[Event]:
    """Read a stream the naive way: first of an id, not withdrawn, and of each statement the latest."""
    first: dict[tuple[str, str], Event] = {}
    for message in stream:
        if message.manner != "invalid":
            event = msgspec.json.decode(message.body)
            first.setdefault((event["source"], event["id"]), event)
    voided = {
        (event["data"]["source"], event["data"]["id"])
        for event in first.values()
        if event["type"] == "event.voided.v1"
    }
    latest: dict[tuple[object, ...], tuple[datetime, Event]] = {}
    for identity, event in first.items():
        if identity in voided:
            continue
        data = event["data"]
        slot = [str(data.get(name)) for name in SLOTS[event["type"]]]
        key = (event["type"], data.get("dealer"), event["subject"], *slot)
        time = datetime.fromisoformat(event["time"])
        if key not in latest or latest[key][0] <= time:
            latest[key] = time, event
    return [event for _, event in latest.values()]


def of_type(events: Iterable[Event], kind: str) -> list[Event]:
    return [event["data"] for event in events if event["type"] == kind]


def number(value: object) -> Decimal:
    return Decimal(str(value))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    first = list(events(seed, events=1500))
    again = list(events(seed, events=1500))

    assert first == again


def test_another_seed_gives_another_year() -> None:
    one = {message.body for message in events(1, events=1500)}
    other = {message.body for message in events(2, events=1500)}

    assert len(one & other) < len(one) / 2


def test_every_event_is_valid_but_those_that_are_meant_not_to_be(year: tuple[list[Published], Tally]) -> None:
    stream, _ = year

    for message in stream:
        if message.manner == "invalid":
            with pytest.raises(Rejected):
                CATALOGUE.read(1, 0, message.subject, message.body)
        else:
            event = CATALOGUE.read(1, 0, message.subject, message.body).event
            assert (event.source, event.id) == (message.source, message.id)


@pytest.mark.parametrize("wanted", [2_000, 20_000])
def test_a_wished_number_of_events_is_about_met(wanted: int) -> None:
    tally = Tally()

    count = sum(1 for _ in events(3, events=wanted, tally=tally))

    assert count == pytest.approx(wanted, rel=0.1)
    assert count == tally.published


def test_a_short_year_shows_every_type_and_every_fault(year: tuple[list[Published], Tally]) -> None:
    stream, tally = year
    manners = Counter(message.manner for message in stream)

    assert len(tally.types) >= 69
    assert {"event.voided.v1", "dealer.banned.v1", "crate.exchanged.v1", "target.revised.v1"} <= set(
        tally.types
    )
    assert manners == {
        "first": tally.events,
        "repeat": tally.repeats,
        "reserialised": tally.reserialised,
        "conflict": tally.conflicts,
        "invalid": tally.invalid,
    }
    assert min(manners.values()) > 0
    assert min(tally.late, tally.restated, tally.voided, tally.rebooked) > 0
    assert len({message.subject for message in stream}) > 100


def test_faults_keep_to_small_shares() -> None:
    tally = Tally()

    count = sum(1 for _ in events(5, events=20_000, tally=tally))

    assert tally.late / count == pytest.approx(0.0075, abs=0.004)
    assert (tally.repeats + tally.reserialised) / count == pytest.approx(0.007, abs=0.003)
    assert tally.conflicts + tally.invalid < count / 300


def test_repeats_say_the_same_and_conflicts_do_not(year: tuple[list[Published], Tally]) -> None:
    stream, _ = year
    first: dict[tuple[str, str], Published] = {}

    for message in stream:
        identity = message.source, message.id
        if message.manner == "first":
            assert first.setdefault(identity, message) is message
        elif message.manner != "invalid":
            original = first[identity]
            same = CATALOGUE.decode(message.body) == CATALOGUE.decode(original.body)
            assert same is (message.manner != "conflict")
            assert (message.body == original.body) is (message.manner == "repeat")


def test_some_come_before_what_they_speak_of(year: tuple[list[Published], Tally]) -> None:
    stream, _ = year
    place: dict[tuple[str, str], int] = {}
    for index, message in enumerate(stream):
        if message.manner == "first":
            event = msgspec.json.decode(message.body)
            place.setdefault((event["type"], event["subject"]), index)

    received = {subject: at for (kind, subject), at in place.items() if kind == "delivery.received.v1"}
    early = [delivery for delivery, at in received.items() if at < place["delivery.dispatched.v1", delivery]]
    registered = {subject: at for (kind, subject), at in place.items() if kind == "dealer.registered.v1"}
    first_order = min(at for (kind, _), at in place.items() if kind == "order.placed.v1")

    assert 0 < len(early) < len(received) / 20
    assert max(registered.values()) > first_order


def test_orders_sum_to_what_the_tally_says(year: tuple[list[Published], Tally], read: list[Event]) -> None:
    _, tally = year
    lines = {(data["dealer"], data["order"]): data["lines"] for data in of_type(read, "order.placed.v1")}
    currency = {
        (data["dealer"], data["order"]): data["currency"] for data in of_type(read, "order.placed.v1")
    }
    for data in of_type(read, "order.amended.v1"):
        lines[data["dealer"], data["order"]] = data["lines"]

    net: defaultdict[str, Decimal] = defaultdict(Decimal)
    for key, its_lines in lines.items():
        net[currency[key]] += sum(number(line["net"]) for line in its_lines)

    assert len(currency) == tally.orders
    assert Counter(dealer for dealer, _ in currency) == tally.orders_by_dealer
    assert len(of_type(read, "order.cancelled.v1")) == tally.cancelled
    assert net == tally.net()


def test_what_is_dispatched_arrives_or_is_accounted_for(
    year: tuple[list[Published], Tally], read: list[Event]
) -> None:
    _, tally = year
    orders = {data["order"] for data in of_type(read, "order.placed.v1")}
    dispatched = of_type(read, "delivery.dispatched.v1")
    open_units = {
        (data["delivery"], line["line"]): number(line["quantity"])
        for data in dispatched
        for line in data["lines"]
    }
    accepted: Counter[str] = Counter()
    for data in of_type(read, "delivery.received.v1"):
        for line in data["lines"]:
            accepted[line["sku"]] += int(line["accepted"])
            for part in ("accepted", "short", "damaged", "refused"):
                open_units[data["delivery"], line["line"]] -= number(line.get(part, 0))

    assert {data["order"] for data in dispatched} <= orders
    assert set(open_units.values()) == {0}
    assert accepted == +tally.accepted


def test_warehouse_books_agree_with_the_last_count_and_what_came_after(
    year: tuple[list[Published], Tally], read: list[Event]
) -> None:
    _, tally = year
    changes: list[tuple[str, str, str, Decimal]] = []  # instant, location, SKU, difference
    counted: dict[str, str] = {}
    for event in read:
        data, kind = event["data"], event["type"]
        if kind == "stock.counted.v1" and data["scope"] == "full":
            counted[data["location"]] = max(data["at"], counted.get(data["location"], ""))
    for event in read:
        data, kind = event["data"], event["type"]
        match kind:
            case "delivery.dispatched.v1":
                signs = {data["from"]: -1}
            case "stock.moved.v1":
                down = data["kind"] in ("out", "scrap", "transfer")
                signs = {data["location"]: 0 if data["kind"] in ("block", "release") else -1 if down else 1}
                if "to_location" in data:
                    signs[data["to_location"]] = 1
            case "stock.counted.v1" if data["at"] == counted.get(data["location"]):
                signs = {data["location"]: 1}
            case _:
                continue
        for location, sign in signs.items():
            if event["time"] >= counted[location]:
                changes += [
                    (event["time"], location, line["sku"], sign * number(line["quantity"]))
                    for line in data["lines"]
                ]

    on_hand: Counter[tuple[str, str]] = Counter()
    for _, location, sku, difference in changes:
        on_hand[location, sku] += int(difference)

    assert {key: on_hand[key] for key in tally.on_hand} == tally.on_hand


class Shelf:
    """A log in memory, which knows a message id again."""

    def __init__(self) -> None:
        self.sequences: dict[str, int] = {}
        self.calls: list[int] = []

    async def append(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        self.calls.append(len(messages))
        receipts = []
        for message in messages:
            known = message.message_id in self.sequences
            sequence = self.sequences.setdefault(message.message_id, len(self.sequences) + 1)
            receipts.append(Receipt(sequence, known))
        return receipts


async def test_publishing_keeps_the_order_and_counts_what_the_log_knew(
    year: tuple[list[Published], Tally],
) -> None:
    stream, tally = year
    shelf = Shelf()

    sent = await publish(shelf, stream, batch=500)

    assert max(shelf.calls) == 500
    assert (sent.events, sent.duplicates) == (len(stream), tally.repeats)
    assert sent.last_sequence == len(stream) - tally.repeats


async def test_publishing_stops_at_its_limit() -> None:
    shelf = Shelf()

    sent = await publish(shelf, events(1, events=1500), batch=100, limit=250, rate=10_000)

    assert shelf.calls == [100, 100, 50]
    assert sent.events == 250
