"""Names that a question may use: what nothing could be found under is told, with what there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from api.known import KINDS
from projections.events import STATUSES
from tests.lab.databases import Databases
from tests.lab.events import body, log, order, voided
from tests.lab.site import fold, site

pytestmark = pytest.mark.integration

CARD = {"criteria": [{"code": "x", "figure": "manual", "points": 5, "way": "manual"}]}
NONSENSE = {"criteria": []}


def published(
    policy: str, kind: str, rule: dict[str, Any], effective: str = "2026-01-01T00:00:00Z", version: str = "1"
) -> bytes:
    about = {"policy": policy, "kind": kind, "version": version, "effective": effective, "body": rule}
    return body("policy.published.v1", id=f"{policy}{version}" if version != "1" else policy, **about)


@pytest.fixture(scope="module")
def book(files: Databases) -> Iterator[TestClient[Any]]:
    where = files.new()
    said = [
        published("ours", "assessment", CARD),
        published("later", "assessment", CARD, "2099-01-01T00:00:00Z"),
        published("useless", "assessment", NONSENSE),
        published("gone", "assessment", CARD),
        voided("gone", dealer=None, family="plans"),
        published("strict", "otif", {"grace_minutes": 5}),
        published("odd", "otif", {"grace_minutes": -5}),
        published("both", "assessment", CARD),
        published("both", "otif", {"grace_minutes": 5}, version="2"),
        published("pepsi-shanghai", "otif", {"grace_minutes": 5}, version="2"),
        *[order("O1", "D1", id="o1")] * 2,
        order("O1", "D1", ("COLA", 7), id="o1"),
        order("O2", "D1", ("COLA", -7)),
        order("O3", "D1"),
    ]
    messages = list(log(said))
    dreamt = messages[-1].body.replace(b"order.placed.v1", b"order.dreamt.v1")
    messages[-1] = msgspec.structs.replace(messages[-1], body=dreamt)
    fold(where, messages)
    with site(where) as client:
        yield client


@pytest.mark.parametrize(
    ("address", "field", "told"),
    [
        ("/assessments?period=2026-Q9", "period", "no year, quarter or month"),
        ("/assessments?period=2026&period=", "period", "no year, quarter or month"),
        ("/published_assessments?period=soon", "period", "no year, quarter or month"),
        (
            "/assessments?policy=nobody",
            "policy",
            "pepsi-shanghai, secondary-quarterly, both, later, ours, useless",
        ),
        ("/assessments?policy=ours&policy=strict", "policy", "no assessment policy 'strict'"),
        ("/assessments?policy=nobody&known_at=3", "policy", "no assessment policy 'nobody'"),
        ("/assessments?policy=nobody&format=csv", "policy", "no assessment policy 'nobody'"),
        ("/published_assessments?policy=nobody", "policy", "no assessment policy 'nobody'"),
        ("/policies?policy=nobody", "policy", "there is no policy 'nobody'"),
        ("/policy_versions?policy=nobody", "policy", "there is no policy 'nobody'"),
        ("/otif?policy=nobody", "policy", "otif-default, otif-dispatched, both, odd, pepsi-shanghai, strict"),
        ("/otif?policy=ours", "policy", "no otif policy 'ours'"),
        ("/otif_policies?policy=nobody", "policy", "no otif policy 'nobody'"),
        ("/events?status=nope", "status", ", ".join(STATUSES)),
        ("/dealers/D1/history?status=nope", "status", ", ".join(STATUSES)),
    ],
)
def test_a_name_that_there_is_not_is_told(book: TestClient[Any], address: str, field: str, told: str) -> None:
    answer = book.get(address, headers={"Accept": "application/json"})

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (400, "/problems/bad_parameter")
    [error] = problem["errors"]
    assert error["field"] == field
    assert told in error["reason"]


@pytest.mark.parametrize(
    "address",
    [
        "/assessments?period=2026-Q1&policy=ours&policy=pepsi-shanghai",
        "/assessments?policy=later",
        "/assessments?policy=both&policy=pepsi-shanghai",
        "/otif?policy=both&policy=pepsi-shanghai",
        "/assessments?policy=gone",
        "/assessments?policy=later&known_at=1",
        "/assessments?policy=gone&known_at=4",
        "/assessments?policy=useless",
        "/policy_versions?policy=gone",
        "/assessments?policy=ours&valid_at=2026-06-01T00:00:00Z&period=2026-05",
        "/otif?policy=strict&policy=otif-default",
        "/otif_orders?policy=otif-dispatched",
        "/otif_policies?policy=odd",
        "/policies?policy=useless",
        "/policies?policy=calendar-default",
        *[f"/events?status={status}" for status in STATUSES],
    ],
)
def test_a_name_that_there_is_is_answered_be_it_with_nothing(book: TestClient[Any], address: str) -> None:
    assert book.get(address).status_code == 200


def test_an_address_of_a_row_that_there_is_not_is_no_wrong_parameter(book: TestClient[Any]) -> None:
    for key in ("D1/2026-Q9/ours", "D1/2026-Q1/nobody", "D1/2026-Q1/useless"):
        for below in ("", "/explain"):
            answer = book.get(f"/assessments/{key}{below}")
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/no_such_row")


def test_every_status_of_the_log_can_be_asked_for(book: TestClient[Any]) -> None:
    found = {row["status"] for row in book.get("/events?limit=1000").json()["items"]}

    assert found == set(STATUSES)


def test_every_view_that_names_a_policy_of_one_kind_says_which(book: TestClient[Any]) -> None:
    views = {view["name"] for view in book.get("/").json()["views"]}

    assert set(KINDS) <= views
