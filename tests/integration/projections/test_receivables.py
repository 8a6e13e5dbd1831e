"""What dealers owe, told by examples and held to the account that the same documents make."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.moment import Moment
from projections.ledger import Invoice, LedgerDay, OpeningItem, Payment, Settlement
from projections.receivables import (
    RECEIVABLES,
    InvoiceBalance,
    Receivable,
    Statement,
    receivables,
    statements,
)
from projections.sales import SALES
from tests.lab.book import LATER, Book, book
from tests.lab.databases import Databases, Where
from tests.lab.events import body, voided
from tests.lab.folding import Worlds, shut
from tests.lab.histories import BEGIN, HOUR, Fact, void_of

D = Decimal
CHINA = timezone(timedelta(hours=8))
MARCH = datetime(2026, 3, 1, 9, tzinfo=CHINA)
DAY = timedelta(days=1)
LAW = settings(max_examples=25, derandomize=True, database=None, deadline=None)
TABLES = (Invoice, Payment, Settlement, OpeningItem, LedgerDay)


@pytest.fixture
def told(built: Where) -> Iterator[Book]:
    yield from book(built, (SALES, RECEIVABLES))


def bill(invoice: str, net: str, time: datetime = MARCH, **more: Any) -> bytes:
    about = {"dealer": "D1", "currency": "CNY", "kind": "invoice"} | more
    lines = [{"line": "1", "sku": "COLA", "quantity": "1", "net": net}]
    return body("invoice.issued.v1", invoice=invoice, time=time, lines=lines, **about)


def paid(payment: str, amount: str, time: datetime = MARCH, *invoices: tuple[str, str], **more: Any) -> bytes:
    about = {"dealer": "D1", "currency": "CNY", "kind": "payment"} | more
    parts = [{"invoice": invoice, "amount": part} for invoice, part in invoices]
    return body("payment.received.v1", payment=payment, time=time, amount=amount, allocations=parts, **about)


def bounced(payment: str, time: datetime) -> bytes:
    return body("payment.failed.v1", payment=payment, dealer="D1", time=time, reason="bounced")


def owed(told: Book, at: datetime = LATER) -> Receivable:
    [row] = told.ask(receivables, at, dealer=["D1"])
    return row


# examples


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (30, "overdue_1_30"),
        (31, "overdue_31_60"),
        (60, "overdue_31_60"),
        (90, "overdue_61_90"),
        (91, "overdue_over_90"),
    ],
)
def test_what_is_overdue_is_told_by_its_age(told: Book, days: int, bucket: str) -> None:
    told.say(bill("I1", "100", due=MARCH), bill("I2", "7", due=MARCH + 500 * DAY), bill("I3", "5"))

    row = owed(told, MARCH + days * DAY)

    assert (row.open, row.overdue, getattr(row, bucket), row.invoices) == (D(112), D(100), D(100), 3)


def test_nothing_is_overdue_before_its_instant(told: Book) -> None:
    told.say(bill("I1", "100", due=MARCH + DAY))

    assert owed(told, MARCH + DAY - HOUR).overdue == 0
    assert owed(told, MARCH + DAY).overdue == D(100)


def test_a_credit_note_settles_the_invoice_it_names_whichever_comes_first(told: Book) -> None:
    told.say(bill("C1", "30", MARCH + DAY, kind="credit_note", of="I1"), bill("I1", "100"))

    assert (owed(told).open, owed(told).unallocated) == (D(70), D(0))
    assert owed(told, MARCH).open == D(100)
    [balance] = told.rows(InvoiceBalance)
    assert (balance.settled, balance.open) == (D(30), D(70))


def test_a_credit_note_that_names_no_invoice_is_not_lost(told: Book) -> None:
    told.say(bill("I1", "100"), bill("C1", "30", kind="credit_note"))

    assert (owed(told).open, owed(told).unallocated) == (D(100), D(30))


def test_a_payment_that_bounces_reinstates_the_debt_from_that_instant(told: Book) -> None:
    told.say(bill("I1", "100"), paid("P1", "100", MARCH + DAY, ("I1", "100")), bounced("P1", MARCH + 3 * DAY))

    assert told.ask(receivables, MARCH + 2 * DAY) == []
    assert owed(told, MARCH + 3 * DAY).open == D(100)


def test_a_void_of_the_bounce_makes_the_payment_good_again(told: Book) -> None:
    told.say(bill("I1", "100"), paid("P1", "100", MARCH + DAY, ("I1", "100")))
    told.say(
        body("payment.failed.v1", id="b", payment="P1", dealer="D1", time=MARCH + 3 * DAY, reason="bounced")
    )

    told.say(voided("b", family="field", time=MARCH + 4 * DAY))

    assert told.ask(receivables) == []


def test_what_is_paid_before_it_is_owed_waits_and_a_refund_takes_it_back(told: Book) -> None:
    told.say(paid("P1", "80", kind="prepayment"))
    before = owed(told)

    told.say(paid("P2", "30", MARCH + DAY, kind="refund"))

    assert (before.open, before.unallocated, owed(told).unallocated) == (D(0), D(80), D(50))


def test_a_payment_in_another_currency_does_not_settle_an_invoice(told: Book) -> None:
    told.say(bill("I1", "100"), paid("P1", "100", MARCH, ("I1", "100"), currency="USD"))

    found = {row.currency: (row.open, row.unallocated) for row in told.ask(receivables)}

    assert found == {"CNY": (D(100), D(0)), "USD": (D(0), D(100))}
    [balance] = told.rows(InvoiceBalance)
    assert (balance.currency, balance.settled) == ("CNY", D(0))


def test_an_opening_balance_is_owed_by_invoice_and_can_be_paid(told: Book) -> None:
    lines = [
        {"invoice": "OLD", "amount": "40", "currency": "CNY", "due": MARCH},
        {"amount": "10", "currency": "CNY"},
    ]
    about = {"dealer": "D1", "kind": "receivable", "as_of": MARCH - DAY, "time": MARCH}
    told.say(body("balance.opened.v1", balance="B1", lines=lines, **about))

    first = owed(told, MARCH + DAY)
    told.say(paid("P1", "40", MARCH + 2 * DAY, ("OLD", "40")))

    assert (first.open, first.overdue) == (D(50), D(40))
    assert (owed(told).open, owed(told).overdue) == (D(10), D(0))


def test_months_of_a_statement_chain_and_currencies_stay_apart(told: Book) -> None:
    april = datetime(2026, 4, 30, 23, tzinfo=CHINA)
    told.say(
        bill("I1", "100"),
        bill("I2", "9", currency="USD"),
        paid("P1", "60", april),
        bill("C1", "10", april, kind="credit_note"),
    )

    found = told.ask(statements)

    assert [
        (s.currency, s.month, s.opening, s.closing)
        for s in sorted(found, key=lambda s: (s.currency, s.month))
    ] == [
        ("CNY", date(2026, 3, 1), D(0), D(100)),
        ("CNY", date(2026, 4, 1), D(100), D(30)),
        ("USD", date(2026, 3, 1), D(0), D(9)),
    ]


def test_what_is_true_is_in_the_statement_though_it_is_a_day_later_there_than_in_utc(told: Book) -> None:
    april = datetime(2026, 4, 1, 0, 30, tzinfo=CHINA)  # in UTC it is March still
    told.say(bill("I1", "100"), paid("P1", "40", april))

    months = told.ask(statements, april.astimezone(UTC) + HOUR)

    assert [(one.month, one.closing) for one in months] == [
        (date(2026, 3, 1), D(100)),
        (date(2026, 4, 1), D(60)),
    ]


def test_a_failure_dated_before_its_payment_takes_back_what_the_payment_settled_and_no_more(
    told: Book,
) -> None:
    told.say(
        bill("I1", "100", due=MARCH + 2 * DAY),
        paid("P1", "100", MARCH + 3 * DAY, ("I1", "100")),
        bounced("P1", MARCH + DAY),
    )

    [balance] = told.rows(InvoiceBalance)

    assert (balance.settled, balance.in_time, balance.open, balance.late) == (D(0), D(0), D(100), 1)


def ordered(order: str, quantity: str, net: str) -> bytes:
    line = {"line": "1", "sku": "COLA", "quantity": quantity, "unit_price": "1", "net": net}
    return body("order.placed.v1", order=order, dealer="D1", currency="CNY", time=MARCH, lines=[line])


def sent(order: str, quantity: str, time: datetime) -> bytes:
    about = {"delivery": f"L-{order}", "order": order, "dealer": "D1", "time": time}
    lines = [{"line": "1", "order_line": "1", "sku": "COLA", "quantity": quantity}]
    return body("delivery.dispatched.v1", lines=lines, **about)


def arrived(order: str, accepted: str, time: datetime) -> bytes:
    about = {"delivery": f"L-{order}", "receipt": "1", "dealer": "D1", "time": time, "arrived": time}
    lines = [{"line": "1", "sku": "COLA", "accepted": accepted}]
    return body("delivery.received.v1", lines=lines, **about)


def came_back(order: str, quantity: str, time: datetime) -> bytes:
    about = {"dealer": "D1", "time": time, "direction": "to_company", "reason": "aged", "order": order}
    line = {"sku": "COLA", "quantity": quantity, "condition": "sellable"}
    return body("return.received.v1", return_="R1", lines=[line], **about)


def test_goods_stand_beside_the_account_and_move_nothing(told: Book) -> None:
    told.say(
        bill("I1", "100", MARCH + 62 * DAY),
        ordered("O1", "10", "100"),
        sent("O1", "10", MARCH + 30 * DAY),
        came_back("O1", "2", MARCH + 31 * DAY),
    )
    dispatched = told.ask(statements)

    told.say(arrived("O1", "9", MARCH + 31 * DAY))
    accepted = told.ask(statements)

    def goods(rows: list[Statement]) -> list[tuple[Any, ...]]:
        return [
            (s.month.month, s.delivered, s.delivered_net, s.returned, s.opening, s.closing)
            for s in rows
            if s.currency == "CNY"
        ]

    assert goods(dispatched) == [
        (3, D(10), D(100), D(0), D(0), D(0)),
        (4, D(0), D(0), D(2), D(0), D(0)),
        (5, D(0), D(0), D(0), D(0), D(100)),
    ]
    assert goods(accepted) == [
        (4, D(9), D(90), D(2), D(0), D(0)),
        (5, D(0), D(0), D(0), D(0), D(100)),
    ]


def test_an_invoice_is_late_when_not_all_of_it_was_settled_by_the_instant_it_was_due(told: Book) -> None:
    due = MARCH + 10 * DAY
    told.say(
        bill("I1", "100", due=due),
        bill("I2", "100", due=due),
        bill("I3", "100"),
        paid("P1", "100", due, ("I1", "100")),
        paid("P2", "100", due + HOUR, ("I2", "100")),
    )

    assert [(b.invoice, b.falls_due, b.late) for b in told.rows(InvoiceBalance)] == [
        ("I1", 1, 0),
        ("I2", 1, 1),
        ("I3", 0, 0),
    ]


# laws

amounts = st.sampled_from(["10", "0.01", "33.333333", "100"])
currencies = st.sampled_from(["CNY", "CNY", "USD"])


@st.composite
def facts(draw: st.DrawFn, id: str, time: datetime) -> Fact:
    """One fact about the account of one of two dealers."""
    dealer = {"dealer": draw(st.sampled_from(["@D1", "@D1", "@D2"])), "currency": draw(currencies)}
    kind = draw(
        st.sampled_from(["invoice", "invoice", "credit_note", "paid", "paid", "refund", "failed", "opened"])
    )
    names = st.sampled_from(["@I1", "@I2", "@I3"])
    if kind in ("invoice", "credit_note"):
        line = {"line": "1", "sku": "COLA", "quantity": "1", "net": draw(amounts), "tax": draw(amounts)}
        data = dealer | {
            "invoice": draw(names) if kind == "invoice" else "@C1",
            "kind": kind,
            "lines": [line],
        }
        of = draw(st.one_of(st.none(), names)) if kind == "credit_note" else None
        return Fact("invoice.issued.v1", id, time, data | {"of": of, "due": time + 5 * DAY})
    if kind == "failed":
        data = {
            "payment": draw(st.sampled_from(["@P1", "@P2"])),
            "dealer": dealer["dealer"],
            "reason": "bounced",
        }
        return Fact("payment.failed.v1", id, time, data)
    if kind == "opened":
        lines = [{"invoice": draw(names), "amount": draw(amounts), "currency": draw(currencies)}]
        data = {
            "balance": "@B1",
            "dealer": dealer["dealer"],
            "kind": "receivable",
            "as_of": time,
            "lines": lines,
        }
        return Fact("balance.opened.v1", id, time, data)
    parts = [{"invoice": draw(names), "amount": draw(amounts)} for _ in range(draw(st.integers(0, 2)))]
    data = dealer | {
        "payment": draw(st.sampled_from(["@P1", "@P2"])),
        "amount": draw(amounts),
        "allocations": parts,
    }
    return Fact("payment.received.v1", id, time, data | {"kind": "refund" if kind == "refund" else "payment"})


@st.composite
def accounts(draw: st.DrawFn, *, voids: bool = True) -> list[Fact]:
    """Facts, each at an instant of its own, and withdrawals of some."""
    hours = draw(st.lists(st.integers(0, 900), min_size=2, max_size=12, unique=True))
    found = [draw(facts(f"@e{number}", BEGIN + hour * HOUR)) for number, hour in enumerate(hours)]
    for number in range(draw(st.integers(0, 2)) if voids else 0):
        found.append(void_of(draw(st.sampled_from(found)), f"@v{number}", BEGIN + (1000 + number) * HOUR))
    return found


@pytest.fixture(scope="module")
def worlds(databases: Databases) -> Iterator[Worlds]:
    worlds = Worlds(databases.new(), (SALES, RECEIVABLES))
    yield worlds
    shut(worlds.engine)


def rows(worlds: Worlds, *batches: list[Fact]) -> dict[str, list[Any]]:
    world = worlds.fold(*batches)
    return {kind.__name__: worlds.rows(kind, world) for kind in TABLES}


@LAW
@given(history=accounts(), data=st.data())
def test_accounts_depend_neither_on_the_order_of_arrival_nor_on_batches(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    other = data.draw(st.permutations(history))

    assert rows(worlds, history) == rows(worlds, *[[fact] for fact in other])


@LAW
@given(history=accounts(voids=False), data=st.data())
def test_an_event_and_its_void_leave_accounts_as_without_both(
    worlds: Worlds, history: list[Fact], data: Any
) -> None:
    gone = data.draw(st.sampled_from(history))

    published = data.draw(st.permutations([*history, void_of(gone, "@v")]))

    assert rows(worlds, published) == rows(worlds, [fact for fact in history if fact is not gone])


@LAW
@given(history=accounts())
def test_what_is_open_less_what_is_not_allocated_is_what_the_statement_closes_with(
    worlds: Worlds, history: list[Fact]
) -> None:
    world = worlds.fold(history)
    days = {
        (world + day.dealer, day.currency, day.day.replace(day=1)): D(0)
        for day in worlds.rows(LedgerDay, world)
    }
    for day in worlds.rows(LedgerDay, world):
        days[world + day.dealer, day.currency, day.day.replace(day=1)] += day.opening

    owed, months = asked(worlds, world, receivables, LATER), asked(worlds, world, statements, LATER)

    last: dict[tuple[str, str], Statement] = {}
    for month in months:
        before = last.get((month.dealer, month.currency))
        assert before is None or before.month < month.month
        opened = days[month.dealer, month.currency, month.month]
        assert month.opening == (before.closing if before else D(0)) + opened
        last[month.dealer, month.currency] = month
    balances = {(row.dealer, row.currency): row.open - row.unallocated for row in owed}
    assert {k: b for k, b in balances.items() if b} == {k: s.closing for k, s in last.items() if s.closing}


@LAW
@given(history=accounts(), hour=st.integers(0, 1000))
def test_what_is_open_at_any_instant_is_what_a_bookkeeper_reckons(
    worlds: Worlds, history: list[Fact], hour: int
) -> None:
    world, at = worlds.fold(history), BEGIN + hour * HOUR

    found = asked(worlds, world, receivables, at)

    assert {(row.dealer, row.currency): (row.open, row.invoices) for row in found if row.open} == {
        (world + dealer, currency): held for (dealer, currency), held in reckoned(worlds, world, at).items()
    }


def asked(worlds: Worlds, world: str, answer: Any, at: datetime) -> list[Any]:
    with worlds.engine.database.engine.connect() as connection:
        return list(answer(Moment(connection, ()), at, {"dealer": [f"{world}D1", f"{world}D2"]}))


def reckoned(worlds: Worlds, world: str, at: datetime) -> dict[tuple[str, str], tuple[Decimal, int]]:
    """What is open by dealer and currency, item by item: the oldest books first."""
    items = [(i.dealer, i.invoice, i.currency, i.amount, i.as_of) for i in worlds.rows(OpeningItem, world)]
    invoices = [i for i in worlds.rows(Invoice, world) if i.kind == "invoice"]
    items += [(i.dealer, i.invoice, i.currency, i.amount, i.issued) for i in invoices]
    settled: dict[tuple[str, str, str], Decimal] = {}
    for part in worlds.rows(Settlement, world):
        if part.at <= at:
            place = part.dealer, part.invoice, part.currency
            settled[place] = settled.get(place, D(0)) + part.amount
    found: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for dealer, invoice, currency, amount, since in items:
        if since is not None and since <= at:
            rest = amount - settled.get((dealer, invoice, currency), D(0))
            settled[dealer, invoice, currency] = max(D(0), -rest)
            if rest > 0:
                held = found.get((dealer, currency), (D(0), 0))
                found[dealer, currency] = held[0] + rest, held[1] + 1
    return found
