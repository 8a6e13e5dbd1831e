"""The book reckoned again from scratch, from the contract alone: plain dictionaries, loops, and nothing of the product.

Slow and short on purpose. What it says of orders, accounts and stock is what the views must say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Event = dict[
    str, Any
]  # the body as it was sent, with `sequence`, `family` and `token` of its place in the log
ZERO = Decimal(0)
#: When a fact is true where that is not the envelope's time: type → member of `data` (events.md).
EFFECTIVE = {
    "order.placed.v1": "placed",
    "delivery.received.v1": "arrived",
    "balance.opened.v1": "as_of",
    "stock.counted.v1": "at",
    "sellout.reported.v1": "from",
    "target.set.v1": "from",
    "target.revised.v1": "from",
}
#: Statements of one type and document restate each other unless these differ.
SLOT = {
    "delivery.received.v1": ("receipt",),
    "order.held.v1": ("reason",),
    "order.released.v1": ("reason",),
    "assessment.input.v1": ("period", "criterion"),
}


def read(sequence: int, subject: str, body: bytes) -> Event:
    """One message."""
    event: Event = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    _, family, token = subject.split(".")
    return event | {"sequence": sequence, "family": family, "token": token}


def when(said: str) -> datetime:
    return datetime.fromisoformat(said)


def number(said: Any) -> Decimal:
    return ZERO if said is None else Decimal(said)


def effective(event: Event) -> datetime:
    said = event["data"].get(EFFECTIVE.get(event["type"], ""))
    return when(said or event["time"])


#: Of these each statement is true from its own time on: an order is held again, a case confirmed after all.
STEPS = {
    *(f"order.{what}.v1" for what in ("confirmed", "amended", "held", "released")),
    *("violation.confirmed.v1", "violation.dismissed.v1", "complaint.resolved.v1"),
}


class Known:
    """What valid messages, in the order of the log, say up to a sequence, of what was true by an instant."""

    def __init__(self, valid: Sequence[Event], known_at: int, valid_at: datetime | None) -> None:
        self._valid_at = valid_at
        events: dict[tuple[str, str], Event] = {}
        for event in valid:
            if event["sequence"] > known_at:
                break
            events.setdefault((event["source"], event["id"]), event)  # the first one holds it
        self._voids: dict[tuple[str, str], list[Event]] = {}
        self._of: dict[str, list[Event]] = {}  # by dealer
        for event in events.values():
            self._of.setdefault(event["data"].get("dealer", ""), []).append(event)
            if event["type"] == "event.voided.v1":
                named = event["data"]["source"], event["data"]["id"]
                self._voids.setdefault(named, []).append(event)

    def stands(self, event: Event) -> bool:
        """No standing void of its family and dealer withdraws it."""
        return not any(
            (void["family"], void["token"]) == (event["family"], event["token"]) and self.stands(void)
            for void in self._voids.get((event["source"], event["id"]), ())
        )

    def documents(self, dealer: str, *types: str) -> dict[tuple[str, str], list[Event]]:
        """Statements of these types by kind and document, as they stand and were true, the last said last."""
        found: dict[tuple[str, str], list[Event]] = {}
        for event in self._of.get(dealer, ()):
            if event["type"] in types and self.stands(event):
                found.setdefault((event["type"].partition(".")[0], event["subject"]), []).append(event)
        for name, events in found.items():
            first = {slot(one): min(effective(e) for e in events if slot(e) == slot(one)) for one in events}
            since = {id(e): effective(e) if e["type"] in STEPS else first[slot(e)] for e in events}
            true = [e for e in events if self._valid_at is None or since[id(e)] <= self._valid_at]
            found[name] = sorted(true, key=lambda e: (when(e["time"]), e["sequence"]))
        return {name: events for name, events in found.items() if events}


def slot(event: Event) -> tuple[str, ...]:
    return event["type"], *[str(event["data"].get(name)) for name in SLOT.get(event["type"], ())]


def last(events: Iterable[Event], type: str) -> Event | None:
    found = [event for event in events if event["type"] == type]
    return found[-1] if found else None


def opened(events: Iterable[Event], type: str) -> datetime:
    """When a document was first true: a restatement does not move it."""
    return min(effective(event) for event in events if event["type"] == type)


ORDER = tuple(
    f"order.{what}.v1"
    for what in ["placed", "confirmed", "amended", "held", "released", "cancelled", "closed"]
)
DELIVERY = ("delivery.dispatched.v1", "delivery.received.v1")
LEDGER = ("invoice.issued.v1", "payment.received.v1", "payment.failed.v1", "balance.opened.v1")


def orders(known: Known, dealer: str) -> dict[str, dict[str, Any]]:
    """Every order of a dealer: status, day, quantity, net, dispatched, accepted."""
    found: dict[str, dict[str, Any]] = {}
    for (_, name), events in known.documents(dealer, *ORDER).items():
        placed, amended = last(events, "order.placed.v1"), last(events, "order.amended.v1")
        said = (
            amended
            if placed is None or (amended and events.index(amended) > events.index(placed))
            else placed
        )
        lines = said["data"]["lines"] if said is not None else []
        found[name] = {
            "status": status(events),
            "day": day(placed, events) if placed is not None else None,
            "quantity": sum([number(line["quantity"]) for line in lines], ZERO),
            "net": sum([number(line["net"]) for line in lines], ZERO),
            "dispatched": ZERO,
            "accepted": ZERO,
        }
    for events in known.documents(dealer, *DELIVERY).values():
        dispatched = last(events, "delivery.dispatched.v1")
        named = dispatched["data"].get("order") if dispatched is not None else None
        if dispatched is not None and named is not None:
            count(found, named, "dispatched", [line["quantity"] for line in dispatched["data"]["lines"]])
        receipts = {e["data"]["receipt"]: e for e in events if e["type"] == "delivery.received.v1"}
        for receipt in receipts.values():
            order = receipt["data"].get("order") or named
            if order is not None:
                count(found, order, "accepted", [line["accepted"] for line in receipt["data"]["lines"]])
    return found


def day(placed: Event, events: list[Event]) -> date:
    said = placed["data"].get("placed")
    return when(said).date() if said else opened(events, "order.placed.v1").date()


def count(found: dict[str, dict[str, Any]], order: str, field: str, quantities: Iterable[Any]) -> None:
    blank = {"status": "", "day": None, **dict.fromkeys(("quantity", "net", "dispatched", "accepted"), ZERO)}
    found.setdefault(order, blank)[field] += sum([number(one) for one in quantities], ZERO)


def status(events: list[Event]) -> str:
    types = [event["type"] for event in events]
    if "order.cancelled.v1" in types:
        return "cancelled"
    if "order.closed.v1" in types:
        return "closed"
    for place, event in enumerate(events):
        if event["type"] == "order.held.v1" and not any(
            other["type"] == "order.released.v1" and other["data"]["reason"] == event["data"]["reason"]
            for other in events[place + 1 :]
        ):
            return "held"
    return "confirmed" if "order.confirmed.v1" in types else "placed"


def ledger(known: Known, dealer: str) -> dict[tuple[date, str], dict[str, Decimal]]:
    """What moved a dealer's account, by day and currency."""
    found: dict[tuple[date, str], dict[str, Decimal]] = {}

    def move(at: datetime, currency: str, field: str, amount: Decimal) -> None:
        held = found.setdefault((at.date(), currency), {})
        held[field] = held.get(field, ZERO) + amount

    for events in known.documents(dealer, *LEDGER).values():
        if (invoice := last(events, "invoice.issued.v1")) is not None:
            data = invoice["data"]
            amount = sum([number(line["net"]) + number(line.get("tax")) for line in data["lines"]], ZERO)
            field = "invoiced" if data.get("kind", "invoice") == "invoice" else "credited"
            move(opened(events, "invoice.issued.v1"), data["currency"], field, amount)
        if (payment := last(events, "payment.received.v1")) is not None:
            data = payment["data"]
            refund = data.get("kind") == "refund"
            at = opened(events, "payment.received.v1")
            move(at, data["currency"], "refunded" if refund else "paid", number(data["amount"]))
            if last(events, "payment.failed.v1") is not None:
                amount = number(data["amount"]) * (-1 if refund else 1)
                move(opened(events, "payment.failed.v1"), data["currency"], "failed", amount)
        balance = last(events, "balance.opened.v1")
        if balance is not None and balance["data"].get("kind") == "receivable":
            for line in balance["data"]["lines"]:
                at, amount = when(balance["data"]["as_of"]), number(line.get("amount"))
                move(at, line.get("currency") or "", "opening", amount)
    return {place: held for place, held in found.items() if any(held.values())}


