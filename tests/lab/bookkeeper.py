"""Stock kept by hand: a second, slow and separate reckoning from plain facts, to hold the projection against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from domain.catalogue import TYPES
from tests.lab.histories import Fact

D = Decimal


class Entry(NamedTuple):
    """One change of one bucket at an instant."""

    location: str
    sku: str
    lot: str
    at: datetime
    on_hand: Decimal = D(0)
    blocked: Decimal = D(0)
    in_transit: Decimal = D(0)


class Counting(NamedTuple):
    """What one count says of a location; `lines` by (SKU, lot)."""

    location: str
    at: datetime
    sequence: int
    full: bool
    lines: dict[tuple[str, str], Decimal]


Level = tuple[Decimal, Decimal, Decimal, Decimal]  # on hand, blocked, in transit, on order

# A document's statements that stand, as (time, sequence, fact), oldest first.
Statements = list[tuple[datetime, int, Fact]]


def standing(history: Sequence[Fact]) -> Iterator[tuple[int, Fact]]:
    """The facts that no standing withdrawal names, numbered from 1 as the log would."""
    naming = defaultdict(list)
    for fact in history:
        if fact.type == "event.voided.v1":
            naming[fact.data["id"]].append(fact)

    def stands(fact: Fact) -> bool:
        return not any(stands(void) for void in naming[fact.id])

    for sequence, fact in enumerate(history, 1):
        if fact.type != "event.voided.v1" and stands(fact):
            yield sequence, fact


def books(history: Sequence[Fact]) -> dict[tuple[str, str, str], Statements]:
    """The standing statements by (kind, dealer, document)."""
    found: dict[tuple[str, str, str], Statements] = defaultdict(list)
    for sequence, fact in standing(history):
        entry = TYPES[fact.type]
        document = fact.data.get(entry.document_field) or fact.data[entry.document_field.rstrip("_")]
        found[entry.document, fact.data.get("dealer") or "", document].append((fact.time, sequence, fact))
    for statements in found.values():
        statements.sort(key=lambda s: s[:2])
    return found


def _last(statements: Statements, type: str) -> tuple[datetime, int, dict[str, Any]] | None:
    """When a type first spoke, the sequence and data of its last word."""
    said = [s for s in statements if s[2].type == type]
    return (min(s[0] for s in said), said[-1][1], said[-1][2].data) if said else None


def entries(history: Sequence[Fact]) -> list[Entry]:
    """Everything that moved."""
    return [e for (kind, dealer, _), said in books(history).items() for e in _moved(kind, dealer, said)]


def _moved(kind: str, dealer: str, said: Statements) -> Iterator[Entry]:
    if kind == "delivery":
        yield from _delivered(dealer, said)
    elif kind == "movement" and (found := _last(said, "stock.moved.v1")):
        at, _, data = found
        for sku, lot, quantity in _lines(data["lines"]) if not data["delivery"] else ():
            here, there = data["location"], data["to_location"]
            match data["kind"]:
                case "in" | "adjust":
                    yield Entry(here, sku, lot, at, quantity)
                case "out" | "scrap":
                    yield Entry(here, sku, lot, at, -quantity)
                case "block":
                    yield Entry(here, sku, lot, at, blocked=quantity)
                case "release":
                    yield Entry(here, sku, lot, at, blocked=-quantity)
                case "transfer":
                    yield Entry(here, sku, lot, at, -quantity)
                    yield Entry(there, sku, lot, at, quantity)
    elif kind == "return" and (found := _last(said, "return.received.v1")):
        at, _, data = found
        for sku, lot, quantity in _lines(data["lines"]):
            yield Entry(dealer, sku, lot, at, quantity if data["direction"] == "to_dealer" else -quantity)
    elif kind == "exchange" and (found := _last(said, "goods.exchanged.v1")):
        at, _, data = found
        outlet = data["outlet"]
        for sign, field in ((1, "in"), (-1, "out")):
            for sku, lot, quantity in _lines(data[field]):
                yield Entry(dealer, sku, lot, at, sign * quantity if outlet else -sign * quantity)
                if outlet:
                    yield Entry(outlet, sku, lot, at, -sign * quantity)
    elif kind == "report" and (found := _last(said, "sellout.reported.v1")):
        data = found[2]
        for sku, lot, quantity in _lines(data["lines"]):
            if data["flow"] == "secondary":
                yield Entry(dealer, sku, lot, data["to"], -quantity)
            if data["outlet"]:
                yield Entry(
                    data["outlet"],
                    sku,
                    lot,
                    data["to"],
                    quantity if data["flow"] == "secondary" else -quantity,
                )


def _delivered(dealer: str, said: Statements) -> Iterator[Entry]:
    out = _last(said, "delivery.dispatched.v1")
    to = dealer if out is None else out[2]["to"] or dealer
    coming: dict[tuple[str, str], Decimal] = {}
    if out is not None:
        for sku, lot, quantity in _lines(out[2]["lines"]):
            if out[2]["from_"]:
                yield Entry(out[2]["from_"], sku, lot, out[0], -quantity)
            yield Entry(to, sku, lot, out[0], in_transit=quantity)
            coming[sku, lot] = coming.get((sku, lot), D(0)) + quantity
    receipts = {f.data["receipt"]: f.data for _, _, f in said if f.type == "delivery.received.v1"}
    for data in sorted(receipts.values(), key=lambda r: (r["arrived"], r["receipt"])):
        for line in data["lines"]:
            [(sku, lot, accepted)] = _lines([line], "accepted")
            yield Entry(to, sku, lot, data["arrived"], accepted)
            settled = accepted + sum(D(line[n]) for n in ("short", "damaged", "refused") if line.get(n))
            own_first = sorted(
                (k for k in coming if k[0] == sku), key=lambda k: line["lot"] is None or k[1] != lot
            )
            for key in own_first:
                step = min(settled, coming[key])
                coming[key] -= step
                settled -= step
                assert out is not None
                yield Entry(to, *key, max(data["arrived"], out[0]), in_transit=-step)


def _lines(lines: list[dict[str, Any]], field: str = "quantity") -> list[tuple[str, str, Decimal]]:
    return [(line["sku"], line["lot"] or "", D(line[field])) for line in lines]


def countings(history: Sequence[Fact]) -> list[Counting]:
    """Every count and opening balance of stock that stands."""
    found = []
    for (kind, dealer, _), said in books(history).items():
        if kind not in ("count", "balance"):
            continue
        _, sequence, data = _last(said, "stock.counted.v1" if kind == "count" else "balance.opened.v1") or (
            0,
            0,
            {},
        )
        lines: dict[tuple[str, str], Decimal] = {}
        for sku, lot, quantity in _lines(data["lines"]):
            lines[sku, lot] = lines.get((sku, lot), D(0)) + quantity
        at = data["at"] if kind == "count" else data["as_of"]
        location = data["location"] or dealer
        found.append(Counting(location, at, sequence, data.get("scope") == "full", lines))
    return sorted(found, key=lambda c: (c.at, c.sequence))


def levels(history: Sequence[Fact], at: datetime) -> dict[tuple[str, str, str], Level]:
    """What every bucket held at an instant, by hand; buckets that held nothing are left out."""
    moved, counted = (
        [e for e in entries(history) if e.at <= at],
        [c for c in countings(history) if c.at <= at],
    )
    ordered = _on_order(history, at)
    buckets = {e[:3] for e in moved} | {(c.location, *name) for c in counted for name in c.lines}
    found = {}
    for location, sku, lot in buckets | set(ordered):
        on_hand, since = D(0), None
        for count in counted:
            if count.location != location:
                continue
            if (sku, lot) in count.lines:
                on_hand, since = count.lines[sku, lot], count.at
            elif count.full or (sku, "") in count.lines:
                on_hand, since = D(0), count.at
        mine = [e for e in moved if e[:3] == (location, sku, lot)]
        on_hand += sum(e.on_hand for e in mine if since is None or e.at > since)
        level = (
            *(on_hand, sum((e.blocked for e in mine), D(0)), sum((e.in_transit for e in mine), D(0))),
            ordered.get((location, sku, lot), D(0)),
        )
        if any(level):
            found[location, sku, lot] = level
    return {(location.strip("@"), sku, lot): level for (location, sku, lot), level in found.items()}


def _on_order(history: Sequence[Fact], at: datetime) -> dict[tuple[str, str, str], Decimal]:
    found: dict[tuple[str, str, str], Decimal] = {}
    documents = books(history)
    for (kind, dealer, name), said in documents.items():
        placed = _last(said, "order.placed.v1")
        ended = [s[0] for s in said if s[2].type == "order.cancelled.v1"]
        if kind != "order" or placed is None or placed[0] > at or (ended and max(ended) <= at):
            continue
        lines = [s for s in said if s[2].type in ("order.placed.v1", "order.amended.v1")][-1][2].data["lines"]
        location = (placed[2]["ship_to"] or {}).get("id") or dealer
        for sku in {line["sku"] for line in lines}:
            wanted = sum(D(line["quantity"]) for line in lines if line["sku"] == sku)
            for (other, whose, _), dispatch in documents.items():
                out = (
                    _last(dispatch, "delivery.dispatched.v1")
                    if (other, whose) == ("delivery", dealer)
                    else None
                )
                if out is not None and out[2]["order"] == name and out[0] <= at:
                    wanted -= sum(D(line["quantity"]) for line in out[2]["lines"] if line["sku"] == sku)
            key = (location, sku, "")
            found[key] = found.get(key, D(0)) + max(D(0), wanted)
    return found


def far(history: Sequence[Fact]) -> datetime:
    """An instant after everything."""
    return max(fact.time for fact in history) + timedelta(days=30)
