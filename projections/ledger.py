"""Invoices, payments and opening balances: what each document settles, and what it moves a dealer's account by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from msgspec import Struct

from domain.calendar import business_day
from domain.numbers import ZERO, Money
from domain.orders import InvoiceIssued, PaymentFailed, PaymentReceived
from domain.stock import BalanceLine, BalanceOpened
from projections.documents import Change, Document
from projections.rows import Key, Row, Rows, table


@table(
    "invoices",
    key=("dealer", "invoice"),
    indexes=(("issued",), ("order", "dealer"), ("due_day",)),
    appears="issued",
    period="issued",
)
class Invoice(Row):
    """One invoice or credit note, as it was issued. What is settled of it: `invoice_balances`."""

    dealer: str
    invoice: str
    kind: str = ""  # invoice or credit_note
    issued: datetime | None = None
    day: date | None = None
    due: datetime | None = None
    due_day: date | None = None
    order: str = ""
    of: str = ""  # the invoice a credit note is for
    currency: str = ""
    net: Money = ZERO
    tax: Money = ZERO
    amount: Money = ZERO  # net and tax


@table("payments", key=("dealer", "payment"), indexes=(("received",),), appears="received", period="received")
class Payment(Row):
    """Money from a dealer, or a refund to it; figures of either kind are positive."""

    dealer: str
    payment: str
    kind: str = ""
    received: datetime | None = None
    day: date | None = None
    currency: str = ""
    amount: Money = ZERO
    allocated: Money = ZERO
    method: str = ""
    failed: datetime | None = None
    failed_day: date | None = None
    reason: str = ""


@table("settlements", key=("dealer", "invoice", "document", "at"), appears="at")
class Settlement(Row):
    """What one document, as kind/id, settled of an invoice at one instant; below zero where a payment failed."""

    dealer: str
    invoice: str
    document: str
    at: datetime
    currency: str = ""
    amount: Money = ZERO


@table("opening_items", key=("dealer", "balance", "line"), appears="as_of")
class OpeningItem(Row):
    """What a dealer already owed when its books were opened here: one line of an opening balance."""

    dealer: str
    balance: str
    line: int
    invoice: str = ""
    as_of: datetime | None = None
    due: datetime | None = None
    currency: str = ""
    amount: Money = ZERO


@table("ledger_days", key=("dealer", "day", "currency"), period="day")
class LedgerDay(Row):
    """What moved a dealer's account on one day: it owes more by opening, invoiced, refunded and failed."""

    dealer: str
    day: date
    currency: str
    opening: Money = ZERO
    invoiced: Money = ZERO
    credited: Money = ZERO
    paid: Money = ZERO
    refunded: Money = ZERO
    failed: Money = ZERO


class Account(Struct, gc=False):
    """What one document does to a dealer's account."""

    days: dict[tuple[date, str], dict[str, Decimal]]
    settlements: dict[tuple[str, datetime], tuple[str, Decimal]]
    items: dict[int, BalanceLine]
    as_of: datetime | None = None

    def move(self, day: date, currency: str, field: str, amount: Decimal) -> None:
        held = self.days.setdefault((day, currency), {})
        held[field] = held.get(field, ZERO) + amount

    def settle(self, invoice: str, at: datetime, currency: str, amount: Decimal) -> None:
        held = self.settlements.get((invoice, at), (currency, ZERO))
        self.settlements[invoice, at] = currency, held[1] + amount


NOTHING = Account({}, {}, {})


def account(document: Document | None) -> Account:
    """What a document's statements do to the account; nothing for one that does not stand."""
    return NOTHING if document is None else _account(document)


@lru_cache(maxsize=2048)
def _account(document: Document) -> Account:
    found = Account({}, {}, {})
    if document.kind == "invoice":
        _invoiced(document, found)
    elif document.kind == "payment":
        _paid(document, found)
    else:
        _opened(document, found)
    return found


def _invoiced(document: Document, found: Account) -> None:
    event = document.one(InvoiceIssued)
    if event is None:
        return
    data, amount = event.data, gross(event.data)
    issued = document.opened(InvoiceIssued) or event.time
    field = "invoiced" if data.kind == "invoice" else "credited"
    found.move(business_day(issued), data.currency, field, amount)
    if data.kind == "credit_note" and data.of is not None:
        found.settle(data.of, issued, data.currency, amount)


