"""A dealer's card reckoned again from scratch: what each criterion of the built-in cards finds, and what it earns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from tests.lab.naive import DELIVERY, LEDGER, ORDER, ZERO, Event, Known, day, last, number, opened, when
from tests.lab.naive_sales import share

ONE = Decimal(1)
CASES = ("violation.recorded.v1", "violation.confirmed.v1", "violation.dismissed.v1")
COMPLAINTS = ("complaint.opened.v1", "complaint.resolved.v1")
PRICE = {"price", "price_floor", "underselling", "price_breach"}
DIVERSION = {"diversion", "cross_region", "cross_selling"}
FEEDBACK = {"優": 100, "良": 80, "中": 60, "差": 0}

#: Of a figure: so much, of so much; None where there is no whole, or nothing to say.
Figure = tuple[Decimal, Decimal | None] | None
Judged = tuple[Decimal | None, Decimal | None, Decimal | None]  # part, whole, earned


class Book:
    """What a dealer did in [first, end) as far as it was true at an instant."""

    def __init__(self, known: Known, dealer: str, period: tuple[date, date], at: datetime) -> None:
        self.known, self.dealer, self.at = known, dealer, at
        tomorrow = at.astimezone(UTC).date() + timedelta(days=1)  # which somewhere has begun
        self.first, self.end = period[0], min(period[1], tomorrow + timedelta(days=1))
        self.period = period

    def covers(self, on: date) -> bool:
        return self.first <= on < self.end

    def documents(self, *types: str) -> list[list[Event]]:
        return list(self.known.documents(self.dealer, *types).values())


def pepsi_shanghai(book: Book) -> tuple[Decimal | None, dict[str, Judged]]:
    """The score of the distributor's card (domain.md §3.13, policy A), and what each criterion earned."""
    on_time, checks, late = arrivals(book), shelf(book), payments(book)
    price, region, _ = violations(book)
    seen = bool(orders(book)[1] or checks is not None or accused(book))
    earned: dict[str, Judged] = {
        "on_time": ratio(on_time, 30),
        "price": count_down(price, 20, 10) if seen else NOT_JUDGED,
        "region": count_down(region, 20, 10) if seen else NOT_JUDGED,
        "stock": ratio(None if checks is None else (checks, Decimal(12)), 20),
        "payment": NOT_JUDGED if late is None else count_down(late, 10, 5),
    }
    points = dict(zip(earned, map(Decimal, (30, 20, 20, 20, 10)), strict=True))
    judged = [code for code, (_, _, got) in earned.items() if got is not None]
    available = sum([points[code] for code in judged], ZERO)
    if available < 60:
        return None, earned
    got = sum([earned[code][2] or ZERO for code in judged], ZERO)
    return share(Decimal(100), got, available).quantize(Decimal("0.01"), ROUND_HALF_EVEN), earned


def secondary_quarterly(book: Book) -> tuple[dict[str, Judged], dict[str, tuple[Decimal, Decimal]]]:
    """Of the quarterly card (domain.md §3.13, policy B): what needs no target; every deduction, cases and points."""
    changed, placed = orders(book)
    given = marks(book)
    cases = dict(zip(("price", "region"), violations(book), strict=False))
    cases |= {"complaints": complaints(book), "payment": payments(book) or 0}
    deducted = {
        code: (Decimal(number), Decimal(min(6, each * number)))
        for (code, number), each in zip(cases.items(), (3, 3, 3, 2), strict=True)
        if number
    }
    earned = {
        "order_changes": rate(changed, placed),
        "feedback": by_hand(FEEDBACK.get(given.get("feedback", "")), 10),
        "direct": by_hand(given.get("direct"), 5),
    }
    return earned, deducted


def rate(changed: Decimal, placed: int) -> Judged:
    """Up to 6 in a hundred 10 points, up to 18 8, up to 30 6, else nothing."""
    if not placed:
        return NOT_JUDGED
    reached = share(changed, ONE, Decimal(placed))
    points = next((p for most, p in (("0.06", 10), ("0.18", 8), ("0.30", 6)) if reached <= Decimal(most)), 0)
    return changed, Decimal(placed), Decimal(points)


def by_hand(given: Any, points: int) -> Judged:
    """So many of a hundred, as a person said."""
    if given is None:
        return NOT_JUDGED
    part = Decimal(given)
    return part, Decimal(100), share(Decimal(points), part, Decimal(100))


def marks(book: Book) -> dict[str, Any]:
    """What persons gave for the period, by criterion: a grade, or a value."""
    found = {}
    for event in [event for events in book.documents("assessment.input.v1") for event in events]:
        data = event["data"]
        if tuple([when(data["period"][end]).date() for end in ("from", "to")]) == book.period:
            found[data["criterion"]] = data.get("grade") or data.get("value")
    return found


NOT_JUDGED: Judged = (None, None, None)


def ratio(figure: Figure, points: int) -> Judged:
    if figure is None or not figure[1]:
        return NOT_JUDGED
    part, whole = figure
    assert whole is not None
    return part, whole, Decimal(points) if part >= whole else share(Decimal(points), part, whole)


