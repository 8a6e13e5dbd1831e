"""Policies tried on a simulated year, and figures without given events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from domain.policies import BUILT_IN, card_of
from infra.message import Message
from tests.integration.test_past_asked import OF_A_DEALER, VIEWS
from tests.lab.databases import Databases
from tests.lab.events import body, order
from tests.lab.events import log as told
from tests.lab.folding import RECORDED
from tests.lab.qudao import qudao, up
from tests.lab.site import fold, site
from tests.lab.year import simulated

EVENTS = 2000
PERIODS = ["2025-Q1", "2025-Q2"]
D = Decimal
BEFORE = datetime(2024, 1, 1, tzinfo=UTC)
CARD: dict[str, Any] = {"criteria": [{"code": "x", "figure": "on_time", "points": 100, "way": "ratio"}]}


@pytest.fixture(scope="module")
def log() -> list[Message]:
    return simulated(7, EVENTS)


class Asked:
    """A service over a folded log, to be asked."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def get(self, path: str) -> Any:
        response = self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    def simulate(self, **said: Any) -> tuple[int, Any]:
        response = self.client.post("/assessments/simulate", json=said)
        return response.status_code, response.json()


@pytest.fixture(scope="module")
def year(files: Databases, log: list[Message]) -> Iterator[Asked]:
    where = files.new()
    fold(where, log)
    with site(where) as client:
        yield Asked(client)


def test_what_is_tried_is_what_the_view_answers_for_that_policy(year: Asked) -> None:
    status, found = year.simulate(periods=PERIODS, policy="secondary-quarterly")

    assert status == 200
    assert found["compared"] > 20
    for period in PERIODS:
        for policy, side in (("pepsi-shanghai", "now"), ("secondary-quarterly", "then")):
            rows = year.get(f"/assessments?period={period}&policy={policy}&limit=1000")["items"]
            scores = {row["dealer"]: (row["score"], row["grade"]) for row in rows}
            told = {
                card["dealer"]: (card[side]["score"], card[side]["grade"])
                for card in found["cards"]
                if card["period"] == period
            }
            assert told == scores
    assert found["grade_changes"] == sum(
        card["now"]["grade"] != card["then"]["grade"] for card in found["cards"]
    )
    assert sum(one["now"] for one in found["grades"]) == found["compared"]


def test_the_card_that_rules_changes_nothing_when_it_is_tried(year: Asked) -> None:
    [ruling] = [card_of(policy) for policy in BUILT_IN if policy.policy == "pepsi-shanghai"]

    _, found = year.simulate(periods=PERIODS, card=msgspec.to_builtins(ruling))

    assert (found["better"], found["worse"], found["grade_changes"]) == (0, 0, 0)


def test_another_card_says_who_would_change_grade_and_by_how_much(year: Asked) -> None:
    card = {
        "criteria": [{"code": "on_time", "figure": "on_time", "points": 100, "way": "ratio"}],
        "grades": [["pass", "95"], ["fail", 0]],
    }

    _, found = year.simulate(periods=["2025"], card=card)

    judged = [one for one in found["cards"] if one["difference"] is not None]
    assert judged
    for one in judged:
        [on_time] = one["then"]["criteria"]
        assert one["then"]["grade"] == ("pass" if D(one["then"]["score"]) >= 95 else "fail")
        assert D(on_time["part"]) <= D(on_time["whole"])
        assert D(one["difference"]) == D(one["then"]["score"]) - D(one["now"]["score"])


@pytest.mark.parametrize("number", range(1))
def test_without_an_event_every_view_of_its_dealer_is_what_it_were_had_it_never_come(
    files: Databases, log: list[Message], year: Asked, number: int
) -> None:
    chance = Random(number)
    rows = year.get("/events?status=accepted&family=orders&family=deliveries&family=field&limit=1000")[
        "items"
    ]
    row = chance.choice(rows)
    out = log[row["sequence"] - 1]
    where = files.new()
    fold(where, [msgspec.structs.replace(m, body=b"{}") if m is out else m for m in log])
    dealer = row["dealer"]

    with site(where) as client:
        other = Asked(client)
        for view in chance.sample([v for v in OF_A_DEALER if v.name != "event_flags"], 8):
            asked = f"/{view.name}?dealer={dealer}&limit=1000&valid_at=2025-12-31T00:00:00Z"

            found = year.get(f"{asked}&without={out.sequence}")["items"]

            assert found == other.get(asked + f"&known_at={len(log)}")["items"], view.name


