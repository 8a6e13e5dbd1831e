"""Events sent over HTTP to a real log: one clear answer per event, and no event lost for its neighbours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.catalogue import BODY_BYTES_MAX
from domain.identifiers import escape
from infra.connection import Connection
from infra.jetstream import connect
from infra.lookups import read_one
from infra.nats_server import NatsServer
from infra.stream import create_stream, stream_state
from tests.lab.databases import Databases, Where
from tests.lab.events import body, order, voided
from tests.lab.site import app_on, catch_up, checked, linked, ready, served, site

pytestmark = pytest.mark.integration

JSON = {"content-type": "application/json"}
EVENT = {"content-type": "application/cloudevents+json"}
LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def api(
    database: Where, nats_server: NatsServer, stream: Connection
) -> AsyncIterator[httpx.AsyncClient]:
    async with linked(database, nats_server) as client:
        yield client


@pytest.fixture(scope="module")
def spec(databases: Databases) -> Any:
    with site(databases.new()) as client:
        return client.get("/openapi.json").json()


def statuses(answer: Any) -> list[str]:
    return [item["status"] for item in answer["items"]]


async def test_an_event_is_accepted_once_and_then_a_duplicate(
    api: httpx.AsyncClient, stream: Connection, database: Where, spec: Any
) -> None:
    event = order("渠/1", "渠道-7", id="e1")

    first = await api.post("/events", content=event, headers=EVENT)
    again = await api.post("/events", content=event, headers=JSON)
    await catch_up(stream, database)
    known = await api.post("/events", content=json.dumps(json.loads(event), indent=2), headers=JSON)

    assert (first.status_code, again.status_code, known.status_code) == (201, 200, 200)
    assert first.headers["location"] == "/events/1"
    assert [checked(r, spec, "/events", "post")["sequence"] for r in (first, again, known)] == [1, 1, 1]
    message = await read_one(stream, 1)
    assert message is not None
    assert (message.subject, message.body) == (f"channel.orders.{escape('渠道-7')}", event)
    assert (await stream_state(stream)).last_sequence == 1


async def test_other_content_under_a_taken_identity_is_a_conflict(
    api: httpx.AsyncClient, stream: Connection, database: Where, spec: Any
) -> None:
    await api.post("/events", content=order("O1", id="e1"), headers=EVENT)
    await catch_up(stream, database)

    refused = await api.post("/events", content=order("O2", id="e1"), headers=EVENT)

    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    problem = checked(refused, spec, "/events", "post")
    assert (problem["source"], problem["id"], problem["sequence"]) == ("erp", "e1", 1)
    assert "a change needs a new event id" in problem["detail"]


async def test_a_bad_event_never_loses_its_neighbours(
    api: httpx.AsyncClient, stream: Connection, spec: Any
) -> None:
    misspelt = json.loads(order("O3"))
    misspelt["data"]["currrency"] = misspelt["data"].pop("currency")
    events = [
        order("O1", id="a"),
        json.dumps(misspelt).encode(),
        b"17",
        json.dumps(json.loads(order("O4")) | {"type": "order.dreamt.v1"}).encode(),
        order("O1", id="a"),
        order("O2", id="a"),
        order("O9", id="b", note="hello"),
    ]

    response = await api.post("/events", content=b"[" + b" ,\n".join(events) + b"]", headers=JSON)

    answer = checked(response, spec, "/events", "post")
    assert response.status_code == 207
    assert statuses(answer) == [
        *("accepted", "invalid", "invalid", "not_understood", "duplicate", "conflict", "accepted"),
    ]
    assert [item["sequence"] for item in answer["items"]] == [1, None, None, None, 1, 1, 2]
    assert {"field": "data.currency", "reason": "is missing"} in answer["items"][1]["problem"]["errors"]
    assert answer["items"][6]["warnings"] == ["data.note"]
    stored = [await read_one(stream, sequence) for sequence in (1, 2)]
    assert [message.body for message in stored if message] == [events[0], events[6]]


async def test_lines_are_taken_in_whatever_their_number(api: httpx.AsyncClient, stream: Connection) -> None:
    events = [order(f"O{number}", id=f"n{number}") for number in range(2300)]
    events[1500] = b'{"not": "an event"}'

    async def sent() -> AsyncIterator[bytes]:
        for event in events:
            yield event + b"\r\n"

    response = await api.post("/events", content=sent(), headers=LINES)

    entries = [json.loads(line) for line in response.text.splitlines()]
    assert response.status_code == 207
    assert [entry["status"] for entry in entries] == ["accepted"] * 1500 + ["invalid"] + ["accepted"] * 799
    assert [e["id"] for e in entries if e["status"] == "accepted"] == [
        f"n{n}" for n in range(2300) if n != 1500
    ]
    assert (await stream_state(stream)).last_sequence == 2299


async def test_headers_and_data_are_stored_as_structured_json(
    api: httpx.AsyncClient, stream: Connection
) -> None:
    event = json.loads(order("渠/1", "渠道-7", id="e%1"))
    data = json.dumps(event.pop("data"))
    headers = {
        f"ce-{name}": "".join(f"%{byte:02X}" for byte in value.encode()) for name, value in event.items()
    }

    response = await api.post("/events", content=data, headers=headers | JSON)

    assert response.status_code == 201, response.text
    message = await read_one(stream, 1)
    assert message is not None
    assert json.loads(message.body) == event | {
        "datacontenttype": "application/json",
        "data": json.loads(data),
    }


async def test_a_void_goes_where_the_event_went(
    api: httpx.AsyncClient, stream: Connection, database: Where
) -> None:
    visit = body(
        "stock.moved.v1",
        id="m1",
        movement="M1",
        location="W1",
        kind="out",
        lines=[{"sku": "A", "quantity": "1"}],
    )
    await api.post("/events", content=visit, headers=EVENT)
    await catch_up(stream, database)

    known = await api.post("/events", content=voided("m1", dealer=None), headers=EVENT)
    named = await api.post("/events?family=field", content=voided("m9", dealer=None), headers=EVENT)
    refused = await api.post("/events?family=decisions", content=voided("m9", dealer=None), headers=EVENT)

    assert (known.status_code, named.status_code) == (201, 201)
    subjects = [message.subject for s in (2, 3) if (message := await read_one(stream, s))]
    assert subjects == ["channel.deliveries._", "channel.field._"]
    assert refused.json()["type"] == "/problems/decision"


#: Bodies that are no event, with what is said of each.
NO_EVENTS: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"", JSON, 422, "invalid"),
    (b"{", EVENT, 422, "invalid"),
    (b"[1", JSON, 400, "bad_body"),
    (b"{}", {"content-type": "application/cloudevents-batch+json"}, 400, "bad_body"),
    (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
    (b"{}", {"content-type": "application/json; charset=gb18030"}, 415, "unsupported_media_type"),
    (b"<a/>", {"content-type": "text/xml", "ce-id": "1"}, 415, "unsupported_media_type"),
    (b'{"a":"' + b"x" * BODY_BYTES_MAX + b'"}', EVENT, 413, "event_too_large"),
    (b" " * 9_000_000, JSON, 413, "too_large"),
    (b"[" * 100_000, JSON, 400, "bad_body"),
    (b'{"a":' * 40_000, EVENT, 422, "invalid"),
    (b'{"type":"order.placed.v1","id":"\xff"}', EVENT, 422, "invalid"),
    (b'{"type":"order.placed.v1","id":"\\ud800"}', EVENT, 422, "invalid"),
]


async def test_a_body_that_is_no_event_is_a_problem(api: httpx.AsyncClient, spec: Any) -> None:
    for content, headers, status, code in NO_EVENTS:
        response = await api.post("/events", content=content, headers=headers)

        problem = checked(response, spec, "/events", "post")
        assert (response.status_code, problem["type"]) == (status, f"/problems/{code}"), content[:60]


async def test_every_message_of_an_identity_has_its_receipt(
    api: httpx.AsyncClient, stream: Connection, database: Where, spec: Any
) -> None:
    event = order("O1", id="e1")
    await api.post("/events", content=event, headers=EVENT)
    await stream.request("channel.orders.D1", json.dumps(json.loads(event)).encode() + b" ")
    await stream.request("channel.orders.D1", order("O2", id="e1"))
    await stream.request("channel.orders.D1", b'{"source": "erp", "id": "e2"}')
    unseen = await api.get("/receipts", params={"source": "erp", "id": "e3"})
    end = await catch_up(stream, database)

    mine = await api.get("/receipts", params={"source": "erp", "id": "e1", "min_sequence": end})
    bad = await api.get("/receipts", params={"source": "erp", "id": "e2"})

    assert unseen.status_code in (404, 503)
    answer = checked(mine, spec, "/receipts")
    found = [(one["sequence"], one["status"], one["of"], one["visible"]) for one in answer["messages"]]
    assert found == [(1, "accepted", 0, True), (2, "duplicate", 1, True), (3, "conflict", 1, True)]
    assert (answer["sequence"], answer["visible"]) == (1, True)
    assert checked(bad, spec, "/receipts")["sequence"] is None
    assert bad.json()["messages"][0]["reasons"][0]["field"] == "type"
    assert (await api.get("/receipts", params={"source": "erp", "id": "e3"})).json()[
        "type"
    ] == "/problems/not_seen"
    assert (await api.get("/receipts", params={"source": "erp"})).json()["errors"][0]["field"] == "id"


async def test_a_message_is_shown_as_it_is_stored(
    api: httpx.AsyncClient, stream: Connection, database: Where, spec: Any
) -> None:
    event = order("O1", id="e1")
    await api.post("/events", content=event, headers=EVENT)
    await stream.request("channel.orders.D1", b"\xff\xfe")
    await catch_up(stream, database)
    await api.post("/events", content=order("O2", id="e2"), headers=EVENT)

    good = await api.get("/events/1")
    exact = await api.get("/events/1", headers={"accept": "application/cloudevents+json"})
    bad = await api.get("/events/2")
    pending = await api.get("/events/3")

    assert checked(good, spec, "/events/{sequence}")["event"] == json.loads(event)
    assert exact.content == event
    answer = checked(bad, spec, "/events/{sequence}")
    assert (answer["status"], answer["event"], answer["bytes"]) == ("invalid", None, "//4=")
    assert answer["reasons"][0]["field"] == "(body)"
    assert checked(pending, spec, "/events/{sequence}")["status"] == "pending"
    for address in ("/events/9", "/events/0", "/events/x", "/events/-1"):
        assert (await api.get(address)).status_code == 404


async def test_while_the_log_is_away_nothing_is_claimed(tmp_path: Path, database: Where, spec: Any) -> None:
    with NatsServer.start(tmp_path / "nats") as server:
        port = server.port
        async with served(app_on(database, nats_url=server.url)) as api:
            await ready(api, "no stream")
            server.kill()
            single = await api.post("/events", content=order("O1", id="e1"), headers=EVENT)
            batch = await api.post("/events", content=b"[" + order("O2", id="e2") + b",{}]", headers=JSON)
            assert checked(single, spec, "/events", "post")["type"] == "/problems/log_away"
            assert (single.status_code, single.headers["retry-after"]) == (503, "1")
            assert "send the same event again" in single.json()["detail"]
            assert statuses(checked(batch, spec, "/events", "post")) == ["retry", "invalid"]
            assert (await api.get("/health")).status_code == 503
            with NatsServer.start(tmp_path / "nats", port=port) as again:
                client = await connect(again.url, "test")
                await create_stream(client)
                await ready(api)
                accepted = await api.post("/events", content=order("O1", id="e1"), headers=EVENT)
                await client.close()
            assert accepted.status_code == 201


# health


async def test_health_is_green_and_then_says_what_is_wrong(
    api: httpx.AsyncClient, stream: Connection, database: Where, spec: Any
) -> None:
    await api.post("/events", content=order("O1"), headers=EVENT)
    early = await api.get("/health")
    await catch_up(stream, database)
    green = await api.get("/health")
    metrics = (await api.get("/metrics")).text
    await stream.request("$JS.API.STREAM.DELETE.CHANNEL")
    await create_stream(stream)
    other = await api.get("/health")

    assert (early.status_code, green.status_code, other.status_code) == (503, 200, 503)
    assert "Not built yet" in checked(early, spec, "/health")["faults"][0]
    health = checked(green, spec, "/health")
    assert (health["log"]["last_sequence"], health["log"]["contiguous"]) == (1, True)
    assert {one["lag"] for one in health["projections"]} == {0}
    assert "another log" in checked(other, spec, "/health")["faults"][0]
    for line in (
        'qudao_http_events_total{status="accepted"} 1.0',
        "qudao_append_seconds_count 1.0",
        "qudao_log_last_sequence 1.0",
        'qudao_http_requests_total{method="POST",path="/events",status="201"} 1.0',
    ):
        assert line in metrics


def test_the_service_starts_with_nothing_there(tmp_path: Path) -> None:
    with site(tmp_path / "none" / "q.db") as client:
        health = client.get("/health")
        orders = client.get("/orders")

    assert (health.status_code, orders.status_code) == (503, 503)
    assert len(health.json()["faults"]) == 2
