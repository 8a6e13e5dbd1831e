"""Decisions: what is published stands on what was known, once, and says what it saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest

from domain.scoring import NO_GRADE
from tests.lab.events import body, voided
from tests.lab.qudao import Site, eventually, up
from tests.lab.site import app_on, served

D = Decimal
Q1 = "2026-Q1"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with up(tmp_path_factory.mktemp("decisions")) as site:
        yield site


def day(number: int) -> datetime:
    """The morning of a day of February."""
    return datetime(2026, 2, number, 10, tzinfo=timezone(timedelta(hours=8)))


def told(book: Site, *events: bytes) -> int:
    """Send events; the last sequence they are stored at."""
    answers = [book.post("/events", event) for event in events]
    assert {status for status, _ in answers} <= {200, 201}, answers
    return max(answer["sequence"] for _, answer in answers)


def order(dealer: str, number: int) -> bytes:
    line = {"line": "1", "sku": "COLA", "quantity": "1", "unit_price": "2", "net": "2"}
    promised = {"from": "2026-02-10T00:00:00+08:00", "to": "2026-02-11T00:00:00+08:00"}
    return body(
        "order.placed.v1",
        time=day(9),
        dealer=dealer,
        order=f"O{number}",
        currency="CNY",
        promised=promised,
        lines=[line],
    )


def delivered(dealer: str, number: int, of: int) -> list[bytes]:
    """The goods of an order, dispatched and received on a day of February."""
    at = day(of)
    about: dict[str, Any] = {"dealer": dealer, "delivery": f"L{number}", "order": f"O{number}", "time": at}
    received = {"receipt": "R", "arrived": at, "lines": [{"sku": "COLA", "accepted": "1"}]}
    return [
        body("delivery.dispatched.v1", lines=[{"sku": "COLA", "quantity": "1"}], **about),
        body("delivery.received.v1", **about, **received),
    ]


def assessed(book: Site, dealer: str) -> None:
    """A dealer with two orders, one of which came in time, and nothing known of the other."""
    told(book, order(dealer, 1), order(dealer, 2), *delivered(dealer, 1, 10))


def publish(book: Site, dealer: str, **said: Any) -> tuple[int, Any]:
    command = {"dealer": dealer, "period": Q1, "by": "u-zhao", **said}
    return book.post("/commands/publish-assessment", json.dumps(command).encode(), "application/json")


def published(book: Site, dealer: str, sequence: int) -> list[dict[str, Any]]:
    rows = book.rows("published_assessments", sequence)
    return [row for row in rows if row["dealer"] == dealer]


def test_an_assessment_is_published_as_it_is_known_and_its_link_answers_the_same_for_ever(book: Site) -> None:
    assessed(book, "D1")

    status, answer = publish(book, "D1")

    assert status == 201
    assert answer["status"] == "accepted"
    [row] = published(book, "D1", answer["sequence"])
    told(book, *delivered("D1", 2, 20))
    _, seen = book.get(answer["seen"])
    assert row["criteria"] == seen["criteria"] == answer["decision"]["criteria"]
    assert row["score"] == seen["score"] == answer["decision"]["score"]
    assert row["seen"] == answer["seen"]
    assert row["state_sequence"] == answer["decision"]["state_sequence"] < answer["sequence"]
    assert row["published_by"] == "u-zhao"


def test_a_restatement_names_three_late_facts_and_what_each_moved(book: Site) -> None:
    assessed(book, "D2")
    told(book, order("D2", 3), order("D2", 4))
    _, first = publish(book, "D2")
    violation: dict[str, Any] = {"case": "V1", "dealer": "D2", "kind": "price", "time": day(21)}
    told(book, body("violation.recorded.v1", **violation))
    late = told(book, *[received for n in (2, 3, 4) for received in delivered("D2", n, 10)])
    told(book, order("D-other", 9))

    status, second = publish(book, "D2", supersedes=first["decision"]["assessment"], reason="reported late")

    assert status == 201, second
    because = second["decision"]["because"]
    assert [fact["type"] for fact in because] == ["delivery.received.v1"] * 3
    assert because[-1]["sequence"] == late
    difference = D(second["decision"]["score"]) - D(first["decision"]["score"])
    assert difference != 0
    assert sum(D(fact["score"]) for fact in because) == difference
    moved = [(one["code"], one["earned"]) for fact in because for one in fact["moved"]]
    assert {code for code, _ in moved} == {"on_time"}
    old, new = sorted(published(book, "D2", second["sequence"]), key=lambda row: row["sequence"])
    assert (old["score"], old["superseded_by"]) == (first["decision"]["score"], new["assessment"])
    assert (new["supersedes"], new["superseded_by"]) == (old["assessment"], "")


def test_a_restatement_says_that_nothing_is_left_where_all_was_withdrawn(book: Site) -> None:
    alone = order("D12", 1)
    told(book, alone)
    _, first = publish(book, "D12")
    withdrawn = told(book, voided(json.loads(alone)["id"], dealer="D12"))

    status, second = publish(book, "D12", supersedes=first["decision"]["assessment"])

    assert status == 201, second
    decision = second["decision"]
    assert (decision.get("score"), decision["grade"], decision["criteria"]) == (None, NO_GRADE, [])
    assert [fact["sequence"] for fact in decision["because"]] == [withdrawn]
    assert second["seen"] == ""
    status, again = publish(book, "D12", supersedes=decision["assessment"])
    assert (status, "nothing that became known since" in again["detail"]) == (409, True)


def test_what_was_done_after_the_instant_of_a_card_does_not_restate_it(book: Site) -> None:
    cancelled: dict[str, Any] = {"dealer": "D13", "order": "O2", "initiator": "dealer", "reason": "changed"}
    assessed(book, "D13")
    _, first = publish(book, "D13")
    assessment = first["decision"]["assessment"]

    told(book, body("order.cancelled.v1", **cancelled, time=datetime.now(UTC)))
    status, refused = publish(book, "D13", supersedes=assessment)
    told(book, body("order.cancelled.v1", **cancelled, time=day(9)))
    _, restated = publish(book, "D13", supersedes=assessment)

    assert (status, "nothing that became known since" in refused["detail"]) == (409, True)
    assert [one["code"] for fact in restated["decision"]["because"] for one in fact["moved"]] == ["on_time"]


def test_a_command_sent_again_has_no_second_effect(book: Site) -> None:
    assessed(book, "D3")
    _, first = publish(book, "D3", id="cmd-3")
    told(book, *delivered("D3", 2, 20))

    status, again = publish(book, "D3", id="cmd-3")

    assert status == 200
    assert (again["status"], again["sequence"]) == ("duplicate", first["sequence"])
    assert again["decision"] == first["decision"]
    assert len(published(book, "D3", first["sequence"])) == 1
    status, problem = publish(book, "D3", id="cmd-3", reason="other words")
    assert (status, problem["type"]) == (409, "/problems/conflict")


def test_of_two_managers_at_once_one_wins_and_the_other_hears_what_came_between(book: Site) -> None:
    assessed(book, "D4")

    with ThreadPoolExecutor(2) as managers:
        answers = list(managers.map(lambda by: publish(book, "D4", by=by), ["u-one", "u-two"]))

    (won, decision), (lost, problem) = sorted(answers, key=lambda answer: answer[0])
    assert (won, lost) == (201, 409)
    assert problem["type"] == "/problems/refused"
    assert [one["sequence"] for one in problem["between"]] == [decision["sequence"]]
    assert decision["decision"]["assessment"] in problem["detail"]


async def test_services_that_decide_beside_each_other_never_publish_twice(book: Site) -> None:
    for dealer in ("D5", "D6", "D7"):
        await asyncio.to_thread(assessed, book, dealer)
    where = book.ready["database"]
    commands = [{"dealer": d, "period": Q1, "by": by} for d in ("D5", "D6", "D7") for by in ("u-1", "u-2")]

    async with (
        served(app_on(where, nats_url=book.nats)) as one,
        served(app_on(where, nats_url=book.nats)) as two,
    ):
        for client in (one, two):
            assert await asyncio.to_thread(healthy, str(client.base_url))
        answers = await asyncio.gather(
            *[
                client.post("/commands/publish-assessment", json=command)
                for command in commands
                for client in (one, two)
            ]
        )

    said = [answer.json() for answer in answers]
    accepted = [one for one in said if one.get("status") == "accepted"]
    assert sorted(one["decision"]["dealer"] for one in accepted) == ["D5", "D6", "D7"]
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    _check_refusals([answer for answer in answers if answer.status_code == 409])


def healthy(url: str) -> bool:
    return eventually(lambda: httpx.get(f"{url}/health").status_code == 200, 20)


def _check_refusals(refused: list[httpx.Response]) -> None:
    assert refused
    for answer in refused:
        problem = answer.json()
        assert problem["errors"][0]["field"] == "supersedes"
        assert problem["between"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"period": "2099"}, "period"),
        ({"dealer": "nobody"}, "dealer"),
        ({"policy": "secondary-quarterly"}, "policy"),
        ({"supersedes": "A-none"}, "supersedes"),
        ({"cutoff_sequence": 999_999_999}, "cutoff_sequence"),
    ],
    ids=lambda said: str(said),
)
def test_what_cannot_be_decided_is_refused_with_the_field_to_change(
    book: Site, said: dict[str, Any], field: str
) -> None:
    assessed(book, "D8")

    status, problem = publish(book, **{"dealer": "D8", **said})

    assert (status, problem["type"]) == (409, "/problems/refused")
    assert problem["errors"][0]["field"] == field


def test_nobody_has_looked_at_more_than_the_log_has(book: Site) -> None:
    assessed(book, "D14")

    status, problem = publish(book, "D14", state_sequence=10**6)

    assert (status, problem["errors"][0]["field"]) == (409, "state_sequence")


def test_nothing_new_is_no_reason_to_restate(book: Site) -> None:
    assessed(book, "D9")
    _, first = publish(book, "D9")

    status, problem = publish(book, "D9", supersedes=first["decision"]["assessment"])

    assert status == 409
    assert "nothing that became known since" in problem["detail"]


def test_a_cutoff_publishes_what_was_known_by_then(book: Site) -> None:
    assessed(book, "D10")
    cutoff = told(book, order("D10", 3))
    told(book, *delivered("D10", 2, 20))

    _, answer = publish(book, "D10", cutoff_sequence=cutoff)

    [judged] = [one for one in answer["decision"]["criteria"] if one["code"] == "on_time"]
    assert judged["whole"] == "3"
    assert answer["decision"]["cutoff_sequence"] == cutoff < answer["decision"]["state_sequence"]


def test_a_restatement_cannot_know_less_than_what_it_restates(book: Site) -> None:
    assessed(book, "D11")
    _, first = publish(book, "D11")
    told(book, *delivered("D11", 2, 10))
    assessment, cutoff = first["decision"]["assessment"], first["decision"]["cutoff_sequence"]

    status, problem = publish(book, "D11", supersedes=assessment, cutoff_sequence=cutoff - 1)

    assert status == 409
    assert problem["errors"][0]["field"] == "cutoff_sequence"


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"{", 422, "(body)"),
        (b'{"dealer": "D1", "period": "2026-Q1"}', 422, "by"),
        (b'{"dealer": 7, "period": "2026-Q1", "by": "x"}', 422, "dealer"),
        (b'{"dealer": "D1", "period": "2026-Q1", "by": "x", "polcy": "a"}', 422, "polcy"),
        (b'{"dealer": "D\\u0000", "period": "2026-Q1", "by": "x"}', 422, "dealer"),
        (b'{"dealer": "D1", "period": "2026-Q9", "by": "x"}', 422, "period"),
    ],
    ids=["broken", "missing", "type", "misspelt", "control", "period"],
)
def test_a_wrong_command_is_told_what_is_wrong_and_where(
    book: Site, sent: bytes, status: int, said: str
) -> None:
    code, problem = book.post("/commands/publish-assessment", sent, "application/json")

    assert (code, problem["type"]) == (status, "/problems/invalid_command")
    assert problem["title"] == "The command is not valid"
    assert said in json.dumps(problem["errors"])
