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
from domain.stock import BalanceOpened
from projections.documents import Change, Document
from projections.projection import Computed, Projection
from projections.rows import Key, Row, Rows, Tables, table, view


@table(
    "invoices",
    key=("dealer", "invoice"),
    indexes=(("issued",), ("order", "dealer"), ("due",)),
    appears="issued",
    period="issued",
)
class Invoice(Row):
    """One invoice or credit note. Without a `kind` only payments or credit notes have named it so far."""

    dealer: str
    invoice: str
    kind: str = ""  # invoice or credit_note
    issued: datetime | None = None
    day: date | None = None
    due: datetime | None = None
    order: str = ""
    of: str = ""  # the invoice a credit note is for
    currency: str = ""
    net: Money = ZERO
    tax: Money = ZERO
    amount: Money = ZERO  # net and tax
    settled: Money = ZERO  # by payments that are good, and by credit notes


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


@view("receivables", key=("dealer", "currency"))
class Receivable(Row):
    """What a dealer owes in one currency; what is past its due instant is overdue, by days of age."""

    dealer: str
    currency: str
    open: Money = ZERO
    overdue: Money = ZERO
    overdue_1_30: Money = ZERO
    overdue_31_60: Money = ZERO
    overdue_61_90: Money = ZERO
    overdue_over_90: Money = ZERO
    invoices: int = 0  # that are not settled
    oldest_due: datetime | None = None
    unallocated: Money = ZERO  # paid and not yet said for what


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

    def move(self, day: date, currency: str, field: str, amount: Decimal) -> None:
        held = self.days.setdefault((day, currency), {})
        held[field] = held.get(field, ZERO) + amount

    def settle(self, invoice: str, at: datetime, currency: str, amount: Decimal) -> None:
        held = self.settlements.get((invoice, at), (currency, ZERO))
        self.settlements[invoice, at] = currency, held[1] + amount


NOTHING = Account({}, {})


def account(document: Document | None) -> Account:
    """What a document's statements do to the account; nothing for one that does not stand."""
    return NOTHING if document is None else _account(document)


@lru_cache(maxsize=4096)
def _account(document: Document) -> Account:
    found = Account({}, {})
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
    for line in event.data.lines:
        if line.amount is not None:
            found.move(business_day(event.data.as_of), line.currency or "", "opening", line.amount)


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
        for invoice, _ in done.settlements:
            yield Invoice, (dealer, invoice)


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
            rows.edit(Invoice, dealer, invoice).settled += now[1] - was[1]


def _put_invoice(row: Invoice, document: Document | None) -> None:
    blank = Invoice(row.dealer, row.invoice, settled=row.settled)
    for name in Invoice.__struct_fields__:
        setattr(row, name, getattr(blank, name))
    event = document.one(InvoiceIssued) if document is not None else None
    if event is None or document is None:
        return
    data = event.data
    row.kind, row.currency, row.due = data.kind, data.currency, data.due
    row.issued = document.opened(InvoiceIssued)
    row.day = business_day(row.issued or event.time)
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
        row.failed, row.reason = failed.time, failed.data.reason


_AGES = ((30, "overdue_1_30"), (60, "overdue_31_60"), (90, "overdue_61_90"))


def receivables(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Receivable]:
    """What every dealer owed at an instant: of its invoices what nothing had settled by then."""
    wanted = {name: filters[name] for name in ("dealer",) if name in filters}
    settled: dict[tuple[str, str], Decimal] = {}
    for part in tables.select(Settlement, **wanted):
        if part.at <= at:
            place = part.dealer, part.invoice
            settled[place] = settled.get(place, ZERO) + part.amount
    found: dict[tuple[str, str], Receivable] = {}

    def of(dealer: str, currency: str) -> Receivable:
        return found.setdefault((dealer, currency), Receivable(dealer, currency))

    for invoice in tables.select(Invoice, **wanted):
        if invoice.kind != "invoice" or invoice.issued is None or invoice.issued > at:
            continue
        rest = invoice.amount - settled.get((invoice.dealer, invoice.invoice), ZERO)
        if rest == ZERO:
            continue
        row = of(invoice.dealer, invoice.currency)
        row.open += rest
        row.invoices += 1
        if invoice.due is not None and invoice.due <= at:
            row.overdue += rest
            days = (at - invoice.due).days
            field = next((name for most, name in _AGES if days <= most), "overdue_over_90")
            setattr(row, field, getattr(row, field) + rest)
            row.oldest_due = min(row.oldest_due or invoice.due, invoice.due)
    for payment in tables.select(Payment, **wanted):
        if payment.received is None or payment.received > at or payment.kind == "refund":
            continue
        if payment.failed is None or payment.failed > at:
            free = payment.amount - payment.allocated
            if free:
                of(payment.dealer, payment.currency).unallocated += free
    yield from found.values()


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
    rows=(Invoice, Payment, Settlement, LedgerDay),
    kinds=frozenset({"invoice", "payment", "balance"}),
    keys=keys,
    fold=fold,
    modules=("projections.receivables",),
    views=(Receivable, Statement),
    computed=(
        Computed(Receivable, receivables, always=True),
        Computed(Statement, statements, always=True),
    ),
)
