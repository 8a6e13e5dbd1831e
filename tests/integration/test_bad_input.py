"""Good events among every kind of bad one: over HTTP and over NATS, no neighbour is lost and nothing fails."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import httpx
import jsonschema
import pytest
from msgspec import Struct

from domain.catalogue import BODY_BYTES_MAX, FAMILIES
from domain.event_types import CATALOGUE
from domain.identifiers import escape
from domain.schema import json_schema
from infra.connection import Connection
from infra.lookups import read_there
from infra.nats_server import NatsServer
from tests.lab.databases import Where
from tests.lab.events import order
from tests.lab.site import catch_up, linked

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "domain" / "examples"
#: Types that anybody may publish as facts.
OPEN = sorted(name for name, entry in CATALOGUE.types.items() if set(entry.families) - {"decisions"})
BATCH, LINES = "application/cloudevents-batch+json", "application/x-ndjson"
WRONG: tuple[Any, ...] = (
    None,
    True,
    7,
    -1,
    10**12,
    1e300,
    "",
    "x" * 200,
    "1.0000001",
    "NaN",
    "2026-02-30",
    "\x00",
    [],
    {},
    [[]],
)


class Sent(Struct):
    """A body and where it goes over NATS; `good` ones are to be stored and counted."""

    good: bool
    body: bytes
    subject: str


@cache
def example(name: str) -> str:
    return (EXAMPLES / f"{name}.json").read_text(encoding="utf-8")


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        json_schema(CATALOGUE.types[name]), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def subject_of(name: str, raw: dict[str, Any]) -> str:
    entry = CATALOGUE.types[name]
    family = next(family for family in entry.families if family != "decisions")
    dealer = raw["data"].get("dealer") if entry.has_dealer else None
    return f"channel.{family}.{escape(dealer) if dealer else '_'}"


def places(raw: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value with every name or number in it."""
    for name, held in raw.items() if isinstance(raw, dict) else enumerate(raw):
        yield raw, name
        if isinstance(held, dict | list):
            yield from places(held)


def misfit(name: str, raw: dict[str, Any], rng: Random) -> bytes:
    """The event with one value its schema refuses, or without one that it asks for."""
    while True:
        wrong = copy.deepcopy(raw)
        holder, member = rng.choice(list(places(wrong)))
        if rng.random() < 0.3:
            del holder[member]
        else:
            holder[member] = rng.choice(WRONG)
        if not validator(name).is_valid(wrong) and isinstance(wrong.get("id"), str):
            return json.dumps(wrong).encode()


def cut(body: bytes, rng: Random) -> bytes:
    return body[: rng.randrange(1, len(body))]


def with_nul(body: bytes, rng: Random) -> bytes:
    """The event with a NUL in one of its texts."""
    raw = json.loads(body)
    known = {name: held for name, held in raw["data"].items() if not name.startswith("x")}
    texts = [(holder, name) for holder, name in places(known) if type(holder[name]) is str]
    holder, name = rng.choice(texts)
    holder[name] += "\x00"
    return json.dumps(raw | {"data": known}).encode()


def broken(body: bytes, rng: Random) -> bytes:
    """What is no JSON object in UTF-8, or far too large or too deep a one."""
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: cut(body, rng),
        lambda: body.replace(b'"id"', b'"i\xff"', 1),
        lambda: body[:-1] + b', "zz": "\xff"}',
        lambda: with_nul(body, rng),
        lambda: b"\x00" + body,
        lambda: b"[" + body + b"]",
        lambda: body.replace(b'"data":', b'"deep": ' + b"[" * 20_000 + b', "data":', 1),
        lambda: b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        lambda: body[:-1] + b', "huge": "' + b"x" * (BODY_BYTES_MAX - 200) + b'"}',
        lambda: rng.choice((b"null", b"17", b'"order"', b"[]", b"{}", b'{"type": "order.placed.v1"}')),
    )
    return rng.choice(ways)()


def unheard(raw: dict[str, Any]) -> bytes:
    return json.dumps(raw | {"type": "order.dreamt.v1"}).encode()


def mixture(rng: Random, *, whole: bool = False) -> list[Sent]:
    """For every open type a good event, a misfit and something broken; `whole` leaves out what is no JSON."""
    sent = []
    for number, name in enumerate(OPEN):
        raw = json.loads(example(name)) | {"id": f"good-{number}"}
        if rng.random() < 0.3:
            raw["data"]["x_unknown"] = {"kept": [1, "二"]}
        good = json.dumps(raw, ensure_ascii=False).encode()
        where = subject_of(name, raw)
        sent.append(Sent(True, good, where))
        sent.append(Sent(False, misfit(name, raw | {"id": f"misfit-{number}"}, rng), where))
        strange = json.dumps(raw | {"id": f"broken-{number}"}).encode()
        sent.append(Sent(False, unheard(raw) if whole else broken(strange, rng), where))
    rng.shuffle(sent)
    return sent


@pytest.fixture
async def api(
    database: Where, nats_server: NatsServer, stream: Connection
) -> AsyncIterator[httpx.AsyncClient]:
    async with linked(database, nats_server) as client:
        yield client


