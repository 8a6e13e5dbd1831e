"""Facts told after what they bear on: the answers are right at once, and no projection is built anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from infra.engine import Engine
from tests.lab.databases import Where
from tests.lab.events import body, log
from tests.lab.folding import engine_on, shut
from tests.lab.site import site

CHINA = timezone(timedelta(hours=8))
MARCH, MIDDLE, APRIL = datetime(2026, 3, 1, tzinfo=CHINA), datetime(2026, 3, 16, tzinfo=CHINA), "2026-04-01"
LATE = datetime(2026, 5, 9, 9, tzinfo=CHINA)
AT = "valid_at=2026-06-01T00:00:00Z"

pytestmark = pytest.mark.integration


class Told:
    """One engine that takes events in, and the API over what it wrote."""

    def __init__(self, engine: Engine, client: TestClient[Litestar]) -> None:
        self._engine, self._client = engine, client

    def say(self, *events: bytes) -> None:
        self._engine.apply(log(events, after=self._engine.position.sequence))
        self._engine.sync()

    def ask(self, address: str) -> list[dict[str, Any]]:
        answer = self._client.get(address, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def built(self) -> list[tuple[str, str, str]]:
        """What is built of every projection; a rebuild adds to it or changes it."""
        return sorted((p.projection, p.version, p.status) for p in self._engine.database.positions())


@contextmanager
def telling(path: Path) -> Iterator[Told]:
    engine = engine_on(path)
    try:
        with site(path) as client:
            yield Told(engine, client)
    finally:
        shut(engine)


@pytest.fixture
def told(built: Where) -> Iterator[Told]:
    """Two sales in March and one product, and no rebuild whatever a test tells later."""
    with telling(built) as told:
        told.say(
            body("dealer.registered.v1", dealer="D1", name="某某商行", territory="N", time=MARCH),
            listed("soda", MARCH),
            sold("O1", "60", MARCH),
            sold("O2", "40", MIDDLE + timedelta(days=4)),
        )
        before = told.built()
        yield told
        assert told.built() == before


def sold(order: str, net: str, day: datetime) -> bytes:
    line = {"line": "1", "sku": "COLA", "quantity": "1", "unit_price": "1", "net": net}
    return body("order.placed.v1", order=order, dealer="D1", currency="CNY", time=day, lines=[line])


def listed(category: str, time: datetime) -> bytes:
    about = {"sku": "COLA", "name": "可乐", "base_uom": "case"}
    return body("product.listed.v1", category=category, time=time, **about)


def aimed(target: str, **scope: str) -> bytes:
    about: dict[str, Any] = {
        "measure": "amount",
        "flow": "primary",
        "from_": MARCH,
        "to": f"{APRIL}T00:00:00+08:00",
    }
    return body("target.set.v1", target=target, value="200", currency="CNY", scope=scope, time=LATE, **about)


def test_a_target_told_after_its_sales_has_them_all(told: Told) -> None:
    told.say(aimed("T1", dealer="D1"))

    [target] = told.ask(f"/targets?{AT}")
    assert (target["actual"], target["variance"], target["attainment"]) == ("100", "-100", "0.5")


def test_a_territory_assigned_back_in_time_takes_the_sales_of_its_days_in_every_view(told: Told) -> None:
    told.say(aimed("NORTH", territory="N"), aimed("SOUTH", territory="S"))

    told.say(body("territory.assigned.v1", dealer="D1", territory="S", from_=MIDDLE, time=LATE))

    for view in ("sales", "dealer_sales"):
        found = told.ask(f"/{view}?sum=ordered_net&by=territory")
        assert {row["territory"]: row["ordered_net"] for row in found} == {"N": "60", "S": "40"}
    assert {row["target"]: row["actual"] for row in told.ask(f"/targets?{AT}")} == {
        "NORTH": "60",
        "SOUTH": "40",
    }
    [dealer] = told.ask(f"/dealers?{AT}")
    assert [(held["territory"], held["from_day"], held["to_day"]) for held in dealer["territories"]] == [
        ("N", None, "2026-03-16"),
        ("S", "2026-03-16", None),
    ]


def test_a_policy_told_later_and_effective_before_rules_the_period_at_once(told: Told) -> None:
    told.say(aimed("T1", dealer="D1"))
    criterion = {"code": "sales", "figure": "target_attainment", "points": 50, "way": "ratio"}
    rule: dict[str, Any] = {"kind": "assessment", "version": "1", "body": {"criteria": [criterion]}}
    [built_in] = told.ask(f"/assessments?period=2026-Q1&{AT}")

    told.say(body("policy.published.v1", policy="ours", effective=MARCH, time=LATE, **rule))

    [ours] = told.ask(f"/assessments?period=2026-Q1&{AT}")
    [tried] = told.ask(f"/assessments?period=2026-Q1&policy={built_in['policy']}&{AT}")
    assert (built_in["policy"], built_in["what_if"]) == ("pepsi-shanghai", False)
    assert (ours["policy"], ours["score"], ours["grade"]) == ("ours", "50", "D")
    assert (tried["score"], tried["what_if"]) == (built_in["score"], True)
    [dealer] = told.ask(f"/dealers?{AT}")
    assert (dealer["last_period"], dealer["last_policy"], dealer["last_score"]) == ("2026-Q1", "ours", "50")


def test_a_rule_of_what_counts_told_later_counts_past_targets_anew(told: Told) -> None:
    line = {"line": "1", "order_line": "1", "sku": "COLA", "quantity": "1"}
    told.say(
        aimed("T1", dealer="D1"),
        body("delivery.dispatched.v1", delivery="L1", dealer="D1", order="O1", time=MIDDLE, lines=[line]),
    )
    [dispatched] = told.ask(f"/targets?{AT}")

    rule: dict[str, Any] = {"kind": "recognition", "version": "1", "body": {"counts": "ordered"}}
    told.say(body("policy.published.v1", policy="sale", effective=MARCH, time=LATE, **rule))

    [ordered] = told.ask(f"/targets?{AT}")
    assert (dispatched["actual"], ordered["actual"]) == ("60", "100")


def test_a_product_listed_in_another_category_takes_its_past_sales_along(told: Told) -> None:
    told.say(aimed("SODA", category="soda"), aimed("WATER", category="water"))
    before = {row["target"]: row["actual"] for row in told.ask(f"/targets?{AT}")}

    told.say(listed("water", LATE))

    sales = told.ask("/sales?sum=ordered_net&by=category")
    after = {row["target"]: row["actual"] for row in told.ask(f"/targets?{AT}")}
    assert {row["category"]: row["ordered_net"] for row in sales} == {"water": "100"}
    assert (before, after) == ({"SODA": "100", "WATER": "0"}, {"SODA": "0", "WATER": "100"})
