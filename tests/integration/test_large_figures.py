"""Figures whose sums are beyond 64 bits of millionths: exact on both databases, and no projection stops at them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from api.moment import Moment
from api.views import views_of
from domain.catalogue import TYPES
from domain.numbers import text
from infra.documents import ROWS
from infra.positions import INDEX
from infra.wide import whole
from projections.dealer_pages import LocationStock
from projections.registry import PROJECTIONS
from tests.lab.both import Engines, Sides, answers, folded_on_both, questions, sites_over
from tests.lab.databases import Databases, Files, PostgreSQL
from tests.lab.events import body, log, moved
from tests.lab.folding import tables
from tests.lab.site import fold, site

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "domain" / "examples"
LARGE = "399999999999.999999"
COPIES = 30
FIGURES = {
    "quantity",
    "net",
    "tax",
    "amount",
    "accepted",
    "short",
    "damaged",
    "refused",
    "returned",
    "issued",
    "unit_price",
    "list_price",
    "deposit_unit",
}
AT = "2026-04-01T00:00:00Z"
VIEWS = views_of(PROJECTIONS, {INDEX: ROWS})


def story() -> Iterator[bytes]:
    """Every example many times, each time of another document, with figures as large as they may be."""
    for path in sorted(EXAMPLES.glob("*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        entry = TYPES[said["type"]]
        if "decisions" in entry.families:
            continue
        for number in range(COPIES):
            data = _enlarged(said["data"])
            name = f"{said['subject']}/{number}" if number else said["subject"]
            if entry.name != "event.voided.v1":
                data[entry.document_field.rstrip("_")] = name
            yield json.dumps(said | {"id": f"{said['id']}/{number}", "subject": name, "data": data}).encode()
    for number in range(COPIES):
        for location, sign in (("FULL", ""), ("EMPTY", "-")):
            yield moved(f"{location}/{number}", location, "adjust", sign + LARGE)


def _enlarged(said: Any, name: str = "") -> Any:
    if isinstance(said, dict):
        return {key: _enlarged(value, key) for key, value in said.items()}
    if isinstance(said, list):
        return [_enlarged(value) for value in said]
    return LARGE if name in FIGURES and isinstance(said, str) else said


@pytest.fixture(scope="module")
def engines(files: Files, server: PostgreSQL) -> Iterator[Engines]:
    with folded_on_both(files, server, log(story())) as both:
        yield both


@pytest.fixture(scope="module")
def sides(engines: Engines) -> Iterator[Sides]:
    with sites_over(engines) as both:
        yield both


def test_no_projection_stops_and_both_databases_hold_the_same(engines: Engines) -> None:
    one, other = [tables(engine) for engine in engines]
    wide = {
        name
        for name, rows in other.items()
        if any(type(value) is int and abs(value) >= 2**63 for row in rows for value in row)
    }

    assert {n: [[whole(v) for v in row] for row in rows] for n, rows in one.items()} == {
        n: [list(row) for row in rows] for n, rows in other.items()
    }
    assert wide >= {"dealer_days", "ledger_days", "promotion_days", "sales_days", "stock_levels"}
    for engine in engines:
        assert engine.database.rows("SELECT * FROM rejections") == []
        assert [p for p in engine.database.positions() if p.error] == []


@pytest.mark.parametrize("name", VIEWS)
def test_both_databases_give_the_same_answers(sides: Sides, name: str) -> None:
    for question in questions(VIEWS[name], AT, kinds=("decimal",)):
        one, other = [answers(client, question) for client in sides]
        assert one == other, question


def test_a_day_adds_up_and_opens_up_to_its_orders(sides: Sides) -> None:
    for client in sides:
        day = client.get("/sales_days?dealer=D-0571&sort=-ordered").json()["items"][0]
        address = "/".join([day[name] for name in ("dealer", "day", "sku", "rep", "territory", "currency")])
        explained = client.get(f"/sales_days/{address}/explain").json()
        effects = [effect["changes"] for effect in explained["effects"] if "ordered" in effect["changes"]]

        assert Decimal(day["ordered"]) == COPIES * Decimal(LARGE)
        assert [change["ordered"]["difference"] for change in effects] == [LARGE] * COPIES


@pytest.mark.parametrize("view", ["dealer_days", "ledger_days", "sales", "statements", "orders"])
def test_what_was_known_at_the_end_is_what_stands(sides: Sides, view: str) -> None:
    end = sum(1 for _ in story())
    for client in sides:
        now, then = [client.get(f"/{view}?dealer=D-0571{known}").json() for known in ("", f"&known_at={end}")]

        assert now["items"]
        assert then["items"] == now["items"]


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_pages_and_histories_are_shown(sides: Sides, accept: str) -> None:
    for client in sides:
        for address in (
            "/dealers/D-0571",
            "/dealers/D-0571/history",
            "/stock_levels?location=FULL",
            "/promotions",
        ):
            answer = client.get(address, headers={"Accept": accept})
            assert answer.status_code == 200, answer.text


def test_a_place_is_told_whether_it_has_more_or_less_than_nothing(engines: Engines) -> None:
    for engine in engines:
        with engine.database.engine.connect() as connection:
            places = Moment(connection, ()).select(LocationStock, location=["EMPTY", "FULL"])
            assert [(place.skus, place.negative) for place in places] == [(0, 1), (1, 0)]


def test_a_figure_is_asked_for_however_large_it_is(sides: Sides) -> None:
    for client in sides:
        for place, sign in (("FULL", ""), ("EMPTY", "-")):
            level = f"{sign}{text(COPIES * Decimal(LARGE))}"
            [found] = client.get(f"/stock_levels?on_hand={level}").json()["items"][:1]
            assert (found["location"], found["on_hand"]) in ((place, level), ("D-0571", level))
        refused = client.get("/stock_levels?on_hand=1e22")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "on_hand")


@pytest.mark.parametrize("kind", ["payment", "refund"])
def test_what_settles_one_invoice_is_exact_or_refused(databases: Databases, kind: str) -> None:
    """SQL adds it up: in SQLite to 64 bits and no further, in PostgreSQL to the end."""
    where = databases.new()
    sold = [{"line": "1", "sku": "COLA", "quantity": "1", "net": LARGE}]
    own: dict[str, Any] = {"dealer": "D1", "currency": "CNY"}
    part = [{"invoice": "I1", "amount": LARGE}]
    paid = [
        body("payment.received.v1", payment=f"P{n}", kind=kind, amount=LARGE, allocations=part, **own)
        for n in range(COPIES)
    ]
    fold(where, log([body("invoice.issued.v1", invoice="I1", kind="invoice", lines=sold, **own), *paid]))
    with site(where) as client:
        answer = client.get("/invoice_balances?dealer=D1").json()

    settled = (1 if kind == "payment" else -1) * COPIES * Decimal(LARGE)
    if isinstance(where, Path):
        assert answer["type"] == "/problems/cannot_be_answered"
        assert "9.2 × 10^12" in answer["detail"]
    else:
        [invoice] = answer["items"]
        assert (invoice["settled"], invoice["open"]) == (text(settled), text(Decimal(LARGE) - settled))


def test_an_invoice_of_which_more_is_open_than_it_is_of_is_owed(databases: Databases) -> None:
    where = databases.new()
    sold = [{"line": "1", "sku": "COLA", "quantity": "1", "net": LARGE}]
    own: dict[str, Any] = {"dealer": "D1", "currency": "CNY"}
    part = [{"invoice": "I1", "amount": LARGE}]
    back = [
        body("payment.received.v1", payment=f"P{n}", kind="refund", amount=LARGE, allocations=part, **own)
        for n in range(3)
    ]
    fold(where, log([body("invoice.issued.v1", invoice="I1", kind="invoice", lines=sold, **own), *back]))
    with site(where) as client:
        [owed] = client.get("/receivables?dealer=D1").json()["items"]

    assert (owed["open"], owed["unallocated"]) == (text(4 * Decimal(LARGE)), "0")
