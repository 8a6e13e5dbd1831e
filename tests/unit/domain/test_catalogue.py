"""Bytes are either an event or are refused with every reason, and nothing else ever happens."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from golden import NAMES, changed, golden, subject_of
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.catalogue import BODY_BYTES_MAX, TYPES, Catalogue, Rejected, Upcaster, fact
from domain.envelope import Payload, Recorded
from domain.event_types import CATALOGUE
from domain.flaws import Reason, unknown_members
from domain.identifiers import ID_BYTES_MAX, Id, flaw
from domain.orders import OrderHeld, OrderPlaced

ORDER = "channel.orders.D-0571"


def read(body: bytes, subject: str = ORDER, catalogue: Catalogue = CATALOGUE) -> Recorded[Payload] | Rejected:
    try:
        return catalogue.read(1, 1, subject, body)
    except Rejected as rejected:
        return rejected


def reasons(body: bytes, subject: str = ORDER) -> tuple[Reason, ...]:
    found = read(body, subject)
    assert isinstance(found, Rejected), "the bytes are a valid event"
    return found.reasons


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_rejected(body: bytes) -> None:
    assert isinstance(read(body), Rejected | Recorded)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "1e999", "-1", "2026-01-01T00:00:00Z", "0E-900000000", "\x00", "x" * 200]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def _replace_one(data: st.DataObject, raw: Any) -> Any:
    """The JSON with one value somewhere in it replaced, added or taken away."""
    if isinstance(raw, dict) and raw and data.draw(st.integers(0, 9)) > 0:
        name = data.draw(st.sampled_from(sorted(raw)))
        if data.draw(st.integers(0, 9)) == 0:
            return {key: value for key, value in raw.items() if key != name}
        return {**raw, name: _replace_one(data, raw[name])}
    if isinstance(raw, list) and raw and data.draw(st.integers(0, 9)) > 0:
        at = data.draw(st.integers(0, len(raw) - 1))
        return [*raw[:at], _replace_one(data, raw[at]), *raw[at + 1 :]]
    return data.draw(json_values)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(NAMES))
def test_an_example_with_a_value_replaced_is_an_event_or_rejected(data: st.DataObject, name: str) -> None:
    raw = msgspec.json.decode(golden(name))
    body = msgspec.json.encode(_replace_one(data, raw))

    found = read(body, subject_of(CATALOGUE.types[name], raw))
    if isinstance(found, Rejected):
        assert found.reasons
        assert all(reason.field and reason.reason for reason in found.reasons)
    else:
        again = read(msgspec.json.encode(found.event), subject_of(CATALOGUE.types[name], raw))
        assert again == found


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(NAMES), st.binary(min_size=1, max_size=4))
def test_an_example_with_bytes_overwritten_is_an_event_or_rejected(
    data: st.DataObject, name: str, patch: bytes
) -> None:
    body = golden(name)
    at = data.draw(st.integers(0, len(body) - 1))

    found = read(body[:at] + patch + body[at + len(patch) :])
    assert isinstance(found, Rejected | Recorded)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"order"',
        b"{",
        b"\xff\xfe",
        b'{"type": "\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 6_000,
        b"{}",
        b'{"type": 7}',
        b'{"type": "order.placed.v1"}',
        b'{"type": "order.placed.v1", "data": []}',
        b'{"type": "\\ud800"}',
        b"NaN",
        b" " * (BODY_BYTES_MAX + 1),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_event_is_rejected_as_invalid(body: bytes) -> None:
    found = read(body)

    assert isinstance(found, Rejected)
    assert found.code == "invalid"
    assert found.reasons


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "sNaN", "1E+999999999", "1E-999999999", "999999999999.9999999", "1" * 5_000],
)
@pytest.mark.parametrize("field", ["quantity", "net"])
def test_a_number_that_no_fold_can_hold_is_refused_at_its_path(number: str, field: str) -> None:
    raw = changed("order.placed.v1")
    raw["data"]["lines"][0][field] = number

    [reason] = reasons(msgspec.json.encode(raw))
    assert reason.field == f"data.lines[0].{field}"
    assert len(reason.reason) < 6_000


def test_a_zero_with_any_exponent_is_a_zero() -> None:
    raw = changed("order.placed.v1", freight="0E-900000000")

    found = read(msgspec.json.encode(raw))
    assert isinstance(found, Recorded)


def test_numbers_may_be_sent_as_json_numbers_and_stay_exact() -> None:
    body = golden("order.placed.v1").replace(b'"120.00"', b"123456789012.123456")

    found = read(body)
    assert isinstance(found, Recorded)
    assert isinstance(found.data, OrderPlaced)
    assert found.data.freight == Decimal("123456789012.123456")


def test_every_failing_field_is_named_at_once() -> None:
    raw = changed("order.placed.v1", order=None, currency="yuan", freight="1E13")
    raw["time"] = "yesterday"
    raw["specversion"] = "0.3"
    del raw["source"]
    raw["data"]["lines"][0]["quantity"] = "many"
    raw["data"]["lines"][1]["net"] = True
    raw["data"]["ship_to"]["address"]["country"] = "China"

    found = {reason.field for reason in reasons(msgspec.json.encode(raw))}
    assert found == {
        "source",
        "time",
        "specversion",
        "data.order",
        "data.currency",
        "data.lines[0].quantity",
        "data.lines[1].net",
        "data.ship_to.address.country",
    }


def test_rules_of_different_lines_are_named_at_once() -> None:
    raw = changed("order.placed.v1")
    raw["data"]["lines"][0]["quantity"] = "-1"
    raw["data"]["lines"][1]["net"] = "0.0000001"

    found = [reason.field for reason in reasons(msgspec.json.encode(raw))]
    assert found == ["data.lines[0].quantity", "data.lines[1].net"]


@pytest.mark.parametrize("bad", ["a\u0000b", "line\nbreak", "\u007f", "渠" * 43, "x" * 129, ""])
def test_a_bad_id_is_refused_wherever_it_stands(bad: str) -> None:
    raw = changed("order.placed.v1", rep=bad)
    raw["data"]["lines"][0]["sku"] = bad
    raw["data"]["lines"][0]["discounts"][0]["promotion"] = bad
    raw["data"]["ship_to"]["id"] = bad
    raw["id"] = bad

    found = {reason.field for reason in reasons(msgspec.json.encode(raw))}
    assert found == {
        "id",
        "data.rep",
        "data.ship_to.id",
        "data.lines[0].sku",
        "data.lines[0].discounts[0].promotion",
    }


def test_bad_ids_in_lists_and_tables_are_refused_too() -> None:
    dealer = changed("dealer.registered.v1", ids={"cr\tm": "1"}, approvers=["ok", "\x01"])
    code = changed("code.packed.v1", children=["渠" * 43])

    found = reasons(msgspec.json.encode(dealer), "channel.dealers.D-0571")
    assert [reason.field for reason in found] == ["data.ids", "data.approvers[1]"]
    found = reasons(msgspec.json.encode(code), "channel.field._")
    assert [reason.field for reason in found] == ["data.children[0]"]


@pytest.mark.parametrize("escaped", [rb"\ud800", rb"\udfff", rb"\ud800\u0041", rb"a\ud83d"])
def test_a_lone_surrogate_is_refused(escaped: bytes) -> None:
    body = golden("order.held.v1").replace(b"SO-4711", escaped)

    assert isinstance(read(body), Rejected)


@pytest.mark.parametrize(
    ("subject", "field", "reason"),
    [
        ("channel.deliveries.D-0571", "type", "order.held.v1 belongs on orders, not on 'deliveries'"),
        ("channel.orders.D-1", "data.dealer", "is 'D-0571', but the subject was published for 'D-1'"),
        ("channel.orders._", "data.dealer", "is 'D-0571', but the subject was published for ''"),
        ("channel.orders", "(subject)", "'channel.orders' is not channel.<family>.<dealer>"),
        ("channel.orders.D=5f", "(subject)", "'channel.orders.D=5f' is not channel.<family>.<dealer>"),
    ],
)
def test_an_event_on_the_wrong_subject_is_refused_with_the_reason(
    subject: str, field: str, reason: str
) -> None:
    assert reasons(golden("order.held.v1"), subject) == (Reason(field, reason),)


def test_an_envelope_that_names_another_document_is_refused() -> None:
    raw = changed("order.held.v1", order="SO-1")

    assert reasons(msgspec.json.encode(raw)) == (
        Reason("subject", "is 'SO-4711', but `data` speaks about 'SO-1'"),
    )


def test_an_unknown_type_is_told_apart_from_a_broken_envelope() -> None:
    raw = {**changed("order.held.v1"), "type": "order.teleported.v1"}

    unknown = read(msgspec.json.encode(raw))
    broken = read(msgspec.json.encode({**raw, "time": 5}))
    assert isinstance(unknown, Rejected)
    assert isinstance(broken, Rejected)
    assert (unknown.code, broken.code) == ("not_understood", "invalid")
    assert [reason.field for reason in broken.reasons] == ["type", "time"]


def test_free_json_may_be_nested_but_not_too_deeply() -> None:
    for depth, taken in ((20, True), (40, False), (300, False)):
        raw = changed("order.held.v1", x={"deep": msgspec.json.decode("[" * depth + "]" * depth)})

        assert isinstance(read(msgspec.json.encode(raw)), Recorded) is taken


@given(
    st.text(st.sampled_from('渠"\\\n\x00\x7f\x85\ud800é🥤a'), min_size=1, max_size=6),
    st.integers(1, 64),
    st.booleans(),
)
def test_an_id_is_judged_alike_however_its_bytes_are_written(text: str, times: int, escaped: bool) -> None:
    identifier = text * times
    raw = changed("order.placed.v1", seller=identifier)
    body = json.dumps(raw, ensure_ascii=escaped).encode("utf-8", "surrogatepass")

    fits = len(identifier) <= ID_BYTES_MAX and flaw(identifier) is None
    assert isinstance(read(body), Recorded) is fits


def test_no_text_has_a_nul_but_in_free_members_and_in_those_that_nobody_knows() -> None:
    place = {"id": "P", "name": "a\x00b"}
    raw = changed("order.placed.v1", ship_to=place, x={"kept": "a\x00b"}) | {
        "replaces": "erp\x00#1",
        "zz": "\x00",
    }

    assert {(one.field, one.reason) for one in reasons(msgspec.json.encode(raw))} == {
        ("data.ship_to.name", "must not contain NUL"),
        ("replaces", "must not contain NUL"),
    }
    free = msgspec.json.encode(changed("order.placed.v1", x={"a\x00": "\x00"}))
    assert isinstance(read(free), Recorded)


def test_a_body_is_utf8_to_the_last_byte() -> None:
    """Members that nobody knows are passed over by the decoder; the body is kept as a text, and told again."""
    body = msgspec.json.encode(changed("order.placed.v1"))

    for odd in (b',"zz":"\xff"}', b',"\xff":1}', b',"zz":["\xed\xa0\x80"]}'):
        broken = read(body[:-1] + odd)

        assert isinstance(broken, Rejected)
        assert [one.field for one in broken.reasons] == ["(body)"]
    assert isinstance(read(body[:-1] + ',"zz":"渠"}'.encode()), Recorded)


def test_unknown_members_are_named_where_they_stand_and_free_ones_are_not() -> None:
    raw = changed("order.placed.v1", x={"anything": 1}, delaer="D-1")
    raw["traceparent"] = "00-1"
    raw["data"]["lines"][1]["qty"] = "5"
    raw["data"]["ship_to"]["adress"] = {}

    found = set(unknown_members(CATALOGUE.types["order.placed.v1"].envelope, raw))
    assert found == {"traceparent", "data.delaer", "data.lines[1].qty", "data.ship_to.adress"}


def test_an_unknown_member_of_a_mechanics_is_named() -> None:
    mechanics = {"kind": "buy_get", "buy": "12", "get": "1", "git_sku": "A"}
    raw = changed("promotion.planned.v1", mechanics=mechanics)

    found = list(unknown_members(CATALOGUE.types["promotion.planned.v1"].envelope, raw))
    assert found == ["data.mechanics.git_sku"]


def test_a_type_cannot_be_entered_twice_or_under_an_unknown_family() -> None:
    class Again(Payload, frozen=True, kw_only=True):
        order: Id

    with pytest.raises(ValueError, match="entered twice"):
        fact("order.held.v1", families=("orders",))(Again)
    with pytest.raises(ValueError, match="unknown family"):
        fact("order.lost.v1", families=("gossip",))(Again)
    assert TYPES["order.held.v1"].payload is OrderHeld
    assert "order.lost.v1" not in TYPES


def step(old: str, new: str, change: Any = lambda data: data) -> Upcaster:
    return Upcaster(old, new, change)


@pytest.mark.parametrize(
    "steps",
    [
        [step("order.stopped.v1", "order.stopped.v2")],
        [step("order.stopped.v1", "order.stopped.v1")],
        [step("order.stopped.v1", "order.stopped.v2"), step("order.stopped.v2", "order.stopped.v1")],
        [step("order.stopped.v1", "order.held.v1"), step("order.stopped.v1", "order.closed.v1")],
        [step("order.held.v1", "order.closed.v1")],
    ],
    ids=["gap", "self", "cycle", "fork", "still a type"],
)
def test_a_broken_chain_of_upcasters_stops_the_start(steps: list[Upcaster]) -> None:
    with pytest.raises(ValueError, match=r"chain|upcasters"):
        Catalogue(TYPES, steps)


def test_an_old_event_is_read_through_two_steps_without_losing_a_digit() -> None:
    catalogue = Catalogue(
        TYPES,
        [
            step("order.taken.v2", "order.placed.v1", lambda data: {**data, "freight": data["cost"]}),
            step("order.taken.v1", "order.taken.v2", lambda data: {**data, "order": data["number"]}),
        ],
    )
    raw = changed("order.placed.v1", order=None, freight=None, number="SO-4711")
    body = msgspec.json.encode({**raw, "type": "order.taken.v1"})
    body = body.replace(b'"number"', b'"cost":123456789012.123456,"number"')

    found = read(body, catalogue=catalogue)
    assert isinstance(found, Recorded)
    assert isinstance(found.data, OrderPlaced)
    assert found.type == "order.placed.v1"
    assert found.data.freight == Decimal("123456789012.123456")
    assert isinstance(found.time, datetime)


@given(json_values)
def test_an_old_event_that_its_upcaster_cannot_change_is_rejected(data: object) -> None:
    catalogue = Catalogue(
        TYPES, [step("order.stopped.v1", "order.held.v1", lambda data: {"order": data["a"].b[0]})]
    )
    body = msgspec.json.encode({**changed("order.held.v1"), "type": "order.stopped.v1", "data": data})

    assert isinstance(read(body, catalogue=catalogue), Rejected)


def test_a_valid_event_names_the_subject_it_is_published_on() -> None:
    placed = CATALOGUE.decode(golden("order.placed.v1"))
    product = CATALOGUE.decode(golden("product.listed.v1"))
    target = CATALOGUE.decode(golden("target.set.v1"))

    assert CATALOGUE.subject_for(placed) == "channel.orders.D-0571"
    assert CATALOGUE.subject_for(product) == "channel.plans._"
    assert CATALOGUE.subject_for(target, "decisions") == "channel.decisions._"
    assert CATALOGUE.entry(placed).payload is OrderPlaced
