"""What a dealer owes, its statements and its targets, reckoned again from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.lab.naive import LEDGER, ZERO, Event, Known, last, ledger, number, opened, when
from tests.lab.naive_sales import Place, sales, share

ONE = Decimal(1)
AGES = ((30, "overdue_1_30"), (60, "overdue_31_60"), (90, "overdue_61_90"), (None, "overdue_over_90"))

Figures = dict[str, Any]


def gross(event: Event) -> Decimal:
    lines = event["data"]["lines"]
    return sum([number(line["net"]) + number(line.get("tax")) for line in lines], ZERO)


def receivables(known: Known, dealer: str, at: datetime) -> dict[str, Figures]:
    """By currency, what is open and since when, and what was paid for nothing that is known."""
    owed, settled, balance = items(known, dealer, at)
    found: dict[str, Figures] = {}
    for (name, currency), parts in owed.items():
        left = settled.get((name, currency), ZERO)
        for amount, due in parts:
            rest, left = amount - left, max(ZERO, left - amount)
            if rest <= 0:
                continue
            row = found.setdefault(currency, {"open": ZERO, "overdue": ZERO, "invoices": ZERO})
            row["open"] += rest
            row["invoices"] += 1
            if due is not None and due <= at:
                row["overdue"] += rest
                age = next(field for most, field in AGES if most is None or (at - due).days <= most)
                row[age] = row.get(age, ZERO) + rest
                row["oldest_due"] = min(due, row.get("oldest_due", due))
    for currency, stands in balance.items():
        row = found.setdefault(currency, {})
        row["unallocated"] = row.get("open", ZERO) - stands
    kept = {currency: {n: v for n, v in row.items() if v} for currency, row in found.items()}
    return {currency: row for currency, row in kept.items() if row}


Owed = dict[tuple[str, str], list[tuple[Decimal, datetime | None]]]


def items(
    known: Known, dealer: str, at: datetime
) -> tuple[Owed, dict[tuple[str, str], Decimal], dict[str, Decimal]]:
    """Invoices by name and currency, what settles them, and what the account stands at."""
    owed: Owed = {}
    settled: dict[tuple[str, str], Decimal] = {}
    balance: dict[str, Decimal] = {}

    def move(currency: str, amount: Decimal) -> None:
        balance[currency] = balance.get(currency, ZERO) + amount

    def settle(invoice: str, currency: str, amount: Decimal) -> None:
        settled[invoice, currency] = settled.get((invoice, currency), ZERO) + amount

    def document(events: list[Event]) -> None:
        invoice, payment = last(events, "invoice.issued.v1"), last(events, "payment.received.v1")
        if invoice is not None and opened(events, invoice["type"]) <= at:
            data, amount = invoice["data"], gross(invoice)
            charged = data.get("kind", "invoice") == "invoice"
            move(data["currency"], amount if charged else -amount)
            if charged:
                due = when(data["due"]) if data.get("due") else None
                owed.setdefault((invoice["subject"], data["currency"]), []).append((amount, due))
            elif data.get("of"):
                settle(data["of"], data["currency"], amount)
        if payment is None or opened(events, payment["type"]) > at:
            return
        data, failed = payment["data"], last(events, "payment.failed.v1")
        if failed is not None and opened(events, "payment.failed.v1") <= at:
            return  # as if it had never come
        sign = -1 if data.get("kind") == "refund" else 1
        move(data["currency"], -sign * number(data["amount"]))
        for part in data.get("allocations", []):
            settle(part["invoice"], data["currency"], sign * number(part["amount"]))

    documents = known.documents(dealer, *LEDGER)
    for _, events in sorted(documents.items()):
        balances = last(events, "balance.opened.v1")
        if balances is not None and balances["data"].get("kind") == "receivable":
            for line in balances["data"]["lines"] if when(balances["data"]["as_of"]) <= at else ():
                due = when(line["due"]) if line.get("due") else None
                place = line.get("invoice") or "", line.get("currency") or ""
                owed.setdefault(place, []).append((number(line.get("amount")), due))
                move(place[1], number(line.get("amount")))
    for events in documents.values():
        document(events)
    return owed, settled, balance


MOVES = ("opening", "invoiced", "credited", "paid", "refunded", "failed")
SIGNS = (1, 1, -1, -1, 1, 1)


def statements(known: Known, dealer: str, at: datetime) -> dict[tuple[date, str], dict[str, Decimal]]:
    """By month and currency, what moved the account and where that leaves it, and the goods beside it."""
    tomorrow = at.astimezone(UTC).date() + timedelta(
        days=1
    )  # which somewhere has begun; the rest is still to come
    moved: dict[tuple[date, str], dict[str, Decimal]] = {}
    for (on, currency), figures in ledger(known, dealer).items():
        if on <= tomorrow:
            add(moved, on, currency, {name: figures.get(name, ZERO) for name in MOVES})
    goods: dict[tuple[date, str], dict[str, Decimal]] = {}
    for (on, _, _, _, currency), figures in sales(known, dealer).items():
        names = ("dispatched", "accepted", "returned")
        both = [*names, *[f"{name}_net" for name in names]]
        if on <= tomorrow:
            add(goods, on, currency, {name: figures.get(name, ZERO) for name in both})
    taking = {currency for (_, currency), held in goods.items() if held["accepted"]}
    found: dict[tuple[date, str], dict[str, Decimal]] = {}
    closing: dict[str, Decimal] = {}
    for place in sorted({*moved, *goods}):
        _, currency = place
        account, there = moved.get(place, {}), goods.get(place, {})
        stage = "accepted" if currency in taking else "dispatched"
        beside = {
            "delivered": there.get(stage, ZERO),
            "delivered_net": there.get(f"{stage}_net", ZERO),
            "returned": there.get("returned", ZERO),
            "returned_net": there.get("returned_net", ZERO),
        }
        if not (place in moved or any(beside.values())):
            continue
        before = closing.get(currency, ZERO)
        closing[currency] = before + sum(
            [sign * account.get(name, ZERO) for name, sign in zip(MOVES, SIGNS, strict=True)], ZERO
        )
        row = account | beside | {"opening": before + account.get("opening", ZERO)}
        found[place] = {n: v for n, v in row.items() if v} | {"closing": closing[currency]}
    return found


def add(
    book: dict[tuple[date, str], dict[str, Decimal]], on: date, currency: str, figures: dict[str, Decimal]
) -> None:
    row = book.setdefault((on.replace(day=1), currency), {})
    for name, figure in figures.items():
        row[name] = row.get(name, ZERO) + figure


# targets

RECOGNISED = {
    "ordered": (("ordered", 1),),
    "accepted": (("accepted", 1), ("returned", -1)),
    "dispatched gross": (("dispatched", 1),),
    "dispatched": (("dispatched", 1), ("returned", -1)),
    "invoiced": (("invoiced", 1),),
}


def targets(known: Known, dealer: str, dealers: list[str], at: datetime) -> dict[str, Figures]:
    """A dealer's own targets: what they are, what was reached, and where that leads on working days."""
    sold, paid = sales(known, dealer), ledger(known, dealer)
    found = {}
    for (_, name), events in known.documents("", "target.set.v1", "target.revised.v1").items():
        data = events[-1]["data"]
        if data["scope"].get("dealer") == dealer:
            usual = "dispatched" if sends(known, dealers) else "ordered"
            found[name] = target(data, sold, paid, data.get("recognition") or usual, at)
    return found