def test_where_several_cards_rule_each_is_held_to_itself(files: Databases, log: list[Message]) -> None:
    where, last = files.new(), len(log)
    cards = [
        {"criteria": [{"code": c, "figure": c, "points": 10, "way": "ratio"}]}
        for c in ("on_time", "target_attainment")
    ]
    published = [
        body(
            "policy.published.v1",
            policy=f"own-{n}",
            kind="assessment",
            version="1",
            effective=BEFORE,
            body=card,
        )
        for n, card in enumerate(cards)
    ]
    more = [
        Message(last + n, RECORDED + (last + n) * 10**9, "channel.plans._", b)
        for n, b in enumerate(published, 1)
    ]
    fold(where, [*log, *more])

    with site(where) as client:
        asked = Asked(client)
        dealer = asked.get("/assessments?period=2025-Q1&limit=1")["items"][0]["dealer"]
        out = asked.get(f"/events?dealer={dealer}&family=field&status=accepted&limit=1")["items"][0][
            "sequence"
        ]
        _, found = asked.simulate(periods=["2025-Q1"], dealers=[dealer], without=[out])

    assert [(card["now"]["policy"], card["then"]["policy"]) for card in found["cards"]] == [
        ("own-0", "own-0"),
        ("own-1", "own-1"),
    ]


def test_an_appeal_is_decided_on_numbers(year: Asked) -> None:
    dealer = next(
        row["dealer"]
        for row in year.get("/assessments?period=2025&limit=1000")["items"]
        if D(row["criteria"][0]["part"] or 0) < D(row["criteria"][0]["whole"] or 0)
    )
    path = f"/assessments/{dealer}/2025/pepsi-shanghai"
    effects = year.get(f"{path}/explain")["effects"]
    worst = min(
        (e for e in effects if "score" in e["changes"]), key=lambda e: D(e["changes"]["score"]["difference"])
    )

    _, found = year.simulate(periods=["2025"], dealers=[dealer], without=[worst["sequence"]])

    [card] = found["cards"]
    assert card["now"]["score"] == year.get(path)["score"]
    assert card["then"]["score"] == year.get(f"{path}?without={worst['sequence']}")["score"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"periods": ["2025-Q1"]}, "card"),
        ({"periods": ["soon"], "policy": "pepsi-shanghai"}, "periods"),
        ({"periods": ["2025-Q1", "2025-Q1"], "policy": "pepsi-shanghai"}, "periods[1]"),
        ({"periods": ["2025"], "policy": "nobody's"}, "policy"),
        ({"periods": ["2025"], "policy": "pepsi-shanghai", "card": CARD}, "policy"),
        ({"periods": ["2025"], "without": [1]}, "dealers"),
        ({"periods": ["2025"], "without": [999_999], "dealers": ["D-0001"]}, "without"),
        ({"periods": ["2025"], "card": {"criteria": [], "grade": 1}}, "card.grade"),
        ({"periods": ["2025"], "card": {"criteria": [{"code": "x"}]}}, "card.criteria[0]"),
    ],
    ids=lambda said: str(said),
)
def test_what_cannot_be_tried_is_told_with_its_field(year: Asked, said: dict[str, Any], field: str) -> None:
    status, problem = year.simulate(**said)

    assert status in (400, 422)
    assert field in json.dumps(problem["errors"])


