"""A moment made into a database of its own answers what the running service answers of that moment."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from msgspec import Struct

from cli.simulation import events
from infra.append import Appender, Outgoing, message_id
from infra.jetstream import connect
from tests.integration.test_past_asked import VIEWS
from tests.lab.events import order
from tests.lab.qudao import FREE_PORTS, Site, answer, command, environment, qudao, up

EVENTS = 700
KNOWN, VALID = 500, "2025-01-06T04:00:00Z"  # a quarter of what was known was not true yet
CARD: dict[str, Any] = {
    "criteria": [{"code": "on_time", "figure": "on_time", "points": 10, "way": "ratio"}],
    "grades": [["X", 0]],
}


class Made(Struct):
    """A running service, and the moment that was made of its log."""

    live: Site
    into: str
    folder: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("moment")
    with up(folder / "var") as live:
        lines = b"\n".join(event.body for event in islice(events(7, events=EVENTS), EVENTS))
        sent = httpx.post(
            f"{live.url}/events", content=lines, headers={"Content-Type": "application/x-ndjson"}, timeout=60
        )
        last = max(json.loads(line)["sequence"] or 0 for line in sent.text.splitlines())
        assert live.get(f"/assessments?period=2025-Q1&limit=1&min_sequence={last}&wait=30")[0] == 200
        into = f"sqlite:///{folder / 'past.db'}"
        ended = replay(live, "--known-at", str(KNOWN), "--valid-at", VALID, "--into", into)
        assert ended.returncode == 0, ended.stderr
        assert answer(ended)["moment"]["known_at"] == KNOWN
        yield Made(live, into, folder)


def replay(live: Site, *said: str) -> subprocess.CompletedProcess[str]:
    return qudao("replay", "--json", "--nats", live.nats, *said)


class ReadOnly:
    """`qudao up --read-only` on a database."""

    def __init__(self, into: str) -> None:
        self._process = subprocess.Popen(
            command("up", "--read-only", "--json", "--database", into, *FREE_PORTS),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def __enter__(self) -> ReadOnly:
        return self

    def __exit__(self, *ended: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def get(self, path: str) -> Any:
        found = httpx.get(self.url + path, timeout=60)
        assert found.status_code == 200, found.text
        return found.json()


def test_a_moment_made_answers_what_the_live_service_answers_of_it(made: Made) -> None:
    chance = Random(5)
    _, dealers = made.live.get("/dealers?limit=1000")
    some = chance.sample([row["dealer"] for row in dealers["items"]], 1)
    with ReadOnly(made.into) as past:
        for view in VIEWS.values():
            if not view.explained:
                continue
            questions = [f"/{view.name}?limit=1000"]
            if "dealer" in view.fields:
                questions += [f"/{view.name}?limit=1000&dealer={dealer}" for dealer in some]
            for question in questions:
                status, live = made.live.get(f"{question}&known_at={KNOWN}&valid_at={VALID}")

                assert status == 200, live
                assert past.get(question)["items"] == live["items"], question


def test_a_history_and_a_comparison_are_of_the_moment_too(made: Made) -> None:
    _, orders = made.live.get(f"/orders?limit=1&known_at={KNOWN}&valid_at={VALID}")
    dealer, order = orders["items"][0]["dealer"], orders["items"][0]["order"]
    with ReadOnly(made.into) as past:
        history = past.get(f"/dealers/{dealer}/history?limit=1000")["items"]
        row = past.get(f"/orders/{dealer}/{order}/diff?known_at=1")

    _, told = made.live.get(f"/dealers/{dealer}/history?limit=1000&known_at={KNOWN}&valid_at={VALID}")
    _, compared = made.live.get(f"/orders/{dealer}/{order}/diff?known_at=1&known_at={KNOWN}&valid_at={VALID}")
    assert [entry["sequence"] for entry in history] == [entry["sequence"] for entry in told["items"]]
    assert history
    assert row["after"] == compared["after"]


def test_a_moment_is_held_to_the_log_as_it_was_true_then(made: Made) -> None:
    found = qudao("check", "--json", "--nats", made.live.nats, "--database", made.into)

    assert (found.returncode, answer(found)["sequence"]) == (0, KNOWN)


def test_a_moment_says_what_it_is_and_takes_nothing_in(made: Made) -> None:
    with ReadOnly(made.into) as past:
        health = past.get("/health")
        sent = httpx.post(f"{past.url}/events", content=b"{}", headers={"Content-Type": "application/json"})
        decided = httpx.post(f"{past.url}/commands/publish-assessment", json={})

        assert health["healthy"]
        assert f"known at sequence {KNOWN}, and true by 2025-01-06" in " ".join(health["warnings"])
        assert [found.status_code for found in (sent, decided)] == [403, 403]
        assert sent.json()["type"] == "/problems/read_only"


def test_another_policy_can_be_put_in(made: Made) -> None:
    policy = {
        "policy": "strict",
        "kind": "assessment",
        "version": "1",
        "effective": "2024-01-01T00:00:00Z",
        "body": CARD,
    }
    file = made.folder / "strict.json"
    file.write_text(json.dumps(policy))
    into = f"sqlite:///{made.folder / 'tried.db'}"

    ended = replay(made.live, "--policy", str(file), "--into", into)

    assert ended.returncode == 0, ended.stderr
    with ReadOnly(into) as past:
        rows = past.get("/assessments?period=2025-Q1&limit=1000")["items"]
        assert {row["policy"] for row in rows} == {"strict"}
        assert "X" in {row["grade"] for row in rows}
        assert "strict 1" in " ".join(past.get("/health")["warnings"])
        page = httpx.get(f"{past.url}/assessments?period=2025-Q1", headers={"Accept": "text/html"}).text
        assert "strict" in page
        assert "/explain" not in page  # which would be refused, as below
        dealer = rows[0]["dealer"]
        kept = httpx.get(f"{past.url}/dealers/{dealer}/history", headers={"Accept": "text/html"}).text
        assert "is in no event" in page
        assert "is in no event" in kept
        tried = {"periods": ["2025-Q1"], "card": CARD}
        simulated = httpx.post(f"{past.url}/assessments/simulate", json=tried).json()
        assert (simulated["compared"], simulated["grade_changes"]) == (len(rows), 0)
        for other in ("valid_at=2025-01-06T00:00:00Z", f"known_at={KNOWN}"):
            refused = httpx.get(f"{past.url}/assessments?period=2025-Q1&{other}")
            assert "strict 1 was put in here" in refused.json()["detail"]
    check = qudao("check", "--nats", made.live.nats, "--database", into)
    assert "strict 1: that is not in the log" in check.stderr


def test_a_card_that_makes_no_sense_is_not_put_in(made: Made) -> None:
    card = {**CARD, "criteria": [{**CARD["criteria"][0], "points": 0, "step": 5}]}
    about = {"policy": "strict", "kind": "assessment", "version": "1", "effective": "2024-01-01T00:00:00Z"}
    file = made.folder / "nonsense.json"
    file.write_text(json.dumps({**about, "body": card}))

    ended = replay(made.live, "--policy", str(file), "--into", f"sqlite:///{made.folder / 'never.db'}")

    assert ended.returncode == 2
    assert "body.criteria[0].points must be more than 0, not 0" in ended.stderr
    assert "body.criteria[0].step is for count_down alone" in ended.stderr


def test_what_is_killed_half_way_goes_on_and_another_moment_is_refused(made: Made) -> None:
    into = f"sqlite:///{made.folder / 'again.db'}"
    process = subprocess.Popen(
        command("replay", "--nats", made.live.nats, "--known-at", str(KNOWN), "--into", into),
        env=environment(),
    )
    process.kill()
    process.wait(10)

    first = replay(made.live, "--known-at", str(KNOWN), "--into", into)
    again = replay(made.live, "--known-at", str(KNOWN), "--into", into)
    other = replay(made.live, "--known-at", str(KNOWN - 1), "--into", into)

    assert "holds a moment" in qudao("project", "--nats", made.live.nats, "--database", into).stderr
    assert (first.returncode, again.returncode, other.returncode) == (0, 0, 2)
    assert "holds what was known at" in other.stderr


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("--known-at", "2001-01-01T00:00:00Z"), "the book begins at 2"),
        (("--known-at", "2999-01-01T00:00:00Z"), "2999-01-01T00:00:00+00:00 has not come yet"),
        (("--known-at", "999999"), "goes from sequence 1"),
        (("--valid-at", "1999-01-01T00:00:00Z"), "the book speaks of nothing before 202"),
        (("--known-at", "soon"), "--known-at must be an instant"),
        (("--policy", "/nowhere.json"), "cannot be read"),
    ],
)
def test_a_moment_that_cannot_be_made_is_told_why(made: Made, said: tuple[str, str], reason: str) -> None:
    into = made.folder / "never.db"
    ended = replay(made.live, *said, "--into", f"sqlite:///{into}")

    assert ended.returncode == 2
    assert reason in ended.stderr
    assert not into.exists()


async def _publish(url: str, bodies: list[bytes]) -> None:
    client = await connect(url, "test")
    sent = [Outgoing("channel.orders.D1", body, message_id("erp", "", body)) for body in bodies]
    await Appender(client).append(sent)
    await client.close()


def test_the_first_instant_of_which_the_book_speaks_is_not_before_it(tmp_path: Path) -> None:
    """What is not accepted says nothing: neither a contradiction that claims to be earlier, nor what cannot be read."""
    early, late = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
    first, second = [order("O1", id="o1", time=datetime.fromisoformat(time)) for time in (late, early)]
    with up(tmp_path / "var") as live:
        asyncio.run(_publish(live.nats, [b"{}", first, second]))
        before = replay(live, "--valid-at", early, "--into", f"sqlite:///{tmp_path / 'past.db'}")
        on_it = replay(live, "--valid-at", late, "--into", f"sqlite:///{tmp_path / 'past.db'}")
        status, asked = live.get(f"/orders?valid_at={early}&min_sequence=3&wait=20")

    said = (
        "the book speaks of nothing before 2026-03-02T00:00:00+00:00: what was true before that it cannot say"
    )
    assert (before.returncode, on_it.returncode, status) == (2, 0, 400)
    assert said in before.stderr
    assert asked["detail"] == said


def test_an_empty_book_has_no_moment_to_be_made_of(tmp_path: Path) -> None:
    with up(tmp_path / "var") as live:
        for clock in ("--known-at", "--valid-at"):
            into = tmp_path / "past.db"
            ended = replay(live, clock, "2026-03-02T00:00:00Z", "--into", f"sqlite:///{into}")

            assert (ended.returncode, into.exists()) == (2, False)
            assert "the book has no event yet" in ended.stderr
