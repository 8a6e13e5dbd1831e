"""A dealer's history and a comparison of two moments, asked over HTTP and on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.history import HistoryEntry, with_event
from cli.history import lines_of
from tests.lab.databases import Databases, Where
from tests.lab.events import HOUR, NOON, body, dispatched, log, moved, order, voided
from tests.lab.qudao import qudao, up
from tests.lab.site import fold, site

pytestmark = pytest.mark.integration

FILE = {"sha256": "ab" * 32, "name": "note.pdf", "media_type": "application/pdf"}


def story(where: Where) -> None:
    """Placed, sent again, contradicted, unreadable, amended, told late, and withdrawn."""
    placed = order("O1", "D1", ("COLA", 10), id="o1")
    fold(
        where,
        log(
            [
                placed,
                placed,
                order("O1", "D1", ("COLA", 12), id="o1"),
                order("O2", "D1", ("COLA", -1), id="o2"),
                order(
                    "O1", "D1", ("COLA", 8), id="o1b", time=NOON + timedelta(minutes=5), attachments=[FILE]
                ),
                dispatched("L1", "D2", ("COLA", 3), from_="D1", id="l1"),
                order("O3", "D1", ("COLA", 5), id="o3", time=NOON - HOUR),
                voided("o3", event_id="v1"),
            ]
        ),
    )


@pytest.fixture(scope="module")
def asked(databases: Databases) -> Iterator[TestClient[Litestar]]:
    where = databases.new()
    story(where)
    with site(where) as client:
        yield client


def test_a_history_says_what_became_of_every_message(asked: TestClient[Litestar]) -> None:
    items = asked.get("/dealers/D1/history").json()["items"]

    said = {
        one["sequence"]: (one["status"], one["concern"], one["of"], one["corrects"], one["corrected_by"])
        for one in items
    }
    assert said == {
        1: ("accepted", "own", 0, [], [5]),
        2: ("duplicate", "own", 1, [], []),
        3: ("conflict", "own", 1, [], []),
        4: ("invalid", "own", 0, [], []),
        5: ("accepted", "own", 0, [1], []),
        6: ("accepted", "names", 0, [], []),
        7: ("accepted", "own", 0, [], [8]),
        8: ("accepted", "own", 7, [7], []),
    }
    assert [one["reasons"] != [] for one in items] == [False, False, True, True, *[False] * 4]
    assert items[4]["attachments"] == [FILE]
    assert (items[4]["source"], items[4]["time"]) == ("erp", "2026-03-02T12:05:00Z")
    [level] = [one for one in items[4]["changed"] if one["view"] == "order_items"]
    assert level["fields"]["ordered"] == {"before": "10", "after": "8", "difference": "-2"}


def test_a_history_has_what_happened_at_the_dealers_own_places(databases: Databases) -> None:
    where = databases.new()
    fold(
        where,
        log(
            [
                body("location.registered.v1", location="D1-STORE", kind="store", dealer="D1"),
                moved("M1", "WH", "transfer", 5, to_location="D1-STORE"),
                moved("M2", "WH", "transfer", 7, to_location="D2"),
                moved("M3", "D1-STORE", "out", 2, dealer="D3"),
            ]
        ),
    )
    with site(where) as client:
        items = client.get("/dealers/D1/history").json()["items"]
        page = client.get("/dealers/D1/history", headers={"Accept": "text/html"}).text

    assert [(one["sequence"], one["concern"]) for one in items] == [(1, "own"), (2, "scope"), (4, "names")]
    assert [
        (change["key"]["location"], change["fields"]["on_hand"]["after"])
        for one in items
        for change in one["changed"]
        if change["view"] == "stock_levels"
    ] == [("D1-STORE", "5"), ("D1-STORE", "3")]
    assert re.findall("<td[^>]*>(D1-STORE|D2)<", page.partition("stock levels")[2]) == ["D1-STORE"]


def test_a_place_that_was_registered_by_mistake_opens_nothing_of_others(databases: Databases) -> None:
    """And one that bears the id of another dealer opens that dealer's stock alone."""
    where = databases.new()
    fold(
        where,
        log(
            [
                body("location.registered.v1", id="wrong", location="WH", kind="store", dealer="D1"),
                voided("wrong", family="plans"),
                order("O1", "D2", ship_to={"id": "WH"}),
                body("location.registered.v1", location="D2", kind="store", dealer="D1"),
                order("O2", "D2", seller="D1"),
            ]
        ),
    )
    with site(where) as client:
        items = client.get("/dealers/D1/history").json()["items"]

    assert [one["sequence"] for one in items] == [1, 2, 4, 5]
    assert {change["view"] for change in items[-1]["changed"]} == {"stock_levels"}