def sends(known: Known, dealers: list[str]) -> bool:
    """Whether anybody was ever sent anything: else an order is the sale."""
    return any(
        number(line["quantity"])
        for dealer in dealers
        for events in known.documents(dealer, "delivery.dispatched.v1").values()
        for line in events[-1]["data"]["lines"]
    )


def target(
    data: Figures, sold: dict[Place, Figures], paid: dict[tuple[date, str], Figures], how: str, at: datetime
) -> Figures:
    first, end, value = when(data["from"]), when(data["to"]).date(), number(data["value"])
    until = min(end, at.astimezone(first.tzinfo).date() + timedelta(days=1))
    days = [first.date(), until]
    by_currency: dict[str, Decimal] = {}
    for currency, amount in counted(data["measure"], how, sold, paid, *days):
        by_currency[currency] = by_currency.get(currency, ZERO) + amount
    currency, actual = data.get("currency") or "", None
    if data["measure"] == "quantity":
        actual = sum(by_currency.values(), ZERO)
    else:
        seen = sorted(currency for currency in by_currency if currency)
        currency = currency or (seen[0] if len(seen) == 1 else "")
        if currency or not seen:
            actual = by_currency.get(currency, ZERO)
    whole, elapsed = Decimal(working(first.date(), end)), Decimal(working(*days))
    row = {"value": value, "actual": actual, "currency": currency}
    row |= {"working_days": whole, "elapsed_days": elapsed}
    row["phased_value"] = share(value, elapsed, whole) if whole else None
    if actual is not None:
        row["variance"] = actual - value
        row["attainment"] = ratio(actual, value)
        row["pace"] = None if row["phased_value"] is None else ratio(actual, row["phased_value"])
        row["run_rate"] = ratio(actual, elapsed)
        row["required_rate"] = ratio(value - actual, whole - elapsed)
        row["landing"] = actual + share(actual, whole - elapsed, elapsed) if elapsed else None
    return row


def counted(
    measure: str, how: str, sold: dict[Place, Figures], paid: dict[tuple[date, str], Figures], *days: date
) -> Iterator[tuple[str, Decimal]]:
    """What counts in [first, end): a currency that stands still is not named."""
    first, end = days
    if measure == "collection":
        for (on, currency), figures in paid.items():
            named = {name: figures.get(name, ZERO) for name in ("paid", "refunded", "failed")}
            if first <= on < end and any(named.values()):
                yield currency, named["paid"] - named["refunded"] - named["failed"]
        return
    suffix = "_net" if measure == "amount" else ""
    for (on, *_, currency), figures in sold.items():
        named = {name: figures.get(name + suffix, ZERO) for name, _ in RECOGNISED[how]}
        if first <= on < end and any(named.values()):
            yield currency, sum([sign * named[name] for name, sign in RECOGNISED[how]], ZERO)


def working(first: date, end: date) -> int:
    """Mondays to Fridays in [first, end)."""
    days = [first + timedelta(days=number) for number in range(max(0, (end - first).days))]
    return sum(day.isoweekday() <= 5 for day in days)


def ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    return share(part, ONE, whole) if whole else None
