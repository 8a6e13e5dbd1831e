"""What dealers owe: invoices, payments, what is overdue, and the statement of every month (對賬單)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import Struct

from domain.calendar import business_day
from domain.numbers import ZERO, Money
from domain.orders import InvoiceIssued, PaymentFailed, PaymentReceived
from domain.stock import BalanceLine, BalanceOpened
from projections.documents import Change, Document
from projections.projection import Computed, Projection
from projections.rows import Key, Row, Rows, Tables, table, view


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


@table("settlements", key=("dealer", "invoice", "document", "at"))
class Settlement(Row):
    """What one document, as kind/id, settled of an invoice at one instant; below zero where a payment failed."""

    dealer: str
    invoice: str
    document: str
    at: datetime
    currency: str = ""
    amount: Money = ZERO


@table("opening_items", key=("dealer", "balance", "line"))
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


ACCOUNT = ("opening", "invoiced", "credited", "paid", "refunded", "failed")


# What settles an invoice is in its own currency: two are never added, so any other leaves it open.
_SETTLED = """CAST(COALESCE((SELECT SUM(s.amount) FROM settlements s WHERE s.dealer = i.dealer
AND s.invoice = i.invoice AND s.currency = i.currency{}), 0) AS BIGINT)"""
_IN_TIME = _SETTLED.format(" AND s.at <= i.due")


@view(
    "invoice_balances",
    key=("dealer", "invoice"),
    period="due_day",
    sql=f"""SELECT i.dealer, i.invoice, i.day, i.due, i.due_day, i.currency, i.amount, {_SETTLED.format("")},
i.amount - {_SETTLED.format("")}, {_IN_TIME}, CASE WHEN i.due IS NULL THEN 0 ELSE 1 END,
CASE WHEN i.due IS NULL OR {_IN_TIME} >= i.amount THEN 0 ELSE 1 END
FROM invoices i WHERE i.kind = 'invoice'""",
)
class InvoiceBalance(Row):
    """What is settled of an invoice, whatever the time; the counts are 0 or 1, to be summed once its day is over."""

    dealer: str
    invoice: str
    day: date | None = None
    due: datetime | None = None
    due_day: date | None = None
    currency: str = ""
    amount: Money = ZERO
    settled: Money = ZERO  # by payments that are good, and by credit notes
    open: Money = ZERO
    in_time: Money = ZERO  # settled by the instant it was due
    falls_due: int = 0
    late: int = 0  # not all of it was settled in time


@view("receivables", key=("dealer", "currency"))
class Receivable(Row):
    """What a dealer owes in one currency; what is past its due instant is overdue, by days of age.

    `open` less `unallocated` is what the account stands at.
    """

    dealer: str
    currency: str
    open: Money = ZERO
    overdue: Money = ZERO
    overdue_1_30: Money = ZERO
    overdue_31_60: Money = ZERO
    overdue_61_90: Money = ZERO
    overdue_over_90: Money = ZERO
    invoices: int = 0  # that are not settled, and items of an opening balance
    oldest_due: datetime | None = None
    unallocated: Money = (
        ZERO  # paid or credited, and it settles nothing: not said for what, or more than was owed
    )


@view("statements", key=("dealer", "month", "currency"), period="month")
class Statement(Row):
    """A dealer's account over one calendar month: closing = opening + what moved it."""

    dealer: str
    month: date
    currency: str
    opening: Money = ZERO
    invoiced: Money = ZERO
    credited: Money = ZERO
    paid: Money = ZERO
    refunded: Money = ZERO
    failed: Money = ZERO
    closing: Money = ZERO


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


@lru_cache(maxsize=4096)
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
    failed = document.one(PaymentFailed)
    if failed is not None:
        found.move(business_day(failed.time), data.currency, "failed", sign * data.amount)
        for part in data.allocations:
            found.settle(part.invoice, failed.time, data.currency, -sign * part.amount)


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
        row.failed, row.failed_day, row.reason = failed.time, business_day(failed.time), failed.data.reason


_AGES = ((30, "overdue_1_30"), (60, "overdue_31_60"), (90, "overdue_61_90"))


class _Owed(Struct, frozen=True, gc=False):
    """One item that a dealer owes or owed."""

    amount: Decimal
    due: datetime | None


