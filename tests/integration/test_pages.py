"""Pages lead on: whatever links there are from the first page on are answered, and every place on a page is there."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import httpx
import pytest

from domain.identifiers import escape
from infra.jetstream import connect
from tests.lab.events import body, dispatched, moved, order, subject_of, voided
from tests.lab.qudao import Site, up

ODD = "D/1 渠%<b>&\"'"  # a dealer's id is whatever others call it
AT = datetime(2026, 2, 9, 2, tzinfo=UTC)
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LATE = "2026-12-01T00:00:00Z"
OF_A_KIND = 3  # links of one shape that are followed

pytestmark = pytest.mark.integration


def story() -> Iterator[bytes]:
    """A little of everything that leads somewhere, of a dealer whose id no address has as it is."""
    own: dict[str, Any] = {"dealer": ODD, "time": AT}
    promised = {"from": "2026-02-10T00:00:00+08:00", "to": "2026-02-11T00:00:00+08:00"}
    yield body("territory.defined.v1", territory="T/1", name="North <1>", time=AT)
    yield body("dealer.registered.v1", name="<i>Söhne</i>", territory="T/1", **own)
    placed = order("O 1", ODD, ("COLA", 10), time=AT, promised=promised)
    yield placed
    yield placed
    yield order("O 2", ODD, ("COLA", 5), time=AT, promised=promised)
    yield dispatched("L1", ODD, ("COLA", 10), order="O 1", from_="WH/1", time=AT + timedelta(hours=20))
    received = {
        "receipt": "R",
        "arrived": AT + timedelta(hours=24),
        "lines": [{"sku": "COLA", "accepted": "9"}],
    }
    yield body(
        "delivery.received.v1",
        delivery="L1",
        order="O 1",
        **(own | {"time": AT + timedelta(hours=24)}),
        **received,
    )
    yield moved("M1", "WH/1", "in", 100, time=AT)
    sold = [{"line": "1", "sku": "COLA", "quantity": "9", "net": "22.5", "tax": "0"}]
    due = {"due": AT + timedelta(days=5), "currency": "CNY"}
    yield body("invoice.issued.v1", invoice="I#1", kind="invoice", lines=sold, **due, **own)
    paid = {"currency": "CNY", "amount": "20", "method": "cash", "kind": "payment"}
    settled = [{"invoice": "I#1", "amount": "20"}]
    later = own | {"time": AT + timedelta(days=9)}
    yield body("payment.received.v1", payment="P1", allocations=settled, **paid, **later)
    back = {
        "invoice": "C 1",
        "kind": "credit_note",
        "of": "I#1",
        "lines": [{**sold[0], "quantity": "1", "net": "2.5"}],
    }
    yield body("invoice.issued.v1", **back, **due, **own)
    yield voided("none", dealer=ODD, time=AT)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with up(tmp_path_factory.mktemp("pages")) as site:
        taken = [site.post("/events", event) for event in story()]
        assert {status for status, _ in taken} == {200, 201}, taken
        asyncio.run(publish_past_the_service(site, order("O 3", ODD, ("COLA", -5), id="wrong", time=AT)))
        site.rows("assessments", max(answer["sequence"] for _, answer in taken))
        first = publish(site)
        late = {
            "receipt": "R",
            "arrived": AT + timedelta(hours=25),
            "lines": [{"sku": "COLA", "accepted": "5"}],
        }
        site.post("/events", dispatched("L2", ODD, ("COLA", 5), order="O 2", time=AT + timedelta(hours=20)))
        site.post(
            "/events",
            body(
                "delivery.received.v1",
                delivery="L2",
                order="O 2",
                dealer=ODD,
                time=AT + timedelta(hours=25),
                **late,
            ),
        )
        last = publish(site, supersedes=first["decision"]["assessment"])["sequence"]
        site.rows("published_assessments", last)
        yield site


async def publish_past_the_service(site: Site, event: bytes) -> None:
    """Put an event into the log as a publisher on NATS would, who is not asked whether it is valid."""
    client = await connect(site.nats, "a test")
    try:
        await client.request(subject_of(event), event, timeout=5)
    finally:
        await client.close()


def publish(site: Site, **more: str) -> Any:
    command = {"dealer": ODD, "period": "2026-Q1", "by": "u-zhao", **more}
    status, answer = site.post(
        "/commands/publish-assessment", json.dumps(command).encode(), "application/json"
    )
    assert status == 201, answer
    return answer


def test_every_link_is_answered(book: Site) -> None:
    waiting = deque(
        [("/", ""), ("/orders?sum=net&by=dealer,status", ""), ("/dealer_sales?sum=ordered_net", "")]
    )
    seen, shapes = {address for address, _ in waiting}, Counter[str]()
    pages: dict[str, httpx.Response] = {}
    places: set[tuple[str, str, str]] = (
        set()
    )  # where a link stands, the page it leads to, and the place there
    last = book.get("/events?sort=-sequence&limit=1")[1]["items"][0]["sequence"]
    with httpx.Client(base_url=book.url, headers=HTML, timeout=30) as client:
        while waiting:
            address, origin = waiting.popleft()
            shapes[shape(address)] += 1
            if shapes[shape(address)] > OF_A_KIND:
                continue
            answer = client.get(address)
            assert answer.status_code == 200, (address, origin, answer.text)
            pages[address] = answer
            for link in [*links(answer), *forms(answer, last)]:
                target, _, place = urljoin(address, link).partition("#")
                places |= {(address, target, unquote(place))} if place else set()
                if target not in seen:
                    seen.add(target)
                    waiting.append((target, address))

    kinds = {shape(address) for address in pages}
    assert {"/published_assessments", "/docs", "/events", "/orders/_/_/diff?known_at"} <= kinds
    assert {
        "/assessments/_/_/_?known_at&valid_at",
        "/dealers/_/history?limit",
        "/orders/_/_/explain",
    } <= kinds
    inside = {
        address: set(map(unescape, re.findall(r'\bid="([^"]*)"', one.text))) for address, one in pages.items()
    }
    assert [one for one in places if one[1] in inside and one[2] not in inside[one[1]]] == []
    assert sum(target in inside for _, target, _ in places) > 100


def forms(answer: httpx.Response, last: int) -> list[str]:
    """What the forms of a page ask: as of the last sequence, what moved it since the first, as true late on."""
    found = []
    for action, inner in re.findall(r'<form action="([^"]*)">(.*?)</form>', answer.text):
        [name] = re.findall(r'name="(\w+)" required', inner)
        said = {"known_at": "1" if action.endswith("/diff") else str(last), "valid_at": LATE}[name]
        along = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', inner)
        asked = [(name, said), *[(name, unescape(value)) for name, value in along]]
        found.append(f"{unescape(action)}?{urlencode(asked)}")
    return found


def shape(address: str) -> str:
    """An address without what is one row's own."""
    parts = urlsplit(address)
    name, *rest = parts.path.strip("/").split("/")
    kept = [one if one in ("explain", "diff", "history") else "_" for one in rest]
    asked = "&".join(sorted(pair.partition("=")[0] for pair in parts.query.split("&") if pair))
    return "/" + "/".join([name, *kept]) + (f"?{asked}" if asked else "")


