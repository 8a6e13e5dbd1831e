"""Laws of a dealer's history and of comparisons between moments, over a simulated year."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from api.diffing import diff
from api.history import History, HistoryEntry, read_history
from api.history_answers import read_question
from api.problems import Problem
from api.query import read_query
from api.reading import Opened, read_page, shown
from api.stage0 import EVENTS as EVENTS_TABLE
from api.views import View, views_of
from domain.catalogue import Rejected
from domain.identifiers import escape
from infra.documents import ROWS
from infra.message import Message
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from tests.integration.test_past_asked import LATER
from tests.lab.databases import Databases
from tests.lab.events import valid
from tests.lab.folding import RECORDED
from tests.lab.year import opened_on, simulated

EVENTS = 1400
MOMENTS = (450, 900, 1300)
VIEWS = views_of(PROJECTIONS, {INDEX: ROWS})
EVENT_VIEW = msgspec.structs.replace(VIEWS["events"], period="effective", source=EVENTS_TABLE)
OF_A_DEALER = [v for v in VIEWS.values() if "dealer" in v.fields and v.explained]
EXPLAINED = [v for v in VIEWS.values() if v.explained]


class Book(Struct):
    """A simulated year, its messages, and who is in it."""

    opened: Opened
    log: list[Message]
    dealers: list[str]
    databases: Databases


@pytest.fixture(scope="module")
def book(files: Databases) -> Iterator[Book]:
    """On one kind of database: what is folded again is in memory, and `test_history_asked.py` asks both kinds."""
    log = simulated(11, EVENTS)
    opened = opened_on(files.new(), log)
    with opened.reader() as reader:
        dealers = [
            d for (d,) in reader.connection.exec_driver_sql("SELECT dealer FROM dealer_states ORDER BY 1")
        ]
    yield Book(opened, log, dealers, files)
    opened.close()


def history(opened: Opened, dealer: str, *said: tuple[str, str], limit: int = 20_000) -> History:
    query, _, _ = read_question(EVENT_VIEW, said)
    found = read_history(opened, EVENT_VIEW, dealer, query, limit, LATER)
    assert found is not None
    return found


def rows(opened: Opened, view: View, *said: tuple[str, str]) -> list[dict[str, Any]]:
    return shown(read_page(opened, view, read_query(view, [*said, ("limit", "1000")]), LATER))


# history


def test_pages_put_together_are_the_one_large_page(book: Book) -> None:
    dealer = book.dealers[0]
    whole = history(book.opened, dealer)
    pieces: list[HistoryEntry] = []
    cursor = ""
    while True:
        page = history(book.opened, dealer, *([("cursor", cursor)] if cursor else []), limit=97)
        pieces += page.items
        if page.next is None:
            break
        cursor = page.next

    assert tuple(pieces) == whole.items
    assert [entry.sequence for entry in pieces] == sorted({entry.sequence for entry in pieces})


def test_what_was_known_at_a_moment_is_what_was_answered_then(book: Book) -> None:
    moment = MOMENTS[1]
    then = opened_on(book.databases.new(), book.log[:moment])
    for dealer in Random(1).sample(book.dealers, 3):
        known = history(book.opened, dealer, ("known_at", str(moment)))

        assert known.items == history(then, dealer).items
        assert known.sequence == moment
    then.close()


def test_what_was_known_at_a_moment_is_what_had_come_by_then(book: Book) -> None:
    """Of nobody's documents, those are there that had the dealer in their scope by then."""
    for dealer in Random(1).sample(book.dealers, 3):
        whole = {entry.sequence: entry for entry in history(book.opened, dealer).items}
        for moment in MOMENTS:
            known = {e.sequence: e for e in history(book.opened, dealer, ("known_at", str(moment))).items}

            assert known.keys() <= whole.keys()
            assert all(
                entry.concern == "scope"
                for entry in whole.values()
                if entry.sequence <= moment and entry.sequence not in known
            )
            for sequence, then in known.items():
                assert then.changed == whole[sequence].changed
                assert then.corrects == whole[sequence].corrects
                assert then.corrected_by == tuple(n for n in whole[sequence].corrected_by if n <= moment)


def test_everything_of_a_dealer_and_everything_that_names_it_is_there(book: Book) -> None:
    for dealer in Random(2).sample(book.dealers, 5):
        there = {entry.sequence: entry.concern for entry in history(book.opened, dealer).items}
        for message in book.log:
            if message.subject.endswith(f".{escape(dealer)}"):
                assert there[message.sequence] == "own"
            elif taken(message) and _names(json.loads(message.body)["data"], dealer):
                assert there[message.sequence] in ("names", "scope")
        assert any(concern == "scope" for concern in there.values())


def taken(message: Message) -> bool:
    try:
        return valid(message)
    except Rejected:
        return False


def _names(data: Any, dealer: str) -> bool:
    if isinstance(data, dict):
        named = ("dealer", "dealers", "from", "to", "location", "to_location", "parent", "seller", "merged")
        return any(
            (name in named and (value == dealer or (isinstance(value, list) and dealer in value)))
            or _names(value, dealer)
            for name, value in data.items()
        )
    return isinstance(data, list) and any(_names(one, dealer) for one in data)


