"""Sales reckoned again from scratch: every order priced by hand, and what each document says of it added to its day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from tests.lab.naive import DELIVERY, ORDER, ZERO, Event, Known, Line, day, last, number, opened, when

DOCUMENTS = (*ORDER, *DELIVERY, "return.received.v1", "invoice.issued.v1", "sellout.reported.v1")
WIDE = Context(prec=80)
NOBODY = ("", "", "")  # rep, territory, currency

#: Day, SKU, and what the order states: rep, territory, currency.
Place = tuple[date, str, str, str, str]
#: What a document says of an order: its id, stage, SKU, day, quantity, stated net or None, currency, line.
Said = tuple[str, str, str, date, Decimal, Decimal | None, str, str]


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """`amount × part ÷ whole` to six places, half to even."""
    if not whole:
        return ZERO
    wide = WIDE.divide(WIDE.multiply(amount, part), whole)
    return wide.quantize(Decimal("0.000001"), ROUND_HALF_EVEN, WIDE)


def total(lines: Iterable[Line], name: str) -> Decimal:
    return sum([line[name] for line in lines], ZERO)


def sales(known: Known, dealer: str) -> dict[Place, dict[str, Decimal]]:
    """Every figure that is not zero of what a dealer bought, took, returned, was charged for and sold on."""
    book: dict[Place, dict[str, Decimal]] = {}

    def enter(on: date, sku: str, whose: tuple[str, str, str], **figures: Decimal) -> None:
        row = book.setdefault((on, sku, *whose), {})
        for name, figure in figures.items():
            row[name] = row.get(name, ZERO) + figure

    documents = known.documents(dealer, *DOCUMENTS)
    placed = {name: events for (kind, name), events in documents.items() if kind == "order"}
    said: dict[str, list[Said]] = {name: [] for name in placed}
    for (_, name), events in documents.items():
        for order, one in parts(name, events):
            said.setdefault(order, []).append(one)
        if (report := last(events, "sellout.reported.v1")) is not None:
            data = report["data"]
            on, whose = (
                (when(data["to"]) - timedelta(microseconds=1)).date(),
                ("", "", data.get("currency", "")),
            )
            for line in data["lines"]:
                figures = {
                    data["flow"]: number(line["quantity"]),
                    data["flow"] + "_net": number(line.get("net")),
                }
                enter(on, line["sku"], whose, **figures)
    for order, found in said.items():
        events = placed.get(order, [])
        whose, lines = NOBODY, []
        if (first := last(events, "order.placed.v1")) is not None:
            whose = tuple([first["data"].get(name) or "" for name in ("rep", "territory", "currency")])
            lines = priced(events)
            cancelled = last(events, "order.cancelled.v1") is not None
            for line in left(lines, found) if cancelled else lines:
                figures = {name: line[name] for name in ("net", "list_amount", "discount", "cost")}
                figures["ordered_net"] = figures.pop("net")
                figures["free" if line["free"] else "ordered"] = line["quantity"]
                enter(day(first, events), line["sku"], whose, **figures)
        for on, sku, stage, currency, quantity, net in worth(lines, found):
            enter(on, sku, (*whose[:2], currency or whose[2]), **{stage: quantity, stage + "_net": net})
    kept = {place: {n: v for n, v in row.items() if v} for place, row in book.items()}
    return {place: row for place, row in kept.items() if row}


def priced(events: list[Event]) -> list[Line]:
    """The lines of an order as they were last stated."""
    said = [event for event in events if event["type"] in ("order.placed.v1", "order.amended.v1")][-1]
    return [
        {
            "line": line["line"],
            "sku": line["sku"],
            "quantity": number(line["quantity"]),
            "net": number(line["net"]),
            "list_amount": share(number(line["quantity"]), number(line.get("list_price")), Decimal(1)),
            "discount": sum([number(one["amount"]) for one in line.get("discounts", [])], ZERO),
            "cost": number(line["cost"])
            if line.get("cost") is not None
            else share(number(line["quantity"]), number(line.get("unit_cost")), Decimal(1)),
            "free": line.get("free") is not None,
        }
        for line in said["data"]["lines"]
    ]


def left(lines: list[Line], found: list[Said]) -> Iterator[Line]:
    """Of an order that was cancelled counts what had been dispatched of it: what is paid for first."""
    for sku in {line["sku"] for line in lines}:
        mine = [line for line in lines if line["sku"] == sku]
        whole = total(mine, "quantity")
        gone = sum(
            [quantity for _, stage, s, _, quantity, *_ in found if (stage, s) == ("dispatched", sku)], ZERO
        )
        if gone >= whole:
            yield from mine
        elif gone:
            paid = min(gone, total([line for line in mine if not line["free"]], "quantity"))
            amounts = {
                name: share(total(mine, name), gone, whole)
                for name in ("net", "list_amount", "discount", "cost")
            }
            yield {"sku": sku, "quantity": paid, "free": False, **amounts}
            yield {"sku": sku, "quantity": gone - paid, "free": True, **dict.fromkeys(amounts, ZERO)}


def parts(name: str, events: list[Event]) -> Iterator[tuple[str, Said]]:
    """What one document says of orders, each by name; without one under the empty name."""
    sent = last(events, "delivery.dispatched.v1")
    ordered = (sent["data"].get("order") if sent is not None else None) or ""
    if sent is not None:
        on = opened(events, sent["type"]).date()
        for line in sent["data"]["lines"]:
            yield ordered, (name, "dispatched", line["sku"], on, number(line["quantity"]), None, "", "")
    receipts = {e["data"]["receipt"]: e for e in events if e["type"] == "delivery.received.v1"}
    for receipt in receipts.values():
        data, on = receipt["data"], when(receipt["data"]["arrived"]).date()
        for line in data["lines"]:
            taken = number(line["accepted"])
            yield data.get("order") or ordered, (name, "accepted", line["sku"], on, taken, None, "", "")
    returned = last(events, "return.received.v1")
    if returned is not None and returned["data"]["direction"] == "to_company":
        data, on = returned["data"], opened(events, returned["type"]).date()
        for line in data["lines"]:
            of: dict[str, Any] = line.get("of") or {"order": data.get("order") or "", "line": ""}
            net = None if line.get("net") is None else number(line["net"])
            quantity = number(line["quantity"])
            yield of["order"], (name, "returned", line["sku"], on, quantity, net, "", of["line"])
    if (invoice := last(events, "invoice.issued.v1")) is not None:
        data, on = invoice["data"], opened(events, invoice["type"]).date()
        sign = -1 if data.get("kind") == "credit_note" else 1
        for line in data["lines"]:
            quantity, net = sign * number(line["quantity"]), sign * number(line["net"])
            currency = data["currency"]
            yield data.get("order") or "", (name, "invoiced", line["sku"], on, quantity, net, currency, "")


def worth(lines: list[Line], found: list[Said]) -> Iterator[tuple[date, str, str, str, Decimal, Decimal]]:
    """What each part is worth: as stated, else its share of the order's net, so that all shares add up to it."""
    gone: dict[tuple[str, str, str], Decimal] = {}
    for _, stage, sku, on, quantity, net, currency, line in sorted(found, key=lambda one: (one[3], one[0])):
        if net is None:
            mine = [one for one in lines if one["sku"] == sku]
            mine = [one for one in mine if one["line"] == line] or mine
            before = gone.get((stage, sku, line), ZERO)
            gone[stage, sku, line] = after = before + quantity
            amount, whole = total(mine, "net"), total(mine, "quantity")
            net = share(amount, after, whole) - share(amount, before, whole)
        yield on, sku, stage, currency, quantity, net