def test_a_history_has_all_that_was_said_of_documents_that_name_the_dealer(databases: Databases) -> None:
    """A withdrawal, a restatement and a delivery need not name it again."""
    where = databases.new()
    fold(
        where,
        log(
            [
                body("dealer.registered.v1", dealer="D1", name="某某商行"),
                body("dealer.merged.v1", id="merged", dealer="D2", merged="D1"),
                voided("merged", dealer="D2", family="dealers"),
                moved("M1", "WH", "transfer", 5, to_location="D1", dealer="D2"),
                moved("M1", "WH", "transfer", 5, to_location="S9", dealer="D2"),
                order("O1", "D2", ("COLA", 10), ship_to={"id": "D1"}),
                dispatched("L1", "D2", ("COLA", 4), order="O1"),
                dispatched("L2", "D2", ("COLA", 4)),
            ]
        ),
    )
    with site(where) as client:
        items = client.get("/dealers/D1/history").json()["items"]
        [level] = client.get("/stock_levels?location=D1").json()["items"]

    assert [one["sequence"] for one in items] == [1, 2, 3, 4, 5, 6, 7]
    ends = {}
    for change in [change for one in items for change in one["changed"]]:
        ends |= {(change["view"], name): field["after"] for name, field in change["fields"].items()}
    assert ends["dealer_states", "status"] == "registered"
    assert (ends["stock_levels", "on_hand"], ends["stock_levels", "on_order"]) == ("0", level["on_order"])


def test_a_history_is_filtered_by_what_events_have(asked: TestClient[Litestar]) -> None:
    def sequences(query: str) -> list[int]:
        return [one["sequence"] for one in asked.get(f"/dealers/D1/history?{query}").json()["items"]]

    assert sequences("type=order.placed.v1&status=accepted") == [1, 5, 7]
    assert sequences("status=conflict&status=invalid") == [3, 4]
    assert sequences("to=2026-03-02T12:00:00Z") == [7]
    assert sequences("valid_at=2026-03-02T11:30:00Z") == [7, 8]
    assert sequences("known_at=3") == [1, 2, 3]
    assert sequences("after=6") == [7, 8]


def test_a_history_is_kept_as_lines_and_as_one_file(asked: TestClient[Litestar]) -> None:
    lines = asked.get("/dealers/D1/history", headers={"Accept": "application/x-ndjson"})
    page = asked.get("/dealers/D1/history", headers={"Accept": "text/html"}).text

    assert [json.loads(line) for line in lines.text.splitlines()] == asked.get("/dealers/D1/history").json()[
        "items"
    ]
    assert all(f'<tr id="{sequence}">' in page for sequence in range(1, 9))
    assert "duplicate, of" in page
    assert "store-1" in page
    assert FILE["sha256"] in page
    assert not re.findall('href="/[^"]*"', page)  # it is a file of its own
    assert "<summary>8</summary>" in page
    assert re.findall("<h2>(.*?)</h2>", page) == [
        *("dealers", "dealer sales", "stock levels", "targets", "assessments", "published assessments"),
        *("receivables", "statements"),
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("/dealers/D9/history", "no_such_row"),
        ("/dealers/D1/history?sum=of", "bad_parameter"),
        ("/dealers/D1/history?format=csv", "bad_parameter"),
        ("/dealers/D1/history?status=nope", "bad_parameter"),
        ("/dealers/D1/history?cursor=x", "bad_cursor"),
        ("/dealers/D1/history?without=1", "bad_parameter"),
        ("/orders/D1/O1/explain?format=csv", "bad_parameter"),
        ("/orders/D1/O1/diff?known_at=1&format=csv", "bad_parameter"),
        ("/dealers/D1/history?known_at=2020-01-01T00:00:00Z", "cannot_be_answered"),
        ("/dealers/D1/history?valid_at=2020-01-01T00:00:00Z", "cannot_be_answered"),
        ("/orders/D1/O1/diff", "bad_parameter"),
        ("/orders/D1/O1/diff?known_at=5&known_at=1", "bad_parameter"),
        ("/orders/D1/O1/diff?known_at=2020-01-01T00:00:00Z", "cannot_be_answered"),
        ("/orders/D1/O1/diff?known_at=1&valid_at=2020-01-01T00:00:00Z", "cannot_be_answered"),
        ("/orders/D1/O9/diff?known_at=1", "no_such_row"),
    ],
)
def test_what_cannot_be_said_is_a_problem(asked: TestClient[Litestar], query: str, code: str) -> None:
    assert asked.get(query).json()["type"] == f"/problems/{code}"