def links(answer: httpx.Response) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="([^"]*)"', answer.text)]


def test_a_history_has_what_was_sent_and_refused(book: Site) -> None:
    _, history = book.get(f"/dealers/{escape(ODD)}/history")

    [refused] = [one for one in history["items"] if one["status"] == "invalid"]
    assert (refused["type"], refused["event"]["id"]) == ("order.placed.v1", "wrong")
    assert refused["reasons"]


def test_a_history_says_which_assessment_supersedes_which(book: Site) -> None:
    _, history = book.get(f"/dealers/{escape(ODD)}/history?type=assessment.published.v1")

    first, second = history["items"]
    assert (first["corrected_by"], second["corrects"]) == ([second["sequence"]], [first["sequence"]])


def test_what_was_published_opens_up_to_what_was_seen(book: Site) -> None:
    """From a criterion of a published card, a click leads to the events as they were known to who decided."""
    [_, card] = sorted(book.get("/published_assessments")[1]["items"], key=lambda row: row["sequence"])
    address = f"/published_assessments/{escape(ODD)}/{escape(card['assessment'])}"
    with httpx.Client(base_url=book.url, headers=HTML) as client:
        page = client.get(address)
        [lead, *_] = [link for link in links(page) if link.endswith("#criteria.on_time")]
        opened = client.get(lead)

    assert lead.startswith("/assessments/")
    section = opened.text.partition('<h3 id="criteria.on_time">')[2].partition("<h3")[0]
    told = re.findall("<td>([a-z.]+)[.]v1</td>", section)
    assert told == ["order.placed", "order.placed", "delivery.received", "delivery.received"]


def test_an_event_leads_to_the_rows_of_its_document(book: Site) -> None:
    events = httpx.get(f"{book.url}/events?limit=1000", headers={"Accept": "application/json"}).json()[
        "items"
    ]
    first = {event["kind"]: event["sequence"] for event in reversed(events) if event["status"] == "accepted"}
    page = {
        kind: httpx.get(f"{book.url}/events/{first[kind]}", headers=HTML).text
        for kind in ("order", "movement")
    }
    asked = urlencode({"dealer": ODD, "order": "O 1"})

    assert f"/orders?{asked}" in unescape(page["order"])
    assert "/movements" not in page["movement"]


def test_a_problem_is_a_page_where_a_browser_asks(book: Site) -> None:
    answer = httpx.get(f"{book.url}/orders?sort=<b>", headers=HTML)

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "sort" in answer.text
    assert "<b>" not in answer.text