STOCK = (
    *("delivery.dispatched.v1", "delivery.received.v1", "return.received.v1", "goods.exchanged.v1"),
    *("stock.moved.v1", "stock.counted.v1", "balance.opened.v1", "sellout.reported.v1"),
)
SIGNS = {"in": 1, "out": -1, "transfer": -1, "adjust": 1, "scrap": -1}


def stock(known: Known, dealer: str, at: datetime | None) -> dict[tuple[str, str], Decimal]:
    """What is at a dealer's own place by SKU and lot: the last count by an instant, and the moves after it."""
    moves: list[tuple[datetime, str, str, Decimal]] = []
    counts: list[tuple[tuple[datetime, int], str, str, Decimal]] = []  # an empty SKU or lot: all of them
    for events in [*known.documents(dealer, *STOCK).values(), *known.documents("", *STOCK).values()]:
        moves += [
            (when_, line["sku"], line.get("lot") or "", sign * number(line[field]))
            for when_, sign, field, line in moved(events, dealer)
        ]
        counts += counted(events, dealer)
    names = {(sku, lot) for _, sku, lot, _ in moves} | {(sku, lot) for _, sku, lot, _ in counts if sku}
    found = {}
    for sku, lot in names:
        bearing = [
            (when_, bool(s) + bool(b), quantity if (s, b) == (sku, lot) else ZERO)
            for when_, s, b, quantity in counts
            if (s, b) in ((sku, lot), (sku, ""), ("", "")) and (at is None or when_[0] <= at)
        ]
        [*_, (since, _, quantity)] = sorted(bearing) or [((datetime.min.replace(tzinfo=UTC), 0), 0, ZERO)]
        after = [
            q
            for when_, s, b, q in moves
            if (s, b) == (sku, lot) and when_ > since[0] and (at is None or when_ <= at)
        ]
        if total := quantity + sum(after, ZERO):
            found[sku, lot] = total
    return found


