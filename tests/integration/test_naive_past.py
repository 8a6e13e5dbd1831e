"""Any dealer at any two clocks is what an independent reckoning of the contract says, and at now what is live."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from api.query import read_query
from api.reading import Opened, read_page, shown
from api.views import views_of
from infra.documents import ROWS
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from projections.sales_rows import FIGURES
from tests.lab.databases import Databases
from tests.lab.naive import Event, Known, ledger, orders, read, stock
from tests.lab.naive_cards import Book as Cards
from tests.lab.naive_cards import pepsi_shanghai
from tests.lab.naive_sales import sales
from tests.lab.year import opened_on, simulated

EVENTS, TRIPLES = 3000, 300
LATER = datetime(2026, 7, 1, tzinfo=UTC)
VIEWS = views_of(PROJECTIONS, {INDEX: ROWS})
SALE = ("day", "sku", "stated_rep", "stated_territory", "currency")
JUDGED = ("part", "whole", "earned")
LEDGER_FIELDS = ("opening", "invoiced", "credited", "paid", "refunded", "failed")


class Book(Struct):
    opened: Opened
    valid: list[Event]  # the messages that say something, duplicates and conflicts among them
    dealers: list[str]


@pytest.fixture(scope="module")
def book(files: Databases) -> Iterator[Book]:
    log = simulated(3, EVENTS)
    opened = opened_on(files.new(), log)
    with opened.reader() as reader:
        run = reader.connection.exec_driver_sql
        refused = {
            n for (n,) in run("SELECT sequence FROM events WHERE status IN ('invalid', 'not_understood')")
        }
        dealers = [dealer for (dealer,) in run("SELECT DISTINCT dealer FROM orders ORDER BY 1")]
    valid = [read(m.sequence, m.subject, m.body) for m in log if m.sequence not in refused]
    yield Book(opened, valid, dealers)
    opened.close()


def test_the_year_has_what_makes_it_hard(book: Book) -> None:
    with book.opened.reader() as reader:
        run = reader.connection.exec_driver_sql
        statuses = {status for (status,) in run("SELECT DISTINCT status FROM events")}
        late = run("SELECT COUNT(*) FROM events WHERE recorded - effective > 86400000000").scalar()
    types = [event["type"] for event in book.valid]
    restated = len(types) - len(
        {(e["type"], e["subject"], str(e["data"].get("receipt"))) for e in book.valid}
    )

    assert statuses >= {"accepted", "duplicate", "conflict", "invalid"}
    assert late
    assert types.count("event.voided.v1") > 5
    assert restated > 20


def asked(
    book: Book, view: str, known_at: int | None, valid_at: datetime | None, **filters: str
) -> list[dict[str, Any]]:
    said = [*filters.items(), ("limit", "1000")]
    said += [("known_at", str(known_at))] if known_at is not None else []
    said += [("valid_at", valid_at.isoformat())] if valid_at is not None else []
    return shown(read_page(book.opened, VIEWS[view], read_query(VIEWS[view], said), LATER))


def agree(book: Book, dealer: str, known_at: int | None, valid_at: datetime | None) -> int:
    """Hold the views of a dealer to the reckoning; how many rows there were."""
    known = Known(book.valid, known_at or EVENTS, valid_at)
    mine = orders(known, dealer)
    theirs = {
        row["order"]: {
            "status": row["status"],
            "day": date.fromisoformat(row["day"]) if row["day"] else None,
            **{name: Decimal(row[name]) for name in ("quantity", "net", "dispatched", "accepted")},
        }
        for row in asked(book, "orders", known_at, valid_at, dealer=dealer)
    }
    assert theirs == mine, (dealer, known_at, valid_at)
    owed = {
        (date.fromisoformat(row["day"]), row["currency"]): {
            name: Decimal(row[name]) for name in LEDGER_FIELDS if Decimal(row[name])
        }
        for row in asked(book, "ledger_days", known_at, valid_at, dealer=dealer)
    }
    reckoned = {place: {n: v for n, v in held.items() if v} for place, held in ledger(known, dealer).items()}
    assert owed == reckoned, (dealer, known_at, valid_at)
    sold = {
        (date.fromisoformat(row["day"]), *[row[name] for name in SALE[1:]]): {
            name: Decimal(row[name]) for name in FIGURES if Decimal(row[name])
        }
        for row in asked(book, "sales", known_at, valid_at, dealer=dealer)
    }
    by_hand = sales(known, dealer)
    assert {place: held for place, held in sold.items() if held} == by_hand, (dealer, known_at, valid_at)
    there = {
        (row["sku"], row["lot"]): Decimal(row["on_hand"])
        for row in asked(book, "stock_levels", known_at, valid_at, location=dealer)
        if Decimal(row["on_hand"])
    }
    # What was at a place is reckoned from all that is known, and not from what had been said by then.
    assert there == stock(Known(book.valid, known_at or EVENTS, None), dealer, valid_at or LATER)
    return len(mine) + len(reckoned) + len(by_hand) + len(there)


def test_300_dealers_at_two_clocks_are_what_an_independent_reckoning_says(book: Book) -> None:
    chance, rows = Random(300), 0
    times = sorted(datetime.fromisoformat(event["time"]) for event in book.valid)
    for _ in range(TRIPLES):
        dealer = chance.choice(book.dealers)
        known_at = chance.randint(200, EVENTS)
        valid_at = chance.choice(times[50:]) + timedelta(seconds=chance.randint(-3, 3))
        rows += agree(book, dealer, known_at, valid_at)

    assert rows > 10 * TRIPLES / 4


PERIODS = {
    "2025-01": (date(2025, 1, 1), date(2025, 2, 1)),
    "2025-02": (date(2025, 2, 1), date(2025, 3, 1)),
    "2025-Q1": (date(2025, 1, 1), date(2025, 4, 1)),
}


def card_agrees(
    book: Book, dealer: str, period: str, known_at: int | None, valid_at: datetime | None
) -> bool:
    """Hold a dealer's card to the reckoning; whether there was a score."""
    where = dealer, period, known_at, valid_at
    rows = asked(
        book, "assessments", known_at, valid_at, dealer=dealer, period=period, policy="pepsi-shanghai"
    )
    # As stock is: from all that is known, by the instant.
    known = Known(book.valid, known_at or EVENTS, None)
    score, earned = pepsi_shanghai(Cards(known, dealer, PERIODS[period], valid_at or LATER))
    if not rows:
        assert not any(part is not None for part, _, _ in earned.values()), where
        return False
    [row] = rows
    theirs = {
        one["code"]: tuple([None if one.get(name) is None else Decimal(one[name]) for name in JUDGED])
        for one in msgspec.json.decode(row["criteria"])
    }
    total = None if row["score"] is None else Decimal(row["score"])
    assert (total, theirs) == (score, earned), where
    return score is not None


def test_300_cards_at_two_clocks_are_what_an_independent_reckoning_says(book: Book) -> None:
    chance, scored = Random(301), 0
    times = sorted(datetime.fromisoformat(event["time"]) for event in book.valid)
    for _ in range(TRIPLES):
        dealer, period = chance.choice(book.dealers), chance.choice(list(PERIODS))
        scored += card_agrees(book, dealer, period, chance.randint(200, EVENTS), chance.choice(times[50:]))

    assert scored > TRIPLES / 4


def test_at_now_every_dealer_is_what_is_live(book: Book) -> None:
    assert sum(agree(book, dealer, None, None) for dealer in book.dealers) > len(book.dealers)
    assert sum(card_agrees(book, dealer, "2025-Q1", None, None) for dealer in book.dealers) > 10