def test_what_is_not_in_a_history_could_be_missing_from_the_log(book: Book) -> None:
    """Folding the history alone, and one delivery of anybody's, gives every figure of the dealer."""
    delivery = next(m for m in book.log if b"delivery.dispatched.v1" in m.body)
    for dealer in Random(3).sample(book.dealers, 2):
        there = {entry.sequence for entry in history(book.opened, dealer).items} | {delivery.sequence}
        alone = [
            Message(n, m.recorded, m.subject, m.body)
            for n, m in enumerate([m for m in book.log if m.sequence in there], 1)
        ]
        less = opened_on(book.databases.new(), alone)
        for name in ("dealers", "dealer_sales", "targets", "assessments", "receivables", "statements"):
            ours = rows(less, VIEWS[name], ("dealer", dealer))

            assert ours == rows(book.opened, VIEWS[name], ("dealer", dealer)), (dealer, name)
        less.close()


def test_links_lead_both_ways(book: Book) -> None:
    found: dict[int, HistoryEntry] = {}
    for dealer in book.dealers[:10]:
        found |= {entry.sequence: entry for entry in history(book.opened, dealer).items}
    links = [(e.sequence, n) for e in found.values() for n in e.corrects]

    assert links
    assert all(sequence in found[earlier].corrected_by for sequence, earlier in links if earlier in found)
    assert all(e.sequence in found[n].corrects for e in found.values() for n in e.corrected_by if n in found)


def test_what_events_changed_adds_up_to_the_rows(book: Book) -> None:
    dealer = book.dealers[2]
    added: dict[tuple[str, ...], Decimal] = {}
    for entry in history(book.opened, dealer).items:
        for changed in entry.changed or ():
            if changed.view == "dealer_days" or changed.view == "sales_days":
                where = (changed.view, *map(str, changed.key.values()))
                for name, field in changed.fields.items():
                    if field.difference is not None:
                        key = (*where, name)
                        added[key] = added.get(key, Decimal(0)) + Decimal(str(field.difference))
    for name in ("dealer_days", "sales_days"):
        view = VIEWS[name]
        numbers = [f.name for f in view.shown if f.numeric and f.name not in view.key]
        for row in rows(book.opened, view, ("dealer", dealer)):
            for number in numbers:
                key = (name, *[str(row[part]) for part in view.key], number)
                assert added.get(key, Decimal(0)) == Decimal(str(row[number] or 0)), key


# comparisons


@pytest.mark.parametrize("view", EXPLAINED[::3], ids=lambda view: view.name)
def test_the_effects_add_up_to_the_difference_and_both_rows_are_what_was_answered(
    book: Book, view: View
) -> None:
    first, last = (MOMENTS[0], MOMENTS[2]) if "dealer" in view.key else (MOMENTS[0] - 300, MOMENTS[0])
    page = read_page(book.opened, view, read_query(view, [("known_at", str(last)), ("limit", "300")]), LATER)
    for values in Random(view.name).sample(list(page.rows), min(1, len(page.rows))):
        key = values[: len(view.key)]
        query = read_query(view, [("known_at", str(last))], one_row=True)
        found = diff(book.opened, view, key, query, first, LATER)

        assert found is not None
        said = [
            (n, str(view.fields[n].show(v)) if v is not None else "")
            for n, v in zip(view.key, key, strict=True)
        ]
        for moment, row in ((first, found.before), (last, found.after)):
            there = rows(book.opened, view, *said, ("known_at", str(moment)))
            assert there == ([row] if row is not None else [])
        for field in view.shown:
            steps = [e.changes[field.name] for e in found.effects if field.name in e.changes]
            total = found.changes.get(field.name)
            if field.numeric:
                added = sum([Decimal(str(step.difference)) for step in steps], Decimal(0))
                assert added == Decimal(str(total.difference if total is not None else 0)), field.name
            if total is not None:
                assert (steps[0].before, steps[-1].after) == (total.before, total.after)
        assert all(first < effect.sequence <= last for effect in found.effects)


def test_effects_are_classed_by_what_was_known(book: Book) -> None:
    view = VIEWS["dealers"]
    boundary = datetime.fromtimestamp(RECORDED / 10**9 + MOMENTS[0], LATER.tzinfo)
    seen = set()
    for dealer in book.dealers[:1]:
        query = read_query(view, [], one_row=True)
        found = diff(book.opened, view, [dealer], query, MOMENTS[0], LATER)
        assert found is not None
        for effect in found.effects:
            corrects = any(n <= MOMENTS[0] for n in effect.corrects)
            late = effect.effective <= boundary
            assert effect.why == ("correction" if corrects else "late" if late else "new")
            seen.add(effect.why)

    assert (
        "late" in seen
    )  # the simulated log is written after the year: `test_history_asked.py` has the others


# before the book


def test_before_the_book_there_is_no_empty_past(book: Book) -> None:
    dealer, early = book.dealers[0], "1970-01-01T00:00:00Z"

    with pytest.raises(Problem, match="the book begins at"):
        history(book.opened, dealer, ("known_at", early))
    with pytest.raises(Problem, match="speaks of nothing before"):
        history(book.opened, dealer, ("valid_at", early))
    with pytest.raises(Problem, match="speaks of nothing before"):
        rows(book.opened, VIEWS["orders"], ("dealer", dealer), ("valid_at", early))
    query = read_query(VIEWS["dealers"], [], one_row=True)
    with pytest.raises(Problem, match="the book begins at"):
        diff(book.opened, VIEWS["dealers"], [dealer], query, LATER - timedelta(days=30_000), LATER)
