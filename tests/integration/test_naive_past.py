"""Any dealer at any two clocks is what an independent reckoning of the contract says, and at now what is live."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from api.query import read_query
from api.reading import Opened, read_page, shown
from api.views import views_of
from domain.identifiers import unescape
from infra.documents import ROWS
from infra.message import Message
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from projections.sales_rows import FIGURES
from tests.lab.databases import Databases
from tests.lab.events import body, subject_of
from tests.lab.folding import messages
from tests.lab.naive import Event, Known, ledger, orders, read, stock
from tests.lab.naive_accounts import RECOGNISED, receivables, statements, targets
from tests.lab.naive_cards import Book as Cards
from tests.lab.naive_cards import pepsi_shanghai, secondary_quarterly
from tests.lab.naive_sales import sales
from tests.lab.year import opened_on, simulated

EVENTS, CONDUCT, MONEY, TRIPLES = 3600, 300, 300, 300
LATER = datetime(2026, 7, 1, tzinfo=UTC)
SHANGHAI = datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=8)))
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
    log = among(simulated(3, EVENTS - CONDUCT - MONEY))
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


def among(log: list[Message]) -> list[Message]:
    """The log with messages put in of how dealers conduct themselves, of which the simulated year has few."""
    chance = Random(302)
    placed = (m.subject for m in log if m.subject.startswith("channel.orders.") and m.subject[-2:] != "._")
    dealers = sorted({unescape(subject.split(".")[2]) for subject in placed})
    said = [(m.subject, m.body) for m in log]
    for tell, count in ((conduct, CONDUCT), (money, MONEY)):
        for _ in range(count):
            number = chance.randrange(120)
            event = tell(chance, number, dealers[number % len(dealers)])
            said.insert(chance.randrange(len(said)), (subject_of(event), event))
    return messages(said)


def conduct(chance: Random, number: int, dealer: str) -> bytes:
    """A word on one of few cases, complaints or marks, so that they are confirmed, dismissed and said again."""
    data: dict[str, Any] = {"dealer": dealer}
    what = chance.choice(("recorded", "confirmed", "confirmed", "dismissed", "opened", "resolved", "given"))
    if what == "given":
        first, end = chance.choice(list(PERIODS.values()))
        data |= {"period": {"from": f"{first}T00:00:00Z", "to": f"{end}T00:00:00Z"}, "by": "someone"}
        mark = {"grade": chance.choice("優良中差")} if number % 2 else {"value": str(chance.randrange(101))}
        data |= {"criterion": "feedback" if number % 2 else "direct", **mark}
    elif what in ("opened", "resolved"):
        data |= {"complaint": f"K{number}", "kind": "late"}
        if what == "resolved":
            data["decision"] = chance.choice(("refunded", "Unfounded: they were whole", "不成立", None))
    else:
        kind = chance.choice(("price", "underselling", "cross_region", "cross_selling", "display"))
        data |= {"case": f"V{number}", "kind": kind}
    family = {"given": "assessment.input", "opened": "complaint.opened", "resolved": "complaint.resolved"}
    time = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(90 * 24))
    return body(f"{family.get(what, f'violation.{what}')}.v1", time=time, **data)


def money(chance: Random, number: int, dealer: str) -> bytes:
    """A word on one of few invoices, payments, opening balances or targets of a dealer: said again, failed, revised."""
    time = SHANGHAI + timedelta(minutes=chance.randrange(90 * 24 * 60))
    data: dict[str, Any] = {"dealer": dealer, "currency": chance.choice(("CNY", "CNY", "USD"))}
    amount = str(chance.randrange(1, 2000))
    invoice = f"M-I{chance.choice((number, number % 12))}"
    what = chance.choice(("invoice", "credit", "payment", "payment", "failed", "balance", "target", "target"))
    if what in ("invoice", "credit"):
        lines = [{"line": "1", "sku": "SKU-001", "quantity": "1", "net": amount, "tax": "0.13"}]
        data |= {"invoice": f"M-{what[0].upper()}{number}", "lines": lines, "kind": "invoice"}
        data["due"] = (time + timedelta(days=chance.randrange(-3, 60))).isoformat()
        data |= {"kind": "credit_note", "of": invoice} if what == "credit" else {}
        return body("invoice.issued.v1", time=time, **data)
    if what in ("payment", "failed"):
        data |= {"payment": f"M-P{number}"}
        if what == "failed":
            return body(
                "payment.failed.v1", time=time, payment=data["payment"], dealer=dealer, reason="bounced"
            )
        data |= {"amount": amount, "kind": chance.choice(("payment", "payment", "refund"))}
        part = {"invoice": invoice, "amount": str(chance.randrange(1, int(amount) + 1))}
        return body("payment.received.v1", time=time, allocations=[part], **data)
    if what == "balance":
        line = {"invoice": invoice, "amount": amount, "currency": data["currency"]}
        lines = [line | {"due": time.isoformat()}, {"amount": "7", "currency": "CNY"}]
        about = {"balance": f"M-B{number}", "dealer": dealer, "kind": "receivable", "as_of": time.isoformat()}
        return body("balance.opened.v1", time=time, lines=lines, **about)
    first = SHANGHAI + timedelta(days=chance.randrange(80))
    plan: dict[str, Any] = {"target": f"M-T{number}", "scope": {"dealer": dealer}, "flow": "primary"}
    plan |= {"measure": chance.choice(("amount", "amount", "quantity", "collection")), "value": amount}
    plan |= {"from": first.isoformat(), "to": (first + timedelta(days=chance.randrange(1, 40))).isoformat()}
    plan["recognition"] = chance.choice((None, None, *RECOGNISED))
    plan["currency"] = chance.choice((None, data["currency"])) if plan["measure"] != "quantity" else None
    return body(f"target.{chance.choice(('set', 'revised'))}.v1", time=first - timedelta(days=2), **plan)


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
    assert types.count("violation.confirmed.v1") > 50
    assert restated > 20


def asked(
    book: Book,
    view: str,
    known_at: int | None,
    valid_at: datetime | None,
    *more: tuple[str, str],
    **filters: str,
) -> list[dict[str, Any]]:
    said = [*filters.items(), *more, ("limit", "1000")]
    said += [("known_at", str(known_at))] if known_at is not None else []
    said += [("valid_at", valid_at.isoformat())] if valid_at is not None else []
    return shown(read_page(book.opened, VIEWS[view], read_query(VIEWS[view], said), LATER))


def agree(
    book: Book, dealer: str, known_at: int | None, valid_at: datetime | None, *, money: bool = True
) -> int:
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
    if money:
        agree_on_money(book, known, dealer, known_at, valid_at)
    there = {
        (row["sku"], row["lot"]): Decimal(row["on_hand"])
        for row in asked(book, "stock_levels", known_at, valid_at, location=dealer)
        if Decimal(row["on_hand"])
    }
    assert there == stock(known, dealer, valid_at or LATER), (dealer, known_at, valid_at)
    return len(mine) + len(reckoned) + len(by_hand) + len(there)


def agree_on_money(book: Book, known: Known, dealer: str, *clocks: Any) -> None:
    """What is open, the months of the account, and the dealer's own targets."""
    at = clocks[1] or LATER
    views = {
        "receivables": (("currency",), receivables(known, dealer, at)),
        "statements": (("month", "currency"), statements(known, dealer, at)),
        "targets": (("target",), targets(known, dealer, book.dealers, at)),
    }
    for view, (key, by_hand) in views.items():
        theirs = {}
        for row in asked(book, view, *clocks, dealer=dealer):
            place = tuple([date.fromisoformat(row[name]) if name == "month" else row[name] for name in key])
            mine = by_hand.get(place if len(key) > 1 else place[0], {})
            names = mine if view == "targets" else [n for n in row if n not in ("dealer", *key)]
            held = {name: as_said(name, row[name]) for name in names}
            if view != "targets":
                held = {n: v for n, v in held.items() if v or n == "closing"}
            theirs[place if len(key) > 1 else place[0]] = held
        assert theirs == by_hand, (view, dealer, *clocks)


