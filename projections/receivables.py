"""What dealers owe: what is open and overdue, and the statement of every month (對賬單)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.calendar import EPOCH, latest_day
from domain.numbers import FIGURE_MAX, ZERO, Money, Quantity
from projections.ledger import Invoice, LedgerDay, OpeningItem, Payment, Settlement, fold, keys
from projections.projection import Computed, Projection
from projections.rows import Row, Tables, Window, view

ACCOUNT = ("opening", "invoiced", "credited", "paid", "refunded", "failed")
GOODS = ("dispatched", "dispatched_net", "accepted", "accepted_net", "returned", "returned_net")
LEAST = Decimal("0.000001")
INSTANT = timedelta(microseconds=1)
FIRST, LAST = EPOCH.replace(year=1), datetime(9999, 12, 31, tzinfo=UTC)
NAMES_MAX = 500  # of one question

# What settles an invoice is in its own currency: two are never added, so any other leaves it open.
_SETTLED = """CAST(COALESCE((SELECT SUM(s.amount) FROM settlements s WHERE s.dealer = i.dealer
AND s.invoice = i.invoice AND s.currency = i.currency{}), 0) AS NUMERIC)"""
# As a sum: beyond 64 bits SQLite refuses one, where it would round a difference.
_OPEN = """CAST((SELECT SUM(x.amount) FROM (SELECT i.amount AS amount UNION ALL SELECT -s.amount FROM settlements s
WHERE s.dealer = i.dealer AND s.invoice = i.invoice AND s.currency = i.currency) x) AS NUMERIC)"""
_LAST = """(SELECT MAX(s.at) FROM settlements s WHERE s.dealer = i.dealer AND s.invoice = i.invoice
AND s.currency = i.currency)"""
_IN_TIME = _SETTLED.format(" AND s.at <= i.due")


@view(
    "invoice_balances",
    key=("dealer", "invoice"),
    period="due_day",
    sql=f"""SELECT i.dealer, i.invoice, i.issued AS issued, i.day AS day, i.due AS due, i.due_day AS due_day,
i.currency AS currency, i.amount AS amount, {_SETTLED.format("")} AS settled,
{_OPEN} AS open, {_LAST} AS last_settled, {_IN_TIME} AS in_time,
CASE WHEN i.due IS NULL THEN 0 ELSE 1 END, CASE WHEN i.due IS NULL OR {_IN_TIME} >= i.amount THEN 0 ELSE 1 END
FROM invoices i WHERE i.kind = 'invoice'""",
    appears="issued",
)
class InvoiceBalance(Row):
    """What is settled of an invoice, whatever the time; the counts are 0 or 1, to be summed once its day is over."""

    dealer: str
    invoice: str
    issued: datetime | None = None
    day: date | None = None
    due: datetime | None = None
    due_day: date | None = None
    currency: str = ""
    amount: Money = ZERO
    settled: Money = ZERO  # by payments that are good, and by credit notes
    open: Money = ZERO
    last_settled: datetime | None = None
    in_time: Money = ZERO  # settled by the instant it was due
    falls_due: int = 0
    late: int = 0  # not all of it was settled in time


@view(
    "account_moves",
    key=("dealer", "document", "at"),
    sql="""SELECT dealer, 'invoice/' || invoice AS document, issued AS at, currency AS currency,
CASE WHEN kind = 'invoice' THEN amount ELSE -amount END AS amount FROM invoices WHERE issued IS NOT NULL
UNION ALL SELECT dealer, 'payment/' || payment, received, currency,
CASE WHEN kind = 'refund' THEN amount ELSE -amount END FROM payments WHERE received IS NOT NULL
UNION ALL SELECT dealer, 'failed/' || payment, CASE WHEN failed < received THEN received ELSE failed END, currency,
CASE WHEN kind = 'refund' THEN -amount ELSE amount END
FROM payments WHERE received IS NOT NULL AND failed IS NOT NULL
UNION ALL SELECT dealer, 'balance/' || balance || '/' || CAST(line AS TEXT), as_of, currency, amount
FROM opening_items WHERE as_of IS NOT NULL""",
    appears="at",
)
class AccountMove(Row):
    """What a document, as kind/id, moved a dealer's account by at one instant; below zero it owes less."""

    dealer: str
    document: str
    at: datetime
    currency: str = ""
    amount: Money = ZERO