Line = dict[str, Any]


def moved(events: list[Event], place: str) -> Iterator[tuple[datetime, int, str, Line]]:
    """What a document puts into a place or takes from it: when, which way, by which field of which line."""
    sent = last(events, "delivery.dispatched.v1")
    to = (sent["data"].get("to") if sent is not None else None) or events[0]["data"].get("dealer")
    if sent is not None and sent["data"].get("from") == place:
        yield from [(opened(events, sent["type"]), -1, "quantity", line) for line in sent["data"]["lines"]]
    receipts = {e["data"]["receipt"]: e for e in events if e["type"] == "delivery.received.v1"}
    for receipt in receipts.values() if to == place else ():
        arrived = when(receipt["data"]["arrived"])
        yield from [(arrived, 1, "accepted", line) for line in receipt["data"]["lines"]]
    returned = last(events, "return.received.v1")
    if returned is not None and returned["data"]["dealer"] == place:
        sign = -1 if returned["data"]["direction"] == "to_company" else 1
        yield from [
            (opened(events, returned["type"]), sign, "quantity", li) for li in returned["data"]["lines"]
        ]
    swapped = last(events, "goods.exchanged.v1")
    if swapped is not None and swapped["data"]["dealer"] == place:
        way = 1 if swapped["data"].get("outlet") else -1
        for sign, field in ((way, "in"), (-way, "out")):
            yield from [
                (opened(events, swapped["type"]), sign, "quantity", li) for li in swapped["data"][field]
            ]
    move = last(events, "stock.moved.v1")
    if move is not None and not move["data"].get("delivery") and move["data"]["kind"] in SIGNS:
        data, at = move["data"], opened(events, move["type"])
        if data["location"] == place:
            yield from [(at, SIGNS[data["kind"]], "quantity", line) for line in data["lines"]]
        if data["kind"] == "transfer" and data.get("to_location") == place:
            yield from [(at, 1, "quantity", line) for line in data["lines"]]
    sold = last(events, "sellout.reported.v1")
    if sold is not None and sold["data"]["dealer"] == place and sold["data"]["flow"] == "secondary":
        yield from [(when(sold["data"]["to"]), -1, "quantity", line) for line in sold["data"]["lines"]]


def counted(events: list[Event], place: str) -> Iterator[tuple[tuple[datetime, int], str, str, Decimal]]:
    """What a document says is there: when and at which sequence, of which SKU and lot, how much."""
    count, balance = last(events, "stock.counted.v1"), last(events, "balance.opened.v1")
    if count is not None and count["data"]["location"] == place:
        rank = when(count["data"]["at"]), count["sequence"]
        if count["data"]["scope"] == "full":
            yield rank, "", "", ZERO
        yield from together(rank, count["data"]["lines"])
    if balance is not None and balance["data"]["kind"] == "stock":
        data = balance["data"]
        if (data.get("location") or data["dealer"]) == place:
            lines = [line for line in data["lines"] if line.get("sku") and line.get("quantity") is not None]
            yield from together((when(data["as_of"]), balance["sequence"]), lines)


def together(
    rank: tuple[datetime, int], lines: list[Line]
) -> Iterator[tuple[tuple[datetime, int], str, str, Decimal]]:
    """Lines of one SKU and lot are one count."""
    found: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        place = line["sku"], line.get("lot") or ""
        found[place] = found.get(place, ZERO) + number(line["quantity"])
    yield from [(rank, *place, quantity) for place, quantity in found.items()]
