"""What the service says of itself is true, complete, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_from_bytes

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from domain.event_types import CATALOGUE
from tests.lab.databases import Databases, Where
from tests.lab.events import log, order
from tests.lab.site import app_on, checked, fold, served, site

pytestmark = pytest.mark.integration

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def api(databases: Databases) -> Iterator[TestClient[Litestar]]:
    path = databases.new()
    fold(path, log([order()]))
    with site(path) as client:
        yield client


@pytest.fixture(scope="module")
def spec(api: TestClient[Litestar]) -> Any:
    return api.get("/openapi.json").json()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def found(whole: Any, reference: str) -> Any:
    for name in reference.removeprefix("#/").split("/"):
        whole = whole[name.replace("~1", "/").replace("~0", "~")]
    return whole


# OpenAPI


def test_the_description_is_whole(spec: Any) -> None:
    assert spec["openapi"] == "3.1.0"
    assert all(found(spec, reference) for reference in references(spec))
    for schema in spec["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    operations = [way["operationId"] for ways in spec["paths"].values() for way in ways.values()]
    assert len(operations) == len(set(operations))


def test_every_address_is_described_and_every_description_is_served(
    api: TestClient[Litestar], spec: Any
) -> None:
    served_paths = {
        re.sub(r"\{[^}]*\}", "{}", route.path)
        for route in api.app.routes
        if "GET" in route.methods or "POST" in route.methods
    }

    assert {re.sub(r"\{[^}]*\}", "{}", path) for path in spec["paths"]} == served_paths


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/", "/"),
        ("/schemas", "/schemas"),
        ("/schemas/order.placed.v1", "/schemas/{type}"),
        ("/schemas/none", "/schemas/{type}"),
        ("/problems/conflict", "/problems/{code}"),
        ("/problems/none", "/problems/{code}"),
        ("/openapi.json", "/openapi.json"),
        ("/asyncapi.json", "/asyncapi.json"),
        ("/health", "/health"),
        ("/events?limit=x", "/events"),
        ("/events/1", "/events/{sequence}"),
        ("/dealers/D1/history", "/dealers/{dealer}/history"),
        ("/dealers/none/history", "/dealers/{dealer}/history"),
        ("/dealers/D1/history?sort=type", "/dealers/{dealer}/history"),
        ("/orders/D1/O1/diff?known_at=1", "/orders/{dealer}/{order}/diff"),
        ("/orders/D1/O1/diff?known_at=1&known_at=9", "/orders/{dealer}/{order}/diff"),
        ("/events/99", "/events/{sequence}"),
        ("/receipts", "/receipts"),
    ],
)
def test_an_answer_is_what_the_description_says(
    api: TestClient[Litestar], spec: Any, address: str, path: str
) -> None:
    assert checked(api.get(address), spec, path)


def test_every_problem_of_the_service_has_its_page(api: TestClient[Litestar]) -> None:
    problem = api.get("/orders?nope=1").json()

    told = api.get(problem["type"]).json()
    assert (told["status"], told["title"]) == (problem["status"], problem["title"])


# event types


def test_every_type_has_a_schema_that_takes_its_example(api: TestClient[Litestar]) -> None:
    listed = api.get("/schemas").json()["items"]

    assert {one["type"] for one in listed} == set(CATALOGUE.types)
    for one in listed:
        schema = api.get(one["schema"]).json()
        jsonschema.Draft202012Validator.check_schema(schema)
        for example in schema["examples"]:
            jsonschema.Draft202012Validator(schema).validate(example)


def test_the_events_on_nats_are_described_for_programs(api: TestClient[Litestar]) -> None:
    document = api.get("/asyncapi.json").json()

    assert document["asyncapi"] == "3.0.0"
    assert document["channels"]["orders"]["address"] == "channel.orders.{dealer}"
    assert "order.placed.v1" in document["channels"]["orders"]["messages"]
    channels = [found(document, r) for r in references([document["channels"], document["operations"]])]
    assert all(channels)


# pages


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/docs",
        "/orders",
        "/orders/D1/O1",
        "/orders/D1/O1/diff?known_at=1",
        "/dealers/D1/history",
        "/flags",
        "/stock_levels",
    ],
)
def test_a_page_needs_nothing_from_elsewhere(api: TestClient[Litestar], address: str) -> None:
    page = api.get(address, headers={"Accept": "text/html"})

    assert page.status_code == 200
    assert page.text.startswith("<!doctype html>")
    assert not re.search(r"<script|<link|<img|src=|https?://", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_first_page_leads_to_every_view(api: TestClient[Litestar]) -> None:
    page = api.get("/", headers={"Accept": "text/html"}).text

    for view in api.get("/").json()["views"]:
        assert f'href="{view["address"]}"' in page


# the door


async def test_a_foreign_name_is_turned_away_and_head_has_no_body(database: Where) -> None:
    async with served(app_on(database)) as client:
        foreign = await client.get("/", headers={"host": "evil.example"})
        local = [
            await client.get("/", headers={"host": name})
            for name in ("localhost:80", "[::1]:8080", "127.0.0.2")
        ]
        head = await client.head("/")

    assert foreign.status_code == 421
    assert foreign.json()["type"] == "/problems/misdirected"
    assert [one.status_code for one in local] == [200, 200, 200]
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 100


# nothing makes it fail


@given(st.text(max_size=40), st.binary(max_size=20))
@FUZZ
def test_no_address_makes_the_service_fail(api: TestClient[Litestar], path: str, query: bytes) -> None:
    response = api.get(f"/{quote(path)}?{quote_from_bytes(query)}")

    assert response.status_code < 500


@given(
    st.sampled_from(["orders", "events", "stock_levels", "flags", "rejections", "receipts", "schemas"]),
    st.lists(st.text(max_size=10), max_size=5),
)
@FUZZ
def test_no_key_makes_the_service_fail(api: TestClient[Litestar], view: str, key: list[str]) -> None:
    response = api.get(
        "/".join(["", view, *[quote(part, safe="") for part in key]]), params={"source": "x", "id": "y"}
    )

    assert response.status_code in (200, 400, 404, 503), response.text
    assert response.status_code != 503 or response.json()["type"] == "/problems/log_away"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["id", "source", "subject", "time", "type", "data", "specversion", "replaces", "dataschema"]
)
EVENTS = st.one_of(
    st.binary(max_size=60),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    st.tuples(FIELDS, JSON_VALUES).map(lambda p: json.dumps(json.loads(order()) | {p[0]: p[1]}).encode()),
    st.tuples(
        st.sampled_from(["order", "dealer", "lines", "currency", "ship_to", "freight", "x"]), JSON_VALUES
    ).map(lambda p: json.dumps({**(e := json.loads(order())), "data": e["data"] | {p[0]: p[1]}}).encode()),
)


@given(
    EVENTS,
    st.sampled_from(["application/json", "application/cloudevents+json", "application/x-ndjson", "", "x/y"]),
)
@FUZZ
def test_no_body_makes_the_service_fail(api: TestClient[Litestar], body: bytes, media_type: str) -> None:
    response = api.post("/events", content=body, headers={"content-type": media_type})

    assert response.status_code in (200, 207, 400, 413, 415, 422, 503), response.text
    assert "unexpected" not in response.text


@given(st.lists(EVENTS, max_size=6))
@FUZZ
def test_every_line_has_its_own_answer(api: TestClient[Litestar], events: list[bytes]) -> None:
    lines = [event.replace(b"\n", b"") for event in events]

    response = api.post(
        "/events", content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )

    answers = [json.loads(line) for line in response.content.splitlines()]
    assert len(answers) == len([line for line in lines if line.strip(b" \t\r")])
    assert {answer["status"] for answer in answers} <= {
        "invalid",
        "not_understood",
        "retry",
        "duplicate",
        "conflict",
    }


@given(
    st.dictionaries(
        st.sampled_from(["id", "source", "type", "subject", "time", "x", "specversion"]), st.text(max_size=10)
    ),
    EVENTS,
)
@FUZZ
def test_no_header_makes_the_service_fail(
    api: TestClient[Litestar], attributes: dict[str, str], data: bytes
) -> None:
    headers = {f"ce-{name}": value.encode("utf-8") for name, value in attributes.items()}

    response = api.post("/events", content=data, headers=headers | {"content-type": b"application/json"})  # type: ignore[arg-type]

    assert response.status_code < 500 or response.json()["type"] == "/problems/log_away", response.text