@view(
    "account_days",
    key=("dealer", "day", "currency"),
    sql="""SELECT dealer, day, currency, SUBSTR(day, 1, 8) || '01' AS month, opening, invoiced, credited, paid,
refunded, failed FROM ledger_days""",
)
class AccountDay(Row):
    """What moved a dealer's account on one day, with the first day of its month to sum by."""

    dealer: str
    day: date
    currency: str
    month: date | None = None
    opening: Money = ZERO
    invoiced: Money = ZERO
    credited: Money = ZERO
    paid: Money = ZERO
    refunded: Money = ZERO
    failed: Money = ZERO


@view(
    "goods_days",
    key=("dealer", "day", "rep", "territory", "currency"),
    sql="""SELECT dealer, day, rep, territory, currency, SUBSTR(day, 1, 8) || '01' AS month, dispatched, dispatched_net,
accepted, accepted_net, returned, returned_net FROM dealer_days""",
)
class GoodsDay(Row):
    """What goods went to a dealer and came back on one day, with the first day of its month to sum by."""

    dealer: str
    day: date
    rep: str
    territory: str
    currency: str
    month: date | None = None
    dispatched: Quantity = ZERO
    dispatched_net: Money = ZERO
    accepted: Quantity = ZERO
    accepted_net: Money = ZERO
    returned: Quantity = ZERO
    returned_net: Money = ZERO


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
    """A dealer's account over one calendar month: closing = opening + invoiced − credited − paid + refunded + failed.

    The goods of the month stand beside it, whether invoiced or not, and move nothing. Delivered is what the dealer
    accepted; where nothing was ever accepted in that currency, what was dispatched.
    """

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
    delivered: Quantity = ZERO
    delivered_net: Money = ZERO
    returned: Quantity = ZERO
    returned_net: Money = ZERO


class _Owed(Struct, frozen=True, gc=False):
    """One item that a dealer owes or owed."""

    amount: Decimal
    due: datetime | None


Place = tuple[str, str, str]  # dealer, invoice, currency
_AGES = ((30, "overdue_1_30"), (60, "overdue_31_60"), (90, "overdue_61_90"))


def receivables(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Receivable]:
    """What every dealer owed at an instant: of its invoices what nothing had settled by then."""
    wanted = {name: filters[name] for name in ("dealer",) if name in filters}
    found: dict[tuple[str, str], Receivable] = {}
    owed, settled = _items(tables, at, wanted)
    for place, items in owed.items():
        dealer, _, currency = place
        row = found.setdefault((dealer, currency), Receivable(dealer, currency))
        left = settled.get(place, ZERO)
        for item in items:
            rest = item.amount - left
            left = max(ZERO, -rest)
            if rest > ZERO:
                _owe(row, item.due, rest, at)
    window = ("at", FIRST, at + INSTANT)
    for dealer, currency, balance in tables.sums(
        AccountMove, ("dealer", "currency"), ("amount",), window, **wanted
    ):
        row = found.setdefault((dealer, currency), Receivable(dealer, currency))
        row.unallocated = row.open - balance
    for _, row in sorted(found.items()):
        if row.open or row.unallocated:
            yield row