def count_down(cases: int, points: int, step: int) -> Judged:
    return Decimal(cases), None, Decimal(max(0, points - step * cases))


def orders(book: Book) -> tuple[Decimal, int]:
    """Changes of the orders placed in the period, weighted, and how many orders there were."""
    weighted, placed = ZERO, 0
    for events in book.documents(*ORDER):
        first = last(events, "order.placed.v1")
        if first is not None and book.covers(day(first, events)):
            placed += 1
            cancelled = last(events, "order.cancelled.v1")
            if cancelled is not None and cancelled["data"].get("initiator") in (None, "dealer"):
                weighted += 3
            for event in events:
                if event["type"] == "order.amended.v1" and event["data"]["initiator"] == "dealer":
                    weighted += Decimal("1.5" if event["data"].get("severity") == "major" else "0.5")
    return weighted, placed


def violations(book: Book) -> tuple[int, int, int]:
    """Cases that were confirmed: of price, of diversion, others."""
    found = [0, 0, 0]
    for events in book.documents(*CASES):
        recorded, confirmed, dismissed = [last(events, type) for type in CASES]
        first = recorded or confirmed
        if first is None or confirmed is None or not book.covers(opened(events, first["type"]).date()):
            continue
        if dismissed is None or when(dismissed["time"]) <= when(confirmed["time"]):
            kind = confirmed["data"]["kind"]
            found[0 if kind in PRICE else 1 if kind in DIVERSION else 2] += 1
    return found[0], found[1], found[2]


def accused(book: Book) -> bool:
    """Whether there is a case that was not dismissed, or a complaint."""
    said = [(events, last(events, COMPLAINTS[0])) for events in book.documents(*COMPLAINTS)]
    for events in book.documents(*CASES):
        recorded, confirmed, dismissed = [last(events, type) for type in CASES]
        if dismissed is None or (confirmed and when(dismissed["time"]) <= when(confirmed["time"])):
            said.append((events, recorded or confirmed))
    return any(one is not None and book.covers(opened(events, one["type"]).date()) for events, one in said)


def complaints(book: Book) -> int:
    """Complaints that were upheld."""
    found = 0
    for events in book.documents(*COMPLAINTS):
        first, resolved = last(events, COMPLAINTS[0]), last(events, COMPLAINTS[1])
        if first is not None and resolved is not None and book.covers(opened(events, COMPLAINTS[0]).date()):
            said = resolved["data"].get("decision")
            found += said is not None and not said.strip().lower().startswith(("unfounded", "不成立"))
    return found


def shelf(book: Book) -> Decimal | None:
    """How many products a stock check found there, on average."""
    present = []
    for token in (book.dealer, ""):
        for events in book.known.documents(token, "stock.counted.v1").values():
            event = last(events, "stock.counted.v1")
            if event is None or (not token and event["data"]["location"] != book.dealer):
                continue
            if book.covers(when(event["data"]["at"]).date()):
                there = {line["sku"] for line in event["data"]["lines"] if number(line["quantity"]) > 0}
                present.append(len(there))
    return share(Decimal(sum(present)), ONE, Decimal(len(present))) if present else None


def payments(book: Book) -> int | None:
    """Invoices that had fallen due and were not settled in time, and payments that failed."""
    settled: list[tuple[str, str, datetime, Decimal]] = []
    invoices, bounced = [], 0
    for events in book.documents(*LEDGER):
        invoice, payment = last(events, "invoice.issued.v1"), last(events, "payment.received.v1")
        failed = last(events, "payment.failed.v1")
        if invoice is not None:
            data = invoice["data"]
            amount = sum([number(line["net"]) + number(line.get("tax")) for line in data["lines"]], ZERO)
            if data.get("kind", "invoice") == "invoice":
                invoices.append((invoice, amount))
            elif data.get("of"):
                settled.append((data["of"], data["currency"], opened(events, invoice["type"]), amount))
        if payment is not None:
            data = payment["data"]
            sign = -1 if data.get("kind") == "refund" else 1
            for part in data.get("allocations", []):
                amount = sign * number(part["amount"])
                at = opened(events, payment["type"])
                settled.append((part["invoice"], data["currency"], at, amount))
                if failed is not None:
                    settled.append(
                        (part["invoice"], data["currency"], opened(events, "payment.failed.v1"), -amount)
                    )
        bounced += failed is not None and book.covers(opened(events, "payment.failed.v1").date())
    due = missed = 0
    for invoice, amount in invoices:
        data = invoice["data"]
        said = data.get("due")
        if said is None or not book.covers(when(said).date()) or when(said) > book.at:
            continue
        due += 1
        mine = [
            (at, part)
            for name, currency, at, part in settled
            if (name, currency) == (invoice["subject"], data["currency"])
        ]
        missed += sum([part for at, part in mine if at <= when(said)], ZERO) < amount
    return missed + bounced if due or bounced else None