def test_all_that_is_wrong_with_what_is_to_be_tried_is_said_at_once(year: Asked) -> None:
    late = {"code": "late", "figure": "lateness", "points": -5, "way": "count_down"}
    card = {"criteria": [{**CARD["criteria"][0], "step": 1}, late], "coverage_least": "1.5"}

    status, problem = year.simulate(periods=["2025", "soon"], card=card)

    assert (status, problem["type"]) == (422, "/problems/invalid_simulation")
    assert [error["field"] for error in problem["errors"]] == [
        "periods[1]",
        "card.criteria[0].step",
        "card.criteria[1].points",
        "card.criteria[1].figure",
        "card.criteria[1].step",
        "card.coverage_least",
    ]
    assert "on_time, order_change_rate" in problem["errors"][3]["reason"]
    assert problem["detail"].endswith("and 5 more")


def test_dealers_that_the_book_does_not_know_are_named(year: Asked) -> None:
    dealer = year.get("/assessments?period=2025-Q1&limit=1")["items"][0]["dealer"]
    card = {"card": CARD}

    status, problem = year.simulate(periods=["2025-Q1"], dealers=[dealer, "D-none", "渠道-無"], **card)
    _, empty = year.simulate(periods=["1999"], **card)
    _, policy = year.simulate(periods=["2025-Q1"], policy="nobody's")

    assert (status, problem["type"]) == (422, "/problems/invalid_simulation")
    assert [error["field"] for error in problem["errors"]] == ["dealers[1]", "dealers[2]"]
    assert "'渠道-無'" in problem["errors"][1]["reason"]
    assert (empty["compared"], empty["cards"]) == (0, [])
    assert "pepsi-shanghai, secondary-quarterly" in policy["errors"][0]["reason"]


def test_a_dealer_that_did_nothing_in_a_period_is_no_mistake(files: Databases) -> None:
    one, other = [
        body(
            "visit.completed.v1",
            visit="V1",
            outlet="X",
            dealer=dealer,
            rep="R1",
            time=datetime(2025, month, 3, tzinfo=UTC),
        )
        for dealer, month in (("D1", 2), ("D2", 5))
    ]
    where = files.new()
    fold(where, told([one, other]))

    with site(where) as client:
        status, found = Asked(client).simulate(periods=["2025-Q1"], dealers=["D2"], card=CARD)

    assert (status, found["compared"]) == (200, 0)


def test_a_card_that_is_not_there_without_an_event_is_shown_all_the_same(files: Databases) -> None:
    rule = {"policy": "ours", "kind": "assessment", "version": "1", "effective": "2025-01-01T00:00:00Z"}
    where = files.new()
    fold(
        where,
        told(
            [
                order("O1", "D1", time=datetime(2025, 2, 3, tzinfo=UTC)),
                body("policy.published.v1", body=CARD, **rule),
            ]
        ),
    )

    with site(where) as client:
        status, found = Asked(client).simulate(periods=["2025-Q1"], dealers=["D1"], without=[2])

    assert (status, found["compared"]) == (200, 2)
    assert {(card["now"]["policy"], card["then"]["policy"]) for card in found["cards"]} == {
        ("ours", ""),
        ("", "pepsi-shanghai"),
    }


def test_views_that_are_not_folded_have_no_without(year: Asked) -> None:
    response = year.client.get("/events?without=3")

    assert response.status_code == 400
    assert set(VIEWS["events"].fields)


@pytest.mark.parametrize("flag", ["--known-at", "--valid-at"])
def test_a_moment_that_the_command_line_cannot_read_is_refused_and_not_left_out(flag: str) -> None:
    for moment in ("nonsense", ""):
        ended = qudao("simulate", "--period", "2025-Q1", "--policy", "x", flag, moment)

        assert (ended.returncode, f"{flag} must be an instant such as" in ended.stderr) == (2, True)


def test_a_sequence_before_the_first_is_refused_and_not_left_out(tmp_path: Path) -> None:
    with up(tmp_path / "var") as running:
        running.rows(
            "orders",
            running.post("/events", body("order.cancelled.v1", order="O1", dealer="D1"))[1]["sequence"],
        )
        port = running.url.rpartition(":")[2]
        ended = qudao("simulate", "--port", port, "--period", "2025-Q1", "--policy", "x", "--known-at", "0")

    assert (ended.returncode, "--known-at: the book goes from sequence 1 to 1" in ended.stderr) == (2, True)