@pytest.mark.parametrize("format", ["csv", "pdf", ""])
def test_a_format_that_a_history_has_not_is_told_with_those_it_has(
    asked: TestClient[Litestar], format: str
) -> None:
    told = asked.get(f"/dealers/D1/history?format={format}").json()["errors"]

    assert told == [{"field": "format", "reason": "must be one of json, ndjson, html"}]


@pytest.mark.parametrize("more", ["", "/explain"])
def test_a_row_that_is_not_there_at_a_moment_is_told_with_the_moment(
    asked: TestClient[Litestar], more: str
) -> None:
    past = asked.get(f"/orders/D1/O3{more}?known_at=5&valid_at=2026-03-02T12:00:00Z").json()
    instant = asked.get(f"/orders/D1/O9{more}?known_at=2026-03-02T13:00:05Z&without=1").json()
    now = asked.get(f"/orders/D1/O9{more}").json()

    said = "orders has no row for dealer 'D1', order "
    assert past["detail"] == f"{said}'O3' at known_at=5, valid_at=2026-03-02T12:00:00Z"
    assert instant["detail"] == f"{said}'O9' at known_at=2026-03-02T13:00:05Z, without=1"
    assert now["detail"] == f"{said}'O9'"


def test_a_comparison_says_what_was_corrected_and_what_came_late(asked: TestClient[Litestar]) -> None:
    corrected = asked.get("/orders/D1/O1/diff?known_at=4&known_at=8").json()
    late = asked.get("/orders/D1/O3/diff?known_at=4&known_at=7").json()

    assert corrected["known"] == [4, 8]
    assert (corrected["before"]["net"], corrected["after"]["net"]) == ("25", "20")
    [effect] = corrected["effects"]
    assert (effect["sequence"], effect["why"], effect["corrects"]) == (5, "correction", [1])
    assert effect["changes"]["net"]["difference"] == "-5"
    assert late["before"] is None
    assert [(one["sequence"], one["why"]) for one in late["effects"]] == [(7, "late")]


def test_what_is_issued_anew_corrects_what_it_replaces(built: Where) -> None:
    """Withdrawn and issued anew: a history has all three, and a comparison does not call the new one late."""
    placed = order("O1", "D1", ("COLA", 5), source="erp#1", id="o1", time=NOON - HOUR)
    anew = json.loads(order("O1", "D1", ("COLA", 7), id="o2", time=NOON - HOUR)) | {
        "replaces": "erp#1#o1",
        "recordedtime": "2026-03-02T21:00:00+08:00",
    }
    other = json.loads(order("O2", "D1", ("COLA", 7), id="o3")) | {"replaces": "erp#none"}
    right = json.loads(order("O3", "D2", source="erp#1", id="o4")) | {"replaces": "erp#1#o1"}
    wrong = json.loads(order("O4", "D2", source="a stranger", id="o5")) | {"replaces": "erp#1#o1"}
    fold(
        built,
        log(
            [
                placed,
                voided("o1", source="erp#1", by="erp#1", event_id="v1"),
                json.dumps(anew).encode(),
                *[json.dumps(one).encode() for one in (other, right, wrong)],
            ]
        ),
    )

    with site(built) as client:
        items = client.get("/dealers/D1/history").json()["items"]
        of_another = client.get("/dealers/D2/history").json()["items"]
        effects = client.get("/orders/D1/O1/diff?known_at=1&known_at=4").json()["effects"]

    assert [one["corrects"] for one in of_another] == [[1], []]  # who sent it may correct it, for any dealer
    assert [(one["corrects"], one["corrected_by"]) for one in items] == [
        ([], [2, 3, 5]),
        ([1], []),
        ([1], []),
        ([], []),
    ]
    assert [(one["sequence"], one["why"]) for one in effects] == [(2, "correction"), (3, "correction")]
    assert [one["recordedtime"] for one in items] == [None, None, "2026-03-02T13:00:00Z", None]


def test_what_was_not_taken_is_told_of_without_a_log_too(databases: Databases) -> None:
    where = databases.new()
    story(where)

    with site(where, nats_url="") as client:
        answer = client.get("/events/4").json()
        [_, _, _, refused, *_] = client.get("/dealers/D1/history").json()["items"]

    assert (answer["status"], answer["event"], answer["bytes"], refused["event"]) == (
        "invalid",
        None,
        None,
        None,
    )
    assert answer["reasons"] == refused["reasons"] != []


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (b'{"type":"order.placed.v1","zz":"\xff"}', ""),
        (b'{"type":"order.placed.v1","actor":7}', "order.placed.v1"),
        (b'{"type":"%s","actor":"%s"}' % (b"x" * 1000, b"y" * 1000), ""),
        (b'{"type":"\\u001b[2J"}', ""),
        (b"[" * 5000, ""),
    ],
)
def test_what_was_sent_is_shown_as_far_as_it_can_be_read(
    asked: TestClient[Litestar], body: bytes, type: str
) -> None:
    raw = asked.get("/dealers/D1/history").json()["items"][3]
    entry = msgspec.convert(raw, HistoryEntry)

    found = with_event(entry, body)

    assert (found.type, found.actor) == (type, None)
    msgspec.json.encode(found).decode()


