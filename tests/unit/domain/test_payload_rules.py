"""The rules of single types: signs, intervals, slots and when a fact is true."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from golden import NAMES, changed, golden

from domain.catalogue import Rejected
from domain.event_types import CATALOGUE
from domain.flaws import Reason


def refused(raw: dict[str, Any]) -> tuple[Reason, ...]:
    with pytest.raises(Rejected) as caught:
        CATALOGUE.decode(msgspec.json.encode(raw))
    return caught.value.reasons


INTERVALS = [
    name
    for name in NAMES
    if {"from", "to"} <= set(msgspec.json.decode(golden(name))["data"])
    and name not in ("delivery.dispatched.v1", "rep.assigned.v1")
]


@pytest.mark.parametrize("name", INTERVALS)
def test_an_interval_that_ends_where_it_begins_is_refused_at_its_end(name: str) -> None:
    raw = changed(name)
    raw["data"]["to"] = raw["data"]["from"]

    assert refused(raw) == (Reason("data.to", "must be after `from`"),)


def test_intervals_are_found_in_most_of_the_plans() -> None:
    assert len(INTERVALS) >= 10


def test_only_an_adjustment_may_take_a_negative_quantity() -> None:
    lines = [{"sku": "A", "quantity": "1"}, {"sku": "B", "quantity": "-1"}]

    CATALOGUE.decode(msgspec.json.encode(changed("stock.moved.v1", kind="adjust", lines=lines)))
    assert refused(changed("stock.moved.v1", kind="out", lines=lines)) == (
        Reason("data.lines[1].quantity", "must be at least 0, got -1"),
    )


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("order.placed.v1", "quantity"),
        ("delivery.dispatched.v1", "quantity"),
        ("delivery.received.v1", "damaged"),
        ("return.received.v1", "quantity"),
        ("stock.counted.v1", "quantity"),
        ("sellout.reported.v1", "quantity"),
        ("invoice.issued.v1", "quantity"),
    ],
)
def test_goods_are_not_counted_below_zero(name: str, field: str) -> None:
    raw = changed(name)
    raw["data"]["lines"][0][field] = "-0.5"

    assert refused(raw) == (Reason(f"data.lines[0].{field}", "must be at least 0, got -0.5"),)


def test_what_one_invoice_or_payment_adds_up_to_is_a_figure_too() -> None:
    line = {"sku": "A", "quantity": "1", "net": "500000000000"}
    part = {"invoice": "I1", "amount": "500000000000"}
    invoice = changed("invoice.issued.v1", lines=[line | {"line": "1"}, line | {"line": "2"}])
    payment = changed("payment.received.v1", allocations=[part, part])
    reason = "must add up to less than 10^12 in size, not to 1000000000000"
    taxed = [line | {"line": "1", "tax": "499999999999.999999"}]

    assert refused(invoice) == (Reason("data.lines", reason),)
    assert refused(payment) == (Reason("data.allocations", reason),)
    payment["data"]["allocations"][1] = {
        "invoice": "I2",
        "amount": "-500000000000",
    }  # each invoice has its own
    assert refused(payment) == (Reason("data.allocations", reason),)
    CATALOGUE.decode(msgspec.json.encode(changed("invoice.issued.v1", lines=taxed)))
    taxed[0]["tax"] = "500000000000"
    assert refused(changed("invoice.issued.v1", lines=taxed)) == (Reason("data.lines", reason),)


def test_money_may_be_negative_and_need_not_be_quantity_times_price() -> None:
    raw = changed("order.placed.v1")
    raw["data"]["lines"][0].update(quantity="3", unit_price="2", net="-7.5")

    CATALOGUE.decode(msgspec.json.encode(raw))


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("order.placed.v1", "placed"),
        ("delivery.received.v1", "arrived"),
        ("delivery.failed.v1", "attempted"),
        ("stock.counted.v1", "at"),
        ("sellout.reported.v1", "from"),
        ("balance.opened.v1", "as_of"),
        ("territory.assigned.v1", "from"),
        ("contract.signed.v1", "from"),
        ("promotion.planned.v1", "from"),
        ("price.listed.v1", "from"),
        ("target.set.v1", "from"),
        ("policy.published.v1", "effective"),
        ("credit.limit_set.v1", "from"),
    ],
)
def test_a_fact_is_true_when_its_own_field_says(name: str, member: str) -> None:
    event = CATALOGUE.decode(golden(name))
    entry = CATALOGUE.types[name]

    said = msgspec.json.decode(golden(name))["data"][member]
    assert msgspec.to_builtins(entry.effective(event.data)) == said


def test_an_order_without_its_own_instant_is_true_at_the_events_time() -> None:
    body = msgspec.json.encode(changed("order.placed.v1", placed=None))

    read = CATALOGUE.read(1, 1, "channel.orders.D-0571", body)
    assert read.effective == read.time


def test_a_mechanics_that_does_not_exist_is_named_and_a_known_one_is_looked_into() -> None:
    unknown = changed("promotion.planned.v1", mechanics={"kind": "raffle"})
    wrong = changed("promotion.planned.v1", mechanics={"kind": "percent", "percent": "120"})
    empty = changed("promotion.planned.v1", mechanics={"kind": "bundle", "items": [], "price": "a"})

    assert [reason.field for reason in refused(unknown)] == ["data.mechanics.kind"]
    assert refused(wrong) == (Reason("data.mechanics.percent", "must be at most 100, got 120"),)
    assert [reason.field for reason in refused(empty)] == [
        "data.mechanics.items",
        "data.mechanics.price",
        "data.mechanics.currency",
    ]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("order.placed.v1", "currency", "CNY\n"),
        ("product.listed.v1", "gtin", "6901234567892\n"),
        ("location.registered.v1", "place", {"gln": "123"}),
        ("location.registered.v1", "place", {"lat": "90.1"}),
        ("stock.counted.v1", "at", "2026-03-01T00:00:00"),
        ("policy.published.v1", "body", {"deep": msgspec.json.decode("[" * 40 + "]" * 40)}),
    ],
)
def test_a_value_of_the_wrong_form_is_refused(name: str, path: str, value: object) -> None:
    raw = changed(name, **{path: value})

    assert [reason.field.split(".")[1] for reason in refused(raw)] == [path]
