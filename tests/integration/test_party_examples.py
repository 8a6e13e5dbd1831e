"""Dealers, territories, representatives and contracts by examples, folded by the engine and asked as the API asks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.holdings import FOREVER, NEVER, Claim, flatten
from tests.lab.databases import Where
from tests.lab.events import HOUR, NOON, body, counted, log, order, voided
from tests.lab.year import answered

DAY = 24 * HOUR
TODAY = NOON.date()


def day(number: int) -> date:
    return TODAY + timedelta(days=number)


def asked(
    built: Where, events: Iterable[bytes], question: str, now: datetime | None = None
) -> list[dict[str, Any]]:
    """The rows that are answered when the events are folded."""
    return answered(built, log(events), question, now)


def assigned(dealer: str, territory: str, from_: datetime, **more: Any) -> bytes:
    return body("territory.assigned.v1", dealer=dealer, territory=territory, from_=from_, **more)


def registered(dealer: str = "D1", **more: Any) -> bytes:
    return body("dealer.registered.v1", dealer=dealer, name=more.pop("name", "某某商行"), **more)


def test_a_later_claim_wins_while_it_lasts_and_the_earlier_one_goes_on_after_it() -> None:
    north = Claim("N", day(0))
    south = Claim("S", day(5), day(8))

    assert flatten([south, north]) == [
        (day(0), day(5), "N"),
        (day(5), day(8), "S"),
        (day(8), FOREVER, "N"),
    ]


claims = st.builds(
    Claim,
    st.sampled_from("NSEW"),
    st.integers(0, 12).map(day),
    st.integers(0, 12).map(day) | st.just(FOREVER),
    st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours)),
    st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours)),
)


@given(st.lists(claims, max_size=12))
def test_on_every_day_the_claim_that_began_last_holds(said: list[Claim]) -> None:
    found = flatten(said)

    for number in range(14):
        holding = [value for start, end, value in found if start <= day(number) < end]
        covering = [claim for claim in said if claim.from_day <= day(number) < claim.to_day]
        ranked = sorted(covering, key=lambda c: (c.from_day, c.begun, c.said, c.value))
        assert holding == [claim.value for claim in ranked[-1:]]
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(found))


def test_a_territory_assigned_back_in_time_changes_past_days_at_once(built: Where) -> None:
    found = asked(
        built,
        [assigned("D1", "N", NOON - 30 * DAY), order("O1", "D1"), assigned("D1", "S", NOON - 10 * DAY)],
        "/territory_holdings?dealer=D1",
    )

    assert [(row["territory"], row["from_day"], row["to_day"]) for row in found] == [
        ("N", day(-30).isoformat(), day(-10).isoformat()),
        ("S", day(-10).isoformat(), FOREVER.isoformat()),
    ]


def test_a_change_of_master_data_leaves_past_days_where_they_were(built: Where) -> None:
    amended = body("dealer.amended.v1", dealer="D1", territory="S", time=NOON)
    found = asked(built, [amended, registered(territory="N", time=NOON - 30 * DAY)], "/territory_holdings")

    assert [(row["territory"], row["from_day"]) for row in found] == [
        ("N", NEVER.isoformat()),
        ("S", TODAY.isoformat()),
    ]


def test_a_scoped_assignment_is_shown_and_holds_no_day(built: Where) -> None:
    events = [assigned("D1", "N", NOON, skus=["COLA"]), assigned("D1", "S", NOON - DAY, to=NOON + DAY)]

    assert [row["territory"] for row in asked(built, events, "/territory_assignments")] == ["N", "S"]
    assert [row["territory"] for row in asked(built, [], "/territory_holdings")] == ["S"]


def test_products_withdrawn_from_a_whole_assignment_are_told_with_it(built: Where) -> None:
    revoked = body("territory.revoked.v1", dealer="D1", territory="N", from_=NOON, skus=["COLA"])

    [row] = asked(built, [assigned("D1", "N", NOON - DAY), revoked], "/territory_assignments")

    assert row["to_day"] == FOREVER.isoformat()
    assert row["withdrawn"] == [{"from_day": TODAY.isoformat(), "skus": ["COLA"], "categories": []}]


def test_two_dealers_with_one_exclusive_territory_are_flagged_until_one_is_revoked(built: Where) -> None:
    events = [assigned("D1", "N", NOON, exclusive=True), assigned("D2", "N", NOON + DAY, exclusive=True)]
    flags = "/flags?kind=territory_overlap"

    [flag] = asked(built, events, flags)
    [overlap] = asked(built, [], "/territory_overlaps")

    revoked = body("territory.revoked.v1", dealer="D1", territory="N", from_=NOON + DAY)
    [settled] = asked(built, [*events, revoked], flags)
    assert (flag["subject"], flag["cleared"]) == ("N", None)
    assert (overlap["dealer"], overlap["other"], overlap["from_day"]) == ("D1", "D2", day(1).isoformat())
    assert settled["cleared"] is not None


def test_an_order_before_a_ban_that_is_told_late_is_no_barred_order(built: Where) -> None:
    events = [
        registered(time=NOON - 30 * DAY),
        order("BEFORE", "D1", time=NOON - 5 * DAY),
        order("AFTER", "D1", time=NOON - 2 * DAY),
        body("dealer.banned.v1", dealer="D1", reason="竄貨", time=NOON - 3 * DAY),
    ]

    [found] = asked(built, events, "/barred_orders")

    assert (found["order"], found["dealer_status"], found["net"]) == ("AFTER", "banned", "25")


def test_a_suspension_bars_only_until_the_dealer_is_reinstated(built: Where) -> None:
    events = [
        body("dealer.suspended.v1", dealer="D1", reason="欠款", time=NOON - 9 * DAY),
        body("dealer.reinstated.v1", dealer="D1", reason="付清", time=NOON - 4 * DAY),
        order("O1", "D1", time=NOON - 5 * DAY),
        order("O2", "D1", time=NOON - 3 * DAY),
    ]

    assert [row["order"] for row in asked(built, events, "/barred_orders")] == ["O1"]


def test_master_data_extracted_again_lifts_no_ban(built: Where) -> None:
    events = [
        registered(time=NOON - 9 * DAY),
        body("dealer.banned.v1", dealer="D1", reason="竄貨", time=NOON - 5 * DAY),
        registered(name="新名", time=NOON - DAY),
    ]

    [state] = asked(built, events, "/dealer_states")

    assert (state["name"], state["status"]) == ("新名", "banned")


def test_a_suspension_told_after_a_ban_lifts_no_ban(built: Where) -> None:
    events = [
        body("dealer.suspended.v1", dealer="D1", reason="欠款", time=NOON - DAY),
        body("dealer.banned.v1", dealer="D1", reason="竄貨", time=NOON - 2 * DAY),
    ]

    assert [span["status"] for span in asked(built, events, "/dealer_spans")] == ["banned"]


def test_a_merger_told_of_the_one_dealer_ends_the_other(built: Where) -> None:
    merged = body("dealer.merged.v1", dealer="D1", merged="D2", time=NOON)

    rows = asked(built, [merged, registered("D2", time=NOON - DAY)], "/dealer_states?dealer=D2")
    spans = asked(built, [], "/dealer_spans?dealer=D2")

    assert [(row["status"], row["merged_into"]) for row in rows] == [("merged", "D1")]
    assert [span["status"] for span in spans] == ["registered", "merged"]


def test_an_amendment_leaves_what_it_does_not_give(built: Where) -> None:
    address = {"country": "CN", "city": "上海"}
    events = [
        body("dealer.amended.v1", dealer="D1", segment="A", address={"city": "杭州"}, time=NOON),
        registered(level="1", address=address, time=NOON - DAY),
    ]

    [state] = asked(built, events, "/dealer_states")

    assert (state["level"], state["segment"], state["city"], state["country"]) == ("1", "A", "杭州", "")


@pytest.mark.parametrize(
    ("at", "status"), [("2026-01-01", "not yet"), ("2026-02-01", "in force"), ("2026-03-01", "ended")]
)
def test_a_contract_is_in_force_up_to_the_day_it_ends(built: Where, at: str, status: str) -> None:
    begin = datetime.fromisoformat("2026-01-15T00:00:00+08:00")
    events = [
        body("contract.signed.v1", contract="C1", dealer="D1", from_=begin, to=begin + 300 * DAY),
        body("contract.ended.v1", contract="C1", dealer="D1", from_=begin + 45 * DAY),
    ]

    [row] = asked(built, events, "/contracts", datetime.fromisoformat(f"{at}T00:00:00Z"))

    assert (row["status"], row["to_day"], row["ended_early"]) == (status, "2026-03-01", True)


def test_an_amended_contract_owes_one_thing_after_the_other(built: Where) -> None:
    def owed(target: str) -> list[dict[str, str]]:
        return [{"code": "volume", "measure": "amount", "target": target, "period": "month"}]

    events = [
        body(
            "contract.amended.v1", contract="C1", dealer="D1", from_=NOON + 9 * DAY, obligations=owed("200")
        ),
        body(
            "contract.signed.v1",
            contract="C1",
            dealer="D1",
            from_=NOON,
            to=NOON + 20 * DAY,
            obligations=owed("100"),
        ),
    ]

    [row] = asked(built, events, "/contracts")

    assert [(t["from_day"], t["to_day"], t["obligations"][0]["target"]) for t in row["terms"]] == [
        (day(0).isoformat(), day(9).isoformat(), "100"),
        (day(9).isoformat(), day(20).isoformat(), "200"),
    ]


def test_the_tree_of_territories_holds_what_lies_within_however_deep(built: Where) -> None:
    defined = [
        body("territory.defined.v1", territory=name, name=name, parent=parent)
        for name, parent in (("SHANGHAI", "EAST"), ("PUDONG", "SHANGHAI"), ("LOOP", "LOOP"))
    ]

    found = asked(built, defined, "/territory_tree?ancestor=EAST")

    assert [row["territory"] for row in found] == ["EAST", "PUDONG", "SHANGHAI"]


def test_a_dealer_is_seen_at_a_glance_as_it_was(built: Where) -> None:
    events = [
        registered(kind="distributor", time=NOON - 90 * DAY),
        body("dealer.graded.v1", dealer="D1", grade="A"),
        assigned("D1", "N", NOON - 90 * DAY),
        body("rep.assigned.v1", rep="R1", to={"territory": "N"}, from_=NOON - 90 * DAY),
        body("rep.assigned.v1", rep="R2", to={"dealer": "D1"}, from_=NOON - 3 * DAY),
        body("contract.signed.v1", contract="C1", dealer="D1", from_=NOON - 90 * DAY, to=NOON + 90 * DAY),
        order("O1", "D1", time=NOON - 60 * DAY),
        order("O2", "D1", time=NOON - 5 * DAY),
        body("dealer.suspended.v1", dealer="D1", reason="欠款", time=NOON - DAY),
        counted("C1", "D1", NOON, ("COLA", 5), ("TEA", 0)),
        order("X", "UNKNOWN"),
    ]

    dealer, unknown = asked(built, events, f"/dealers?valid_at={TODAY.isoformat()}T23:00:00Z")
    [before] = asked(built, [], f"/dealers?valid_at={day(-10).isoformat()}T12:00:00Z")

    assert (unknown["dealer"], unknown["status"], unknown["orders"], unknown["flags"]) == (
        "UNKNOWN",
        "",
        1,
        1,
    )
    assert {
        name: dealer[name]
        for name in (
            "status",
            "grade",
            "territory",
            "rep",
            "contract",
            "orders",
            "last_order",
            "stock_skus",
            "flags",
        )
    } == {
        **{"status": "suspended", "grade": "A", "territory": "N", "rep": "R2", "contract": "C1", "orders": 2},
        **{"last_order": day(-5).isoformat(), "stock_skus": 1, "flags": 0},
    }
    assert [(s["currency"], s["ordered_30"], s["ordered_365"]) for s in dealer["sales"]] == [
        ("CNY", "25", "50")
    ]
    assert (before["status"], before["rep"], before["orders"]) == ("registered", "R1", 1)


def test_a_withdrawn_ban_leaves_no_span(built: Where) -> None:
    banned = body("dealer.banned.v1", id="ban", dealer="D1", reason="竄貨")

    found = asked(built, [banned, voided("ban", dealer="D1", family="dealers")], "/dealer_spans")

    assert found == []