def _items(
    tables: Tables, at: datetime, wanted: Mapping[str, Sequence[Any]]
) -> tuple[dict[Place, list[_Owed]], dict[Place, Decimal]]:
    """What was or may have been open at an instant, and what had settled it by then.

    Of invoices that are settled and were so by then, which are most of them, nothing is read.
    """
    owed: dict[Place, list[_Owed]] = {}
    for line in tables.select(OpeningItem, **wanted):
        if line.as_of is not None and line.as_of <= at:
            place = line.dealer, line.invoice, line.currency
            owed.setdefault(place, []).append(_Owed(line.amount, line.due))
    moving = {
        invoice for _, invoice, _ in owed if invoice
    }  # whose settlements must be asked for by their time
    held: dict[tuple[str, str], InvoiceBalance] = {}
    for names in _some(moving):
        held |= {(i.dealer, i.invoice): i for i in tables.select(InvoiceBalance, invoice=names, **wanted)}
    for window in (("open", LEAST, FIGURE_MAX), ("last_settled", at + INSTANT, LAST)):
        held |= {(i.dealer, i.invoice): i for i in tables.select(InvoiceBalance, window, **wanted)}
    settled: dict[Place, Decimal] = {}
    for invoice in held.values():
        if invoice.issued is not None and invoice.issued <= at:
            place = invoice.dealer, invoice.invoice, invoice.currency
            owed.setdefault(place, []).append(_Owed(invoice.amount, invoice.due))
            settled[place] = invoice.settled
            if invoice.last_settled is not None and invoice.last_settled > at:
                moving.add(invoice.invoice)
    for place in owed:
        if place[1] in moving:
            settled[place] = ZERO
    by = ("dealer", "invoice", "currency")
    for names in _some(moving):
        for dealer, name, currency, amount in tables.sums(
            Settlement, by, ("amount",), ("at", FIRST, at + INSTANT), invoice=names, **wanted
        ):
            settled[dealer, name, currency] = amount
    return owed, settled


def _some(names: set[str]) -> Iterator[list[str]]:
    ordered = sorted(names)
    for first in range(0, len(ordered), NAMES_MAX):
        yield ordered[first : first + NAMES_MAX]


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
    """Every month in which a dealer's account or its goods moved, up to an instant.

    Each opens where the one before closed.
    """
    wanted = {name: filters[name] for name in ("dealer", "currency") if name in filters}
    window = ("day", date.min, latest_day(at) + timedelta(days=1))
    by = ("dealer", "currency", "month")
    account = {
        (dealer, currency, month): moved
        for dealer, currency, month, *moved in tables.sums(AccountDay, by, ACCOUNT, window, **wanted)
    }
    goods = _goods(tables, window, wanted)
    closed: dict[tuple[str, str], Decimal] = {}
    for dealer, currency, month in sorted(account.keys() | goods.keys()):
        moved = account.get((dealer, currency, month), [ZERO] * len(ACCOUNT))
        balance = closed.get((dealer, currency), ZERO)
        opening, invoiced, credited, paid, refunded, failed = moved
        row = Statement(dealer, month, currency, balance + opening, *moved[1:])
        row.closing = row.opening + invoiced - credited - paid + refunded + failed
        if (there := goods.get((dealer, currency, month))) is not None:
            row.delivered, row.delivered_net, row.returned, row.returned_net = there
        closed[dealer, currency] = row.closing
        yield row


def _goods(
    tables: Tables, window: Window, wanted: Mapping[str, Sequence[Any]]
) -> dict[tuple[str, str, date], tuple[Decimal, ...]]:
    """Delivered and returned by dealer, currency and month.

    What was dispatched in one month and accepted in the next must not stand in both: an account has one of the two.
    """
    found = {}
    by = ("dealer", "currency", "month")
    months = list(tables.sums(GoodsDay, by, GOODS, window, **wanted))
    accepting = {(dealer, currency) for dealer, currency, _, _, _, accepted, *_ in months if accepted}
    for dealer, currency, month, *moved in months:
        sent, accepted, returned = moved[:2], moved[2:4], moved[4:]
        if any(stated := (*(accepted if (dealer, currency) in accepting else sent), *returned)):
            found[dealer, currency, month] = stated
    return found


RECEIVABLES = Projection(
    name="receivables",
    rows=(Invoice, Payment, Settlement, OpeningItem, LedgerDay),
    kinds=frozenset({"invoice", "payment", "balance"}),
    by_name=frozenset({"balance"}),
    keys=keys,
    fold=fold,
    modules=("projections.ledger",),
    views=(InvoiceBalance, AccountMove, AccountDay, GoodsDay, Receivable, Statement),
    computed=(
        Computed(Receivable, receivables, always=True),
        Computed(Statement, statements, always=True),
    ),
    reads=("sales",),
)