def arrivals(book: Book) -> Figure:
    """Orders that came on time, of those whose window closed in the period and that came or should have come."""
    loads, receipts = carried(book)
    on_time = judged = 0
    for (_, name), events in book.known.documents(book.dealer, *ORDER).items():
        if last(events, "order.placed.v1") is None:
            continue
        left, came = [
            [move for move in moves.get(name, []) if move[0] <= book.at] for moves in (loads, receipts)
        ]
        said = outcome(events, left, came, book.at)
        if said is not None and book.covers(said[1]):
            on_time += said[0] == "on_time"
            judged += said[0] in ("on_time", "late", "early", "overdue")
    return (Decimal(on_time), Decimal(judged)) if judged else None


Moves = list[tuple[datetime, str, Decimal]]


def carried(book: Book) -> tuple[dict[str, Moves], dict[str, Moves]]:
    """What left and what was accepted, by order: when, of which SKU, how much."""
    loads: dict[str, Moves] = {}
    receipts: dict[str, Moves] = {}
    for events in book.documents(*DELIVERY):
        sent = last(events, "delivery.dispatched.v1")
        named = sent["data"].get("order") if sent is not None else None
        if sent is not None and named:
            at = opened(events, sent["type"])
            loads.setdefault(named, []).extend(
                [(at, line["sku"], number(line["quantity"])) for line in sent["data"]["lines"]]
            )
        came = {e["data"]["receipt"]: e["data"] for e in events if e["type"] == "delivery.received.v1"}
        for data in came.values():
            if order := data.get("order") or named:
                receipts.setdefault(order, []).extend(
                    [(when(data["arrived"]), line["sku"], number(line["accepted"])) for line in data["lines"]]
                )
    return loads, receipts


def outcome(events: list[Event], left: Moves, came: Moves, at: datetime) -> tuple[str, date] | None:
    """How an order came, and the day its last window closes on; None where neither is known."""
    placed = [event for event in events if event["type"] == "order.placed.v1"][-1]
    stating: dict[Any, Event] = {}
    for event in events:
        if event["type"] in ("order.confirmed.v1", "order.amended.v1"):
            stating[event["type"], when(event["time"])] = event
    stated = [placed, *stating.values()]
    cancelled, closed = last(events, "order.cancelled.v1"), last(events, "order.closed.v1")
    withdrawn = (cancelled is not None and cancelled["data"].get("initiator") in (None, "dealer")) or (
        closed is not None and closed["data"].get("initiator") == "dealer"
    )
    lines = [e for e in events if e["type"] in ("order.placed.v1", "order.amended.v1")][-1]["data"]["lines"]
    found, closes = [], []
    for sku in {line["sku"] for line in lines if number(line["quantity"])}:
        names = {line["line"] for line in lines if line["sku"] == sku}
        wanted = sum([number(line["quantity"]) for line in lines if line["sku"] == sku], ZERO)
        gone = [when_ for when_, s, quantity in left if s == sku and quantity]
        window = promise(stated, names, min(gone, default=None))
        moved = sorted([(when_, quantity) for when_, s, quantity in came if s == sku and quantity])
        if not moved and withdrawn:
            continue
        if window is not None:
            closes.append(window[1])
        found.append(line_outcome(moved, wanted, window, withdrawn, at))
    for worst in ("late", "overdue", "not_shipped", "early", "no_window", "on_time"):
        if worst in found and closes:
            return worst, (max(closes) - timedelta(microseconds=1)).date()
    return None


Window = tuple[datetime, datetime]


def promise(stated: list[Event], names: set[str], left: datetime | None) -> Window | None:
    """The window last promised before goods left, else the one last asked for; the first of each holds in any case."""
    found: dict[str, list[tuple[datetime, Window]]] = {"promised": [], "requested": []}
    for event in stated:
        data, placing = event["data"], event["type"] == "order.placed.v1"
        for name, ways in found.items():
            said = None
            if placing or (name == "promised" and event["type"] == "order.confirmed.v1"):
                said = data.get(name)
            asks = name == "promised" or placing or data.get("initiator") == "dealer"
            for line in data.get("lines", []) if asks else []:
                if line["line"] in names and line.get(name) is not None:
                    said = line[name]
            if said is not None:
                ways.append((when(event["time"]), (when(said["from"]), when(said["to"]))))
    for ways in (found["promised"], found["requested"]):
        if ways:
            return [
                window
                for place, (said_at, window) in enumerate(ways)
                if not place or left is None or said_at < left
            ][-1]
    return None


def line_outcome(
    moved: Iterable[tuple[datetime, Decimal]],
    wanted: Decimal,
    window: Window | None,
    withdrawn: bool,
    at: datetime,
) -> str:
    steps = list(moved)
    if not steps:
        return "overdue" if window is not None and at >= window[1] else "not_shipped"
    if window is None:
        return "no_window"
    came = sum([quantity for _, quantity in steps], ZERO)
    enough = min(came, wanted) if withdrawn else wanted
    total = ZERO
    done = steps[-1][0]
    for when_, quantity in steps:
        total += quantity
        if total >= enough:
            done = when_
            break
    return "late" if done >= window[1] else "early" if steps[0][0] < window[0] else "on_time"
