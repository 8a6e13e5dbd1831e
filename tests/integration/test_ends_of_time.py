"""What is dated to the first year there is, or the last, stops no projection and fails no answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.lab.databases import Databases
from tests.lab.events import body, log, order
from tests.lab.site import fold, site

pytestmark = pytest.mark.integration

FIRST, LAST = "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"
BEGUN = {"from": FIRST, "to": "0001-01-01T00:00:00Z"}
ENDING = {"from": "9999-12-30T00:00:00Z", "to": "9999-12-31T01:00:00Z"}
LINE = [{"sku": "COLA", "quantity": "1"}]


def story() -> Iterator[bytes]:
    own: dict[str, Any] = {"dealer": "D1"}
    yield order("O0", "D1", ("COLA", 1))
    yield body("sellout.reported.v1", report="S1", flow="secondary", lines=LINE, **BEGUN, **own)
    yield order("O1", "D1", ("COLA", 1), promised=BEGUN)
    yield order("O2", "D1", ("COLA", 1), promised=ENDING)
    yield order("O3", "D1", ("COLA", 1), placed=LAST)
    yield body("delivery.dispatched.v1", delivery="L2", order="O2", lines=LINE, **own)
    taken = [{"sku": "COLA", "accepted": "1"}]
    arrived = "9999-12-31T23:00:00-20:00"
    yield body(
        "delivery.received.v1", delivery="L2", order="O2", receipt="R", arrived=arrived, lines=taken, **own
    )
    rule = {"policy": "otif-default", "kind": "otif", "version": "1", "effective": "2020-01-01T00:00:00Z"}
    yield body("policy.published.v1", body={"grace_minutes": 525_600}, **rule)
    measure = {"measure": "quantity", "flow": "primary", "value": "5"}
    yield body("target.set.v1", target="T1", scope={"dealer": "D1"}, **measure, **BEGUN)
    yield body("target.set.v1", target="T2", scope={"dealer": "D1"}, **measure, **ENDING)


@pytest.fixture(scope="module")
def book(files: Databases) -> Iterator[TestClient[Litestar]]:
    where = files.new()
    fold(where, log(story()))
    with site(where) as client:
        yield client


def test_no_projection_stops(book: TestClient[Litestar]) -> None:
    assert book.get("/rejections").json()["items"] == []
    assert [one for one in book.get("/health").json()["projections"] if one["status"] != "live"] == []


@pytest.mark.parametrize("format", ["json", "html"])
@pytest.mark.parametrize("moment", ["", "valid_at=9999-12-31T23:59:59Z", "valid_at=0001-01-01T00:00:00Z"])
def test_every_view_has_an_answer(book: TestClient[Litestar], moment: str, format: str) -> None:
    for view in book.get("/").json()["views"]:
        answer = book.get(f"{view['address']}?dealer=D1&format={format}&{moment}")
        if answer.status_code == 400:  # has no dealer, or no past
            answer = book.get(f"{view['address']}?format={format}&{moment}")
        assert answer.status_code in (200, 400), (view["name"], answer.text)


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_histories_events_and_comparisons_have_an_answer(book: TestClient[Litestar], accept: str) -> None:
    for address in (
        "/dealers/D1/history",
        "/events/4",
        "/orders/D1/O2/diff?known_at=1",
        "/orders/D1/O2/explain",
    ):
        answer = book.get(address, headers={"Accept": accept})

        assert answer.status_code == 200, (address, answer.text)
