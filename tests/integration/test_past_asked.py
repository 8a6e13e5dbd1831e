"""Asking a simulated year of the past: for any dealer, at any moment, every view answers what it answered then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from msgspec import Struct

from api.differences import Difference, is_number, items_of
from api.explaining import explain
from api.problems import Problem
from api.query import read_query
from api.reading import Opened, read_page, shown
from api.views import View, views_of
from infra.documents import ROWS
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from tests.lab.databases import Databases
from tests.lab.events import log, order
from tests.lab.folding import RECORDED
from tests.lab.year import opened_on, simulated

EVENTS = 2500
MOMENTS = (600, 1700)
LATER = datetime(2026, 7, 1, tzinfo=UTC)
VIEWS = views_of(PROJECTIONS, {INDEX: ROWS})
OF_A_DEALER = [
    view for view in VIEWS.values() if "dealer" in view.fields and view.name not in ("events", "rejections")
]


class Year(Struct):
    """A simulated year as it is known now, and as it stood at some moments."""

    now: Opened
    then: dict[int, Opened]
    dealers: list[str]
    last: int


@pytest.fixture(scope="module")
def year(files: Databases) -> Iterator[Year]:
    """On one kind of database: what is folded again is in memory, and `test_history_asked.py` asks both kinds."""
    log = simulated(7, EVENTS)
    opened = {end: opened_on(files.new(), log[:end]) for end in MOMENTS}
    now = opened_on(files.new(), log)
    with now.reader() as reader:
        dealers = [
            d for (d,) in reader.connection.exec_driver_sql("SELECT dealer FROM dealer_states ORDER BY 1")
        ]
    yield Year(now, opened, dealers, len(log))
    for one in (now, *opened.values()):
        one.close()


def _asked(opened: Opened, view: View, *said: tuple[str, str]) -> list[dict[str, object]]:
    return shown(read_page(opened, view, read_query(view, [*said, ("limit", "1000")]), LATER))


@pytest.mark.parametrize("view", OF_A_DEALER, ids=lambda view: view.name)
def test_what_is_known_at_a_moment_is_what_was_answered_then(year: Year, view: View) -> None:
    random = Random(view.name)
    for moment, then in year.then.items():
        for dealer in random.sample(year.dealers, 1):
            known = _asked(year.now, view, ("dealer", dealer), ("known_at", str(moment)))

            assert known == _asked(then, view, ("dealer", dealer)), (dealer, moment)


@pytest.mark.parametrize("view", [v for v in VIEWS.values() if v.explained], ids=lambda view: view.name)
def test_an_explanation_ends_at_the_row_and_its_differences_add_up_to_it(year: Year, view: View) -> None:
    question: list[tuple[str, str]] = [] if "dealer" in view.key else [("known_at", str(MOMENTS[0]))]
    page = read_page(year.now, view, read_query(view, [*question, ("limit", "1000")]), LATER)
    for row, said in Random(view.name).sample(
        list(zip(page.rows, shown(page), strict=True)), min(1, len(page.rows))
    ):
        query = read_query(view, question, one_row=True)
        explanation = explain(year.now, view, row[: len(view.key)], query, LATER)

        assert explanation is not None
        assert explanation.row == said
        for field in view.shown:
            steps = [e.changes[field.name] for e in explanation.effects if field.name in e.changes]
            if field.numeric and field.name not in view.key:
                added = sum([Decimal(str(step.difference)) for step in steps], Decimal(0))
                assert added == Decimal(str(said[field.name] or 0)), field.name
            assert [s.after for s in steps[:-1]] == [s.before for s in steps[1:]], field.name
            for item, fields in items_of(field, said[field.name]).items():
                for name, number in fields.items():
                    if is_number(number):
                        assert _added(steps, item, name) == number, (field.name, item, name)


def _added(steps: list[Difference], item: str, name: str) -> Decimal:
    """What the parts of these differences say that a number of an item moved by, in all."""
    moved = [s.parts[item][name] for s in steps if s.parts and item in s.parts and name in s.parts[item]]
    return sum([Decimal(str(one.difference)) for one in moved], Decimal(0))


def test_before_the_book_begins_nothing_can_be_said_and_beyond_its_end_neither(year: Year) -> None:
    orders = VIEWS["orders"]

    with pytest.raises(Problem, match="the book begins at"):
        _asked(year.now, orders, ("dealer", year.dealers[0]), ("known_at", "2020-01-01T00:00:00Z"))
    with pytest.raises(Problem, match=f"from sequence 1 to {year.last}"):
        _asked(year.now, orders, ("dealer", year.dealers[0]), ("known_at", str(year.last + 1)))


@pytest.mark.parametrize("clock", ["known_at", "valid_at"])
def test_a_book_without_any_event_has_no_past_and_no_empty_one(files: Databases, clock: str) -> None:
    empty = opened_on(files.new(), [])
    asked = {"known_at": ("2026-03-02T00:00:00Z", "1"), "valid_at": ("2026-03-02T00:00:00Z",)}[clock]
    for said in asked:
        with pytest.raises(Problem, match="the book has no event yet") as refused:
            _asked(empty, VIEWS["orders"], (clock, said))

        document = refused.value.document
        assert (document.type, document.errors[0].field) == ("/problems/cannot_be_answered", clock)
    empty.close()


def test_what_will_be_known_nobody_can_say(year: Year) -> None:
    """But what will be true by an instant, by all that is known today, can be said."""
    orders, dealer = VIEWS["orders"], ("dealer", year.dealers[1])
    soon, later = [(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat() for seconds in (2, 60)]

    with pytest.raises(Problem, match="has not come yet: what will be known then nobody can say") as refused:
        _asked(year.now, orders, dealer, ("known_at", later))

    document = refused.value.document
    assert (document.type, document.errors[0].field) == ("/problems/cannot_be_answered", "known_at")
    assert _asked(year.now, orders, dealer, ("known_at", soon)) == _asked(year.now, orders, dealer)
    assert _asked(year.now, orders, dealer, ("valid_at", "2999-01-01T00:00:00Z"))


def test_an_instant_that_came_by_the_clock_of_the_log_has_come(files: Databases) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    opened = opened_on(files.new(), log([order("O1"), order("O2")], start=ahead))
    second = ahead.replace(microsecond=0) + timedelta(seconds=2)

    asked = _asked(opened, VIEWS["orders"], ("known_at", second.isoformat()))

    assert [row["order"] for row in asked] == ["O1", "O2"]
    opened.close()


@pytest.mark.parametrize("clock", ["known_at", "valid_at"])
@pytest.mark.parametrize("view", [v for v in VIEWS.values() if v.explained], ids=lambda view: view.name)
def test_no_view_has_an_answer_for_before_the_book_begins(year: Year, view: View, clock: str) -> None:
    with pytest.raises(Problem, match=r"the book (begins|speaks of nothing before)") as refused:
        _asked(year.now, view, (clock, "1990-01-01T00:00:00Z"))

    said = refused.value.document
    assert (said.type, said.errors[0].field) == ("/problems/cannot_be_answered", clock)


def test_an_instant_means_the_last_message_the_log_had_taken(year: Year) -> None:
    orders, dealer = VIEWS["orders"], ("dealer", year.dealers[1])
    instant = datetime.fromtimestamp(RECORDED / 10**9 + MOMENTS[1], UTC)

    at = _asked(year.now, orders, dealer, ("known_at", instant.isoformat().replace("+00:00", "Z")))

    assert at == _asked(year.now, orders, dealer, ("known_at", str(MOMENTS[1])))


def test_what_too_many_events_bear_on_is_refused_with_what_to_name(
    year: Year, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stage0.EVENTS_MAX", 500)

    with pytest.raises(Problem, match="more than 500 events bear on it: name dealer"):
        _asked(year.now, VIEWS["orders"], ("known_at", str(year.last)))


def test_a_location_brings_in_the_dealers_that_name_it(year: Year) -> None:
    levels = VIEWS["stock_levels"]
    with year.now.reader() as reader:
        [(location,)] = reader.connection.exec_driver_sql(
            "SELECT location FROM stock_levels WHERE location NOT IN (SELECT dealer FROM dealer_states) LIMIT 1"
        )
    place = ("location", location)

    assert _asked(year.now, levels, place, ("known_at", str(MOMENTS[1]))) == _asked(
        year.then[MOMENTS[1]], levels, place
    )