@pytest.mark.parametrize("media_type", [BATCH, LINES])
@pytest.mark.parametrize("seed", [1, 2])
async def test_over_http_every_good_event_is_stored_and_every_bad_one_is_told_its_field(
    api: httpx.AsyncClient, stream: Connection, media_type: str, seed: int
) -> None:
    sent = mixture(Random(seed), whole=media_type == BATCH)
    bodies = [one.body for one in sent]
    content = b"[" + b",".join(bodies) + b"]" if media_type == BATCH else b"\n".join(bodies)

    response = await api.post("/events", content=content, headers={"content-type": media_type})

    assert response.status_code == 207, response.text
    answers = (
        response.json()["items"]
        if media_type == BATCH
        else [json.loads(line) for line in response.text.splitlines()]
    )
    stored = await read_there(stream, [answer["sequence"] for answer in answers if answer["sequence"]])
    assert len(answers) == len(sent)
    assert [answer["status"] == "accepted" for answer in answers] == [one.good for one in sent]
    assert {message.body for message in stored} == {one.body for one in sent if one.good}
    for one, answer in zip(sent, answers, strict=True):
        if not one.good:
            assert answer["status"] in ("invalid", "not_understood"), (one.body[:200], answer)
            assert all(error["field"] and error["reason"] for error in answer["problem"]["errors"]), answer
            assert answer["problem"]["errors"], answer


@pytest.mark.parametrize("deep", [b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 2000 + b"1" + b"}" * 2000])
async def test_an_event_nested_too_deeply_in_an_array_costs_its_neighbours_nothing(
    api: httpx.AsyncClient, deep: bytes
) -> None:
    """Only the deep one has a problem, and it says what is wrong."""
    content = b"[" + b",".join([order("O1", id="one"), deep, order("O2", id="two")]) + b"]"

    response = await api.post("/events", content=content, headers={"content-type": BATCH})

    items = response.json()["items"]
    assert response.status_code == 207
    assert [item["status"] for item in items] == ["accepted", "invalid", "accepted"]
    assert items[1]["problem"]["errors"] == [{"field": "(body)", "reason": "is nested too deeply"}]


@pytest.mark.parametrize("seed", [3])
async def test_over_http_alone_no_bad_event_makes_the_service_fail(api: httpx.AsyncClient, seed: int) -> None:
    rng = Random(seed)

    for one in mixture(rng)[:120]:
        kind = rng.choice(("application/json", "application/cloudevents+json", BATCH, LINES))
        response = await api.post("/events", content=one.body, headers={"content-type": kind})

        assert response.status_code in (200, 201, 207, 400, 413, 422), (one.body[:200], response.text)


def misplaced(sent: list[Sent], rng: Random) -> Iterator[Sent]:
    """Good events where they do not belong: another family, another dealer, no dealer, no family there is."""
    for one in sent:
        _, family, dealer = one.subject.split(".")
        raw = json.loads(one.body)
        entry = CATALOGUE.types[raw["type"]]
        wrong = [f"channel.{name}.{dealer}" for name in FAMILIES if name not in entry.families]
        wrong = [*wrong[:2], f"channel.{family}.=", f"channel.nowhere.{dealer}"]
        if entry.has_dealer and raw["data"].get("dealer"):
            wrong += [f"channel.{family}._", f"channel.{family}.D-0"]
        body = json.dumps(raw | {"id": f"misplaced-{raw['id']}"}).encode()
        yield Sent(False, body, rng.choice(wrong))


@pytest.mark.parametrize("seed", [4, 5])
async def test_over_nats_every_bad_event_is_listed_with_its_reasons_and_the_others_count(
    api: httpx.AsyncClient, stream: Connection, database: Where, seed: int
) -> None:
    rng = Random(seed)
    sent = mixture(rng)
    sent += [*misplaced([one for one in sent if one.good], rng), Sent(False, b"", "channel.orders.D1")]
    rng.shuffle(sent)

    good: set[int] = set()
    bad: dict[int, Sent] = {}
    for one in [*sent, Sent(True, order("LAST", "D1", id="last"), "channel.orders.D1")]:
        sequence = json.loads((await stream.request(one.subject, one.body)).data)["seq"]
        if one.good:
            good.add(sequence)
        else:
            bad[sequence] = one
    end = await catch_up(stream, database)
    rejections = await pages(api, "rejections")
    events = await pages(api, "events")

    last = await api.get("/orders/D1/LAST", params={"min_sequence": end})
    assert {event["sequence"] for event in events if event["status"] == "accepted"} == good
    assert {row["sequence"] for row in rejections} == set(bad)
    for row in rejections:
        assert row["code"] in ("invalid", "not_understood"), row
        assert row["reasons"], (bad[row["sequence"]], row)
        assert all(reason["field"] and reason["reason"] for reason in row["reasons"]), row
    assert last.json()["order"] == "LAST"


async def pages(api: httpx.AsyncClient, view: str) -> list[dict[str, Any]]:
    """All rows of a view."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get(f"/{view}", params={"limit": "500"} | cursor)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["items"]
        if not answer.json()["next"]:
            return rows
        cursor = {"cursor": answer.json()["next"]}