def receivables(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Receivable]:
    """What every dealer owed at an instant: of its invoices what nothing had settled by then."""
    wanted = {name: filters[name] for name in ("dealer",) if name in filters}
    owed, credits = _items(tables, at, wanted)
    settled: dict[tuple[str, str, str], Decimal] = {}
    for part in tables.select(Settlement, **wanted):
        place = part.dealer, part.invoice, part.currency
        if part.at <= at and place in owed:
            settled[place] = settled.get(place, ZERO) + part.amount
    found: dict[tuple[str, str], Receivable] = {}
    for (dealer, invoice, currency), items in owed.items():
        row = found.setdefault((dealer, currency), Receivable(dealer, currency))
        left = settled.get((dealer, invoice, currency), ZERO)
        row.unallocated -= left  # what settles an item is a part of what was paid, added below
        for item in items:
            rest = item.amount - left
            left = max(ZERO, -rest)
            if rest > ZERO:
                _owe(row, item.due, rest, at)
        row.unallocated += left
    for (dealer, currency), amount in credits.items():
        found.setdefault((dealer, currency), Receivable(dealer, currency)).unallocated += amount
    for _, row in sorted(found.items()):
        if row.open or row.unallocated:
            yield row


def _items(
    tables: Tables, at: datetime, wanted: Mapping[str, Sequence[Any]]
) -> tuple[dict[tuple[str, str, str], list[_Owed]], dict[tuple[str, str], Decimal]]:
    """By dealer, invoice and currency what was charged by an instant; by dealer and currency what was paid."""
    owed: dict[tuple[str, str, str], list[_Owed]] = {}
    credits: dict[tuple[str, str], Decimal] = {}

    def credit(dealer: str, currency: str, amount: Decimal) -> None:
        credits[dealer, currency] = credits.get((dealer, currency), ZERO) + amount

    for item in tables.select(OpeningItem, **wanted):
        if item.as_of is not None and item.as_of <= at:
            if item.amount < ZERO:
                credit(item.dealer, item.currency, -item.amount)
            else:
                place = item.dealer, item.invoice, item.currency
                owed.setdefault(place, []).append(_Owed(item.amount, item.due))
    for invoice in tables.select(Invoice, **wanted):
        if invoice.issued is None or invoice.issued > at:
            continue
        if invoice.kind == "credit_note":
            credit(invoice.dealer, invoice.currency, invoice.amount)
        else:
            place = invoice.dealer, invoice.invoice, invoice.currency
            owed.setdefault(place, []).append(_Owed(invoice.amount, invoice.due))
    for payment in tables.select(Payment, **wanted):
        if payment.received is None or payment.received > at:
            continue
        if payment.failed is None or payment.failed > at:
            sign = -1 if payment.kind == "refund" else 1
            credit(payment.dealer, payment.currency, sign * payment.amount)
    return owed, credits


def _owe(row: Receivable, due: datetime | None, amount: Decimal, at: datetime) -> None:
    row.open += amount
    row.invoices += 1
    if due is not None and due <= at:
        row.overdue += amount
        days = (at - due).days
        field = next((name for most, name in _AGES if days <= most), "overdue_over_90")
        setattr(row, field, getattr(row, field) + amount)
        row.oldest_due = min(row.oldest_due or due, due)


def statements(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Statement]:
    """Every month in which a dealer's account moved, up to an instant; each opens where the one before closed."""
    wanted = {name: filters[name] for name in ("dealer", "currency") if name in filters}
    last = business_day(at)
    open_: dict[tuple[str, str], Statement] = {}
    for dealer, currency, day, *moved in tables.sums(
        LedgerDay, ("dealer", "currency", "day"), ACCOUNT, **wanted
    ):
        if day > last:
            continue
        month = day.replace(day=1)
        row = open_.get((dealer, currency))
        if row is None or row.month != month:
            if row is not None:
                yield row
            balance = row.closing if row is not None else ZERO
            row = open_[dealer, currency] = Statement(
                dealer, month, currency, opening=balance, closing=balance
            )
        opening, invoiced, credited, paid, refunded, failed = moved
        row.opening += opening
        row.invoiced += invoiced
        row.credited += credited
        row.paid += paid
        row.refunded += refunded
        row.failed += failed
        row.closing += opening + invoiced - credited - paid + refunded + failed
    yield from open_.values()


RECEIVABLES = Projection(
    name="receivables",
    rows=(Invoice, Payment, Settlement, OpeningItem, LedgerDay),
    kinds=frozenset({"invoice", "payment", "balance"}),
    keys=keys,
    fold=fold,
    modules=("projections.receivables",),
    views=(InvoiceBalance, Receivable, Statement),
    computed=(
        Computed(Receivable, receivables, always=True),
        Computed(Statement, statements, always=True),
    ),
)