def _paid(document: Document, found: Account) -> None:
    event = document.one(PaymentReceived)
    if event is None:
        return
    data, at = event.data, document.opened(PaymentReceived) or event.time
    refund = data.kind == "refund"
    found.move(business_day(at), data.currency, "refunded" if refund else "paid", data.amount)
    sign = -1 if refund else 1
    for part in data.allocations:
        found.settle(part.invoice, at, data.currency, sign * part.amount)
    failed = document.opened(PaymentFailed)
    if failed is not None:
        found.move(business_day(failed), data.currency, "failed", sign * data.amount)
        undone = max(failed, at)
        for part in data.allocations:
            found.settle(part.invoice, undone, data.currency, -sign * part.amount)


def _opened(document: Document, found: Account) -> None:
    event = document.one(BalanceOpened)
    if event is None or event.data.kind != "receivable":
        return
    found.as_of = event.data.as_of
    for number, line in enumerate(event.data.lines, 1):
        if line.amount is not None:
            found.move(business_day(event.data.as_of), line.currency or "", "opening", line.amount)
            found.items[number] = line


def gross(invoice: InvoiceIssued) -> Decimal:
    """Net and tax of all lines."""
    return sum([line.net + (line.tax or ZERO) for line in invoice.lines], ZERO)


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    dealer, name = change.document.dealer, change.document.id
    if change.kind == "invoice":
        yield Invoice, (dealer, name)
    elif change.kind == "payment":
        yield Payment, (dealer, name)
    for done in (account(change.before), account(change.after)):
        for day, currency in done.days:
            yield LedgerDay, (dealer, day, currency)


def fold(change: Change, rows: Rows) -> None:
    """Take off what the document did to the account before and put on what it does now."""
    dealer = change.document.dealer
    if change.kind == "invoice":
        _put_invoice(rows.edit(Invoice, dealer, change.document.id), change.after)
    elif change.kind == "payment":
        _put_payment(rows.edit(Payment, dealer, change.document.id), change.after)
    old, new = account(change.before), account(change.after)
    for place in {**old.days, **new.days}:
        before, after = old.days.get(place, {}), new.days.get(place, {})
        if before != after:
            row = rows.edit(LedgerDay, dealer, *place)
            for field in {**before, **after}:
                delta = after.get(field, ZERO) - before.get(field, ZERO)
                setattr(row, field, getattr(row, field) + delta)
    name = f"{change.kind}/{change.document.id}"
    for part in {**old.settlements, **new.settlements}:
        was, now = old.settlements.get(part, ("", ZERO)), new.settlements.get(part, ("", ZERO))
        if was != now:
            invoice, at = part
            rows.put(Settlement(dealer, invoice, name, at, *now))
    for number in {**old.items, **new.items}:
        rows.put(_item(dealer, change.document.id, number, new))


def _item(dealer: str, balance: str, number: int, held: Account) -> OpeningItem:
    line = held.items.get(number)
    if line is None:
        return OpeningItem(dealer, balance, number)
    about = line.invoice or "", held.as_of, line.due, line.currency or "", line.amount or ZERO
    return OpeningItem(dealer, balance, number, *about)


def _put_invoice(row: Invoice, document: Document | None) -> None:
    blank = Invoice(row.dealer, row.invoice)
    for name in Invoice.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    event = document.one(InvoiceIssued) if document is not None else None
    if event is None or document is None:
        return
    data = event.data
    row.kind, row.currency, row.due = data.kind, data.currency, data.due
    row.issued = document.opened(InvoiceIssued)
    row.day = business_day(row.issued or event.time)
    row.due_day = business_day(data.due) if data.due is not None else None
    row.order, row.of = data.order or "", data.of or ""
    row.net = sum([line.net for line in data.lines], ZERO)
    row.amount = gross(data)
    row.tax = row.amount - row.net


def _put_payment(row: Payment, document: Document | None) -> None:
    blank = Payment(row.dealer, row.payment)
    for name in Payment.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    if document is None:
        return
    if (event := document.one(PaymentReceived)) is not None:
        data = event.data
        row.kind, row.currency, row.amount, row.method = (
            data.kind,
            data.currency,
            data.amount,
            data.method or "",
        )
        row.received = document.opened(PaymentReceived)
        row.day = business_day(row.received or event.time)
        row.allocated = sum([part.amount for part in data.allocations], ZERO)
    if (failed := document.one(PaymentFailed)) is not None:
        row.failed, row.reason = document.opened(PaymentFailed), failed.data.reason
        row.failed_day = business_day(row.failed or failed.time)
