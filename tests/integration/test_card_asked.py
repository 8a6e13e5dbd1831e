"""Targets, promotions and policies asked over HTTP, on a real export and of what is built in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from domain.event_types import CATALOGUE
from infra.importing import Import
from infra.message import Message
from tests.lab.databases import Databases, Where
from tests.lab.events import NOON, body, log, order
from tests.lab.site import fold, site

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QUDAO_REAL_DATA") or ROOT.parent / "shared" / "data")
START = int(NOON.timestamp()) * 10**9

pytestmark = pytest.mark.integration
real = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no real exports at {DATA}: name their folder in QUDAO_REAL_DATA"
)


@pytest.fixture(scope="module")
def adventureworks(databases: Databases) -> Iterator[TestClient[Litestar]]:
    path = databases.new()
    running = Import(
        ROOT / "examples" / "mappings" / "adventureworks.toml", DATA / "adventureworks", CATALOGUE
    )
    fold(
        path, [Message(n, START + n * 10**6, o.subject, o.body) for n, o in enumerate(running.outgoing(), 1)]
    )
    with site(path) as client:
        yield client


def items(client: TestClient[Litestar], address: str) -> list[dict[str, Any]]:
    answer = client.get(address, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


@real
def test_quotas_of_all_employees_are_met_by_window(adventureworks: TestClient[Litestar]) -> None:
    found = items(adventureworks, "/targets?sum=value,actual&by=from_day,currency")

    assert {row["from_day"]: (row["value"], row["actual"]) for row in found} == {
        "2010-12-29": ("3886000", "3193633.9687"),
        "2011-03-31": ("5627000", "4871801.3366"),
        "2011-07-01": ("4750000", "4069186.0383"),
        "2011-09-29": ("5068000", "4153820.4239"),
    }


@real
def test_the_quotas_of_one_employee_are_reached_to_the_last_digit(
    adventureworks: TestClient[Litestar],
) -> None:
    found = items(adventureworks, "/targets?rep=AW-286")

    reached = {row["from_day"]: (row["actual"], row["value"], row["attainment"][:8]) for row in found}
    assert {
        day: (a, v, str(round(Decimal(r), 4))) for day, (a, v, r) in reached.items() if day != "2011-03-31"
    } == {
        "2010-12-29": ("191328.4939", "165000", "1.1596"),
        "2011-07-01": ("281933.9256", "264000", "1.0679"),
        "2011-09-29": ("337110.1558", "301000", "1.1200"),
    }


@real
def test_a_quota_on_a_past_day_opens_up_to_the_orders_that_met_it(
    adventureworks: TestClient[Litestar],
) -> None:
    address = "/targets/AW-QUOTA-27/explain?valid_at=2011-09-01T00:00:00Z"
    orders = items(
        adventureworks,
        "/orders?rep=AW-286&from=2011-07-01&to=2011-09-01&limit=1000&valid_at=2011-09-01T00:00:00Z",
    )

    answer = adventureworks.get(address, headers={"Accept": "application/json"})
    page = adventureworks.get(address, headers={"Accept": "text/html"})

    why = answer.json()
    steps = [effect for effect in why["effects"] if "actual" in effect["changes"]]
    added = [Decimal(effect["changes"]["actual"]["difference"]) for effect in steps]
    assert why["row"]["actual"] == str(sum(added)) == "281933.9256"
    assert [effect["document"] for effect, moved in zip(steps, added, strict=True) if not moved] == [
        "AW-QUOTA-27"
    ]
    assert {effect["document"] for effect in steps} - {"AW-QUOTA-27"} == {order["order"] for order in orders}
    for effect in steps:
        assert f'href="/events/{effect["sequence"]}"' in page.text
    assert "actual: 281933.9256" in page.text


@real
def test_what_promotions_gave_is_what_orders_were_discounted_by(adventureworks: TestClient[Litestar]) -> None:
    [given] = items(adventureworks, "/promotions?sum=discount&by=currency&currency=USD")
    [orders] = items(adventureworks, "/sales?sum=discount&by=currency&currency=USD")

    assert given["discount"] == orders["discount"] == "140612.1794"


def test_built_in_policies_are_read_beside_published_ones(built: Where) -> None:
    about = {"kind": "calendar", "version": "2026", "effective": NOON, "body": {"holidays": ["2026-10-01"]}}
    fold(built, log([body("policy.published.v1", policy="year", **about)]))

    with site(built) as client:
        found = {(row["policy"], row["version"]): row for row in items(client, "/policies")}
        published, own = [
            client.get(f"/policies/{key}/explain", headers={"Accept": "application/json"}).json()
            for key in ("year/2026", "pepsi-shanghai/built-in")
        ]

    assert found["year", "2026"]["body"] == {"holidays": ["2026-10-01"]}
    assert {name for name, version in found if version == "built-in"} >= {
        "pepsi-shanghai",
        "secondary-quarterly",
        "calendar-default",
        "recognition-default",
        "otif-default",
    }
    assert found["pepsi-shanghai", "built-in"]["sequence"] == 0
    assert {name for name, version in found if found[name, version]["built_in"]} == {
        name for name, version in found if version == "built-in"
    }
    assert (published["row"]["built_in"], len(published["effects"])) == (False, 1)
    assert (own["row"]["built_in"], own["effects"]) == (True, [])


def test_a_card_that_came_later_than_its_facts_opens_up_to_them(built: Where) -> None:
    """And not to the policy that was published at last, nor to the target that was set."""
    promised = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-04T00:00:00Z"}
    line = [{"sku": "COLA", "quantity": "1"}]
    taken = {"receipt": "R", "arrived": "2026-03-03T00:00:00Z", "lines": [{"sku": "COLA", "accepted": "1"}]}
    criterion = {"code": "way", "figure": "on_time", "points": 5, "way": "ratio"}
    rule = {"policy": "ours", "kind": "assessment", "version": "1", "effective": "2026-01-01T00:00:00Z"}
    goal = {
        "measure": "quantity",
        "flow": "primary",
        "from_": "2026-01-01T00:00:00Z",
        "to": "2026-07-01T00:00:00Z",
    }
    said = [
        order("O1", "D1", ("COLA", 1), promised=promised),
        body("delivery.dispatched.v1", delivery="L1", order="O1", dealer="D1", lines=line),
        body("delivery.received.v1", delivery="L1", order="O1", dealer="D1", **taken),
        body("target.set.v1", target="T1", scope={"dealer": "D1"}, value="5", **goal),
        body("policy.published.v1", body={"criteria": [criterion]}, **rule),
    ]
    fold(built, log(said))

    with site(built) as client:
        card = client.get("/assessments/D1/2026-Q1/ours/explain").json()
        target = client.get("/targets/T1/explain").json()

    moved = [
        (effect["sequence"], name)
        for effect in card["effects"]
        for name in effect["changes"].get("criteria", {}).get("parts", {}).get("way", {})
        if name in ("part", "whole")
    ]
    assert moved == [(1, "part"), (1, "whole"), (3, "part")]
    assert [effect["sequence"] for effect in target["effects"] if "actual" in effect["changes"]][-1] < 4


def test_a_card_is_asked_by_its_period_and_opens_up_to_its_points(built: Where) -> None:
    mark = {"dealer": "D1", "criterion": "look", "grade": "優", "by": "supervisor", "subject": "D1"}
    window = {"from": "2026-01-01T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00"}
    card = {
        "criteria": [{"code": "look", "figure": "manual", "points": 5, "way": "manual", "grades": {"優": 90}}]
    }
    rule = {"policy": "ours", "kind": "assessment", "version": "1", "effective": "2026-01-01T00:00:00Z"}
    fold(
        built,
        log(
            [
                body("assessment.input.v1", period=window, **mark),
                body("policy.published.v1", body=card, **rule),
            ]
        ),
    )

    with site(built) as client:
        [found] = items(client, "/assessments?period=2026-Q1")

    assert (found["score"], found["grade"], found["policy"]) == ("90", "A", "ours")
    assert [(c["code"], c["earned"], c["points"]) for c in found["criteria"]] == [("look", "4.5", "5")]