def as_said(name: str, value: Any) -> Any:
    if value is None or name == "currency":
        return value
    return datetime.fromisoformat(value) if name == "oldest_due" else Decimal(value)


def test_300_dealers_at_two_clocks_are_what_an_independent_reckoning_says(book: Book) -> None:
    chance, rows = Random(300), 0
    times = sorted(datetime.fromisoformat(event["time"]) for event in book.valid)
    for number in range(TRIPLES):
        dealer = chance.choice(book.dealers)
        known_at = chance.randint(200, EVENTS)
        valid_at = chance.choice(times[50:]) + timedelta(seconds=chance.randint(-3, 3))
        rows += agree(book, dealer, known_at, valid_at, money=number % 2 == 0)

    assert rows > 10 * TRIPLES / 4


PERIODS = {
    "2025-01": (date(2025, 1, 1), date(2025, 2, 1)),
    "2025-02": (date(2025, 2, 1), date(2025, 3, 1)),
    "2025-Q1": (date(2025, 1, 1), date(2025, 4, 1)),
}


def card_agrees(
    book: Book, dealer: str, period: str, known_at: int | None, valid_at: datetime | None
) -> bool:
    """Hold a dealer's cards to the reckoning; whether there was a score."""
    where = dealer, period, known_at, valid_at
    known = Known(book.valid, known_at or EVENTS, valid_at)
    by_hand = Cards(known, dealer, PERIODS[period], valid_at or LATER)
    score, earned = pepsi_shanghai(by_hand)
    some, deducted = secondary_quarterly(by_hand)
    cards = asked_cards(book, *where)
    if not cards:
        assert not any(part is not None for part, _, _ in (*earned.values(), *some.values())), where
        assert not deducted, where
        return False
    first, second = cards["pepsi-shanghai"], cards["secondary-quarterly"]
    total = None if first["score"] is None else Decimal(first["score"])
    assert (total, judged(first)) == (score, earned), where
    assert {code: one for code, one in judged(second).items() if code in some} == some, where
    taken_off = {one["code"]: (Decimal(one["cases"]), Decimal(one["points"])) for one in second["deductions"]}
    assert taken_off == deducted, where
    return score is not None


def asked_cards(book: Book, dealer: str, period: str, *clocks: Any) -> dict[str, dict[str, Any]]:
    """The dealer's rows by policy, with what they were judged by."""
    both = [("policy", "pepsi-shanghai"), ("policy", "secondary-quarterly")]
    rows = asked(book, "assessments", *clocks, *both, dealer=dealer, period=period)
    for row in rows:
        row |= {name: msgspec.json.decode(row[name]) for name in ("criteria", "deductions")}
    return {row["policy"]: row for row in rows}


def judged(row: dict[str, Any]) -> dict[str, tuple[Decimal | None, ...]]:
    return {
        one["code"]: tuple([None if one.get(name) is None else Decimal(one[name]) for name in JUDGED])
        for one in row["criteria"]
    }


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