def test_a_statement_that_came_later_and_is_older_corrects_nothing(built: Where) -> None:
    fold(
        built,
        log(
            [
                order("O1", "D1", ("COLA", 5), id="new"),
                order("O1", "D1", ("COLA", 7), id="old", time=NOON - HOUR),
            ]
        ),
    )

    with site(built) as client:
        items = client.get("/dealers/D1/history").json()["items"]

    assert [(one["id"], one["corrects"], one["corrected_by"]) for one in items] == [
        ("new", [2], []),
        ("old", [], [1]),
    ]


def test_a_page_of_a_history_leads_to_the_next(asked: TestClient[Litestar]) -> None:
    page = asked.get("/dealers/D1/history?limit=5", headers={"Accept": "text/html"}).text

    [following] = re.findall('href="(/dealers/[^"]*)"', page)
    items = asked.get(unescape(following), headers={"Accept": "application/json"}).json()["items"]
    assert [one["sequence"] for one in items] == [6, 7, 8]


def test_a_history_says_what_it_changed_in_a_target_of_the_dealer(built: Where) -> None:
    year = {"from_": "2026-01-01T00:00:00+08:00", "to": "2027-01-01T00:00:00+08:00"}
    what = {
        "measure": "amount",
        "flow": "primary",
        "recognition": "placed",
        "value": "100",
        "currency": "CNY",
    }
    fold(
        built, log([order("O1"), body("target.set.v1", target="T1", scope={"dealer": "D1"}, **what, **year)])
    )

    with site(built) as client:
        [_, target] = client.get("/dealers/D1/history").json()["items"]

    assert "target_plans" in [one["view"] for one in target["changed"]]


def test_what_happened_after_the_first_moment_is_neither_late_nor_a_correction(built: Where) -> None:
    fold(built, log([order("O1", id="o1"), order("O4", "D1", ("COLA", 5), id="o4", time=NOON + 2 * HOUR)]))

    with site(built) as client:
        found = client.get("/orders/D1/O4/diff?known_at=1&known_at=2&valid_at=2026-03-03T00:00:00Z").json()

    assert [(one["sequence"], one["why"]) for one in found["effects"]] == [(2, "new")]


def test_a_history_for_a_terminal_says_who_published_what_and_when(asked: TestClient[Litestar]) -> None:
    entries = asked.get("/dealers/D1/history").json()["items"]
    amended = entries[4] | {"actor": "u-zhao", "effective": "2026-03-01T16:00:00Z"}

    head, _, line = lines_of([amended])
    plain, _, *lines = lines_of(entries[:3])

    assert head.split() == ["event", "happened", "recorded", "claimed", "by", "type", "document"]
    assert re.split(r" {2,}", line.strip()) == [
        *("5", "2026-03-01T16:00:00Z", "2026-03-02T13:00:05Z", "2026-03-02T12:05:00Z"),
        *("erp, u-zhao", "order.placed.v1", "order O1", "corrects 1"),
    ]
    assert "claimed" not in plain
    assert [line[51:56] for line in lines] == ["erp  "] * 3
    assert max(map(len, [head, line, plain, *lines])) < 150


def test_a_history_is_kept_from_the_command_line(tmp_path: Path) -> None:
    with up(tmp_path / "data") as running:
        _, receipt = running.post("/events", order("O1", "D1"))
        running.rows("orders", receipt["sequence"])
        port = running.url.rpartition(":")[2]

        printed = qudao("history", "D1", "--port", port)
        kept = qudao("history", "D1", "--port", port, "--html", tmp_path / "D1.html")
        none = qudao("history", "D9", "--port", port)
        wrong = [qudao("history", "D1", "--port", port, "--known-at", said) for said in ("nonsense", "")]
        beyond = qudao("history", "D1", "--port", port, "--known-at", "99")

    assert "order.placed.v1" in printed.stdout, printed.stderr
    assert kept.returncode == 0, kept.stderr
    assert (tmp_path / "D1.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (none.returncode, "no event is of a dealer" in none.stderr) == (2, True)
    for ended in wrong:
        assert "; --known-at: must be an instant such as 2026-05-01T08:00:00Z, or a sequence" in ended.stderr
    assert "refuses /dealers/D1/history: --known-at: the book goes from sequence 1 to 1\n" in beyond.stderr
