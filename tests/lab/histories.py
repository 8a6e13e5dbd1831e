"""Small histories of a channel as Hypothesis draws them, each in a world of its own within one database.

Every id of a history begins with `@`, which `placed_in` replaces, so that many histories fit one log.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from tests.lab.events import NOON, body, subject_of

DEALERS = ("@D1", "@D2")
SKUS = ("COLA", "可乐")
LOTS = (None, None, "L1", "L2")
#: Kinds of fact, the telling ones more often.
KINDS = (
    *("order", "order", "amended", "confirmed", "cancelled", "held", "released", "dispatched", "dispatched"),
    *("received", "received", "received", "moved", "moved", "moved", "counted", "counted", "counted"),
    *("returned", "exchanged", "sold", "opened", "registered"),
)
HOUR = timedelta(hours=1)
BEGIN = NOON - 400 * HOUR

quantities = st.sampled_from(["0", "1", "2.5", "7", "10", "0.000001"])
dealers = st.sampled_from(DEALERS)
locations = st.sampled_from(("@D1", "@D2", "@WH"))


class Fact(Struct, frozen=True):
    """One event of a history, before it has a world: type, id, time, subject and data."""

    type: str
    id: str
    time: datetime
    data: dict[str, Any]
    family: str = ""

    def body(self) -> bytes:
        if self.type == "event.voided.v1":
            raw = json.loads(
                body(self.type, id=self.id, time=self.time, subject=self.data["id"], reason="wrong")
            )
            raw["data"] |= self.data
            return json.dumps(raw, ensure_ascii=False).encode()
        return body(self.type, id=self.id, time=self.time, **self.data)


def placed_in(world: str, event: bytes) -> bytes:
    """The event with all its ids in a world."""
    return event.replace(b"@", world.encode())


@st.composite
def lines(
    draw: st.DrawFn, field: str = "quantity", *, lots: bool = True, least: int = 1
) -> list[dict[str, Any]]:
    """Lines of SKU, lot and quantity."""
    return [
        {
            "sku": draw(st.sampled_from(SKUS)),
            "lot": draw(st.sampled_from(LOTS)) if lots else None,
            field: draw(quantities),
        }
        for _ in range(draw(st.integers(least, 2)))
    ]


@st.composite
def facts(draw: st.DrawFn, id: str, time: datetime) -> Fact:
    """One fact about one of few documents: so that they are restated, amended, counted and crossed often."""
    kind = draw(st.sampled_from(KINDS))
    dealer = draw(dealers)
    order, delivery = draw(st.sampled_from(["@O1", "@O2"])), draw(st.sampled_from(["@L1", "@L2"]))
    data: dict[str, Any]
    if kind in ("order", "amended"):
        data = {"order": order, "dealer": dealer, "lines": _order_lines(draw)}
        if kind == "amended":
            return Fact("order.amended.v1", id, time, {**data, "initiator": "dealer"})
        place = {"id": draw(locations)} if draw(st.booleans()) else None
        return Fact("order.placed.v1", id, time, {**data, "currency": "CNY", "ship_to": place})
    if kind in ("confirmed", "cancelled"):
        return Fact(f"order.{kind}.v1", id, time, {"order": order, "dealer": dealer})
    if kind in ("held", "released"):
        return Fact(f"order.{kind}.v1", id, time, {"order": order, "dealer": dealer, "reason": "credit"})
    if kind == "dispatched":
        data = {
            "delivery": delivery,
            "dealer": dealer,
            "order": draw(st.sampled_from((None, "@O1", "@O2"))),
            "from_": draw(st.sampled_from((None, "@WH"))),
            "to": draw(st.sampled_from((None, None, "@WH"))),
            "lines": draw(lines()),
        }
        return Fact("delivery.dispatched.v1", id, time, data)
    if kind == "received":
        line = draw(lines("accepted"))[0] | {
            "short": draw(st.sampled_from((None, "1"))),
            "damaged": draw(st.sampled_from((None, "0.5"))),
        }
        data = {
            "delivery": delivery,
            "dealer": dealer,
            "order": draw(st.sampled_from((None, None, "@O1"))),
            "receipt": draw(st.sampled_from(["R1", "R2"])),
            "arrived": time - draw(st.sampled_from((0, 30))) * timedelta(minutes=1),
            "lines": [line],
        }
        return Fact("delivery.received.v1", id, time, data)
    if kind == "moved":
        how = draw(st.sampled_from(["in", "out", "transfer", "adjust", "scrap", "block", "release"]))
        data = {
            "movement": draw(st.sampled_from(["@M1", "@M2", "@M3"])),
            "location": draw(locations),
            "to_location": draw(locations) if how == "transfer" else None,
            "dealer": draw(st.sampled_from((None, *DEALERS))),
            "kind": how,
            "delivery": draw(st.sampled_from((None, None, None, "@L1"))),
            "lines": draw(lines()),
        }
        return Fact("stock.moved.v1", id, time, data)
    if kind == "counted":
        data = {
            "count": draw(st.sampled_from(["@C1", "@C2", "@C3"])),
            "location": draw(locations),
            "dealer": draw(st.sampled_from((None, *DEALERS))),
            "at": time,
            "scope": draw(st.sampled_from(("full", "listed"))),
            "method": "count",
            "lines": draw(lines(least=0)),
        }
        return Fact("stock.counted.v1", id, time, data)
    if kind == "returned":
        direction = draw(st.sampled_from(("to_company", "to_dealer")))
        data = {"return": draw(st.sampled_from(["@T1", "@T2"])), "dealer": dealer, "direction": direction}
        data |= {"reason": "aged", "lines": [line | {"condition": "sellable"} for line in draw(lines())]}
        return Fact("return.received.v1", id, time, data)
    if kind == "exchanged":
        data = {
            "exchange": "@X1",
            "dealer": dealer,
            "outlet": draw(st.sampled_from((None, "@S1"))),
            "reason": "aged",
        }
        return Fact("goods.exchanged.v1", id, time, data | {"in": draw(lines()), "out": draw(lines())})
    if kind == "sold":
        flow = draw(st.sampled_from(("secondary", "tertiary")))
        data = {
            "report": "@Q1",
            "dealer": dealer,
            "flow": flow,
            "outlet": draw(st.sampled_from((None, "@S1"))),
        }
        return Fact(
            "sellout.reported.v1", id, time, data | {"from": time - HOUR, "to": time, "lines": draw(lines())}
        )
    if kind == "opened":
        data = {
            "balance": "@B1",
            "dealer": dealer,
            "location": draw(locations),
            "kind": "stock",
            "as_of": time,
        }
        return Fact("balance.opened.v1", id, time, data | {"lines": draw(lines())})
    return Fact("dealer.registered.v1", id, time, {"dealer": dealer, "name": "某某商行"})


def _order_lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = draw(lines(lots=False))
    for number, line in enumerate(found, 1):
        line |= {"line": str(number), "unit_price": "2.5", "net": "10.01"}
        del line["lot"]
    return found


_ON_ORDER = ("order.", "delivery.dispatched.")  # what is on order does not wait


@st.composite
def histories(
    draw: st.DrawFn, *, most: int = 14, ties: bool = False, voids: bool = True, ahead: bool = False
) -> list[Fact]:
    """Facts and withdrawals in the order they were published.

    Without `ties` every fact has an instant of its own, so that only the clock decides and never the order of
    arrival. With `ahead` some facts that move or count claim to be months ahead of the log.
    """
    count = draw(st.integers(2, most))
    hours = draw(
        st.lists(st.integers(0, 5 if ties else 300), min_size=count, max_size=count, unique=not ties)
    )
    found = [draw(facts(f"@e{number}", BEGIN + hour * HOUR)) for number, hour in enumerate(hours)]
    for number in draw(st.sets(st.integers(0, count - 1))) if ahead else ():
        far = BEGIN + (5000 + hours[number]) * HOUR
        found[number] = draw(
            facts(f"@e{number}", far).filter(lambda fact: not fact.type.startswith(_ON_ORDER))
        )
    for number in range(draw(st.integers(0, 4)) if voids else 0):
        found.append(void_of(draw(st.sampled_from(found)), f"@v{number}", BEGIN + (400 + number) * HOUR))
    return found


def void_of(fact: Fact, id: str, time: datetime = NOON) -> Fact:
    """The withdrawal of a fact, or of a withdrawal, where it belongs."""
    family = fact.family or subject_of(fact.body()).split(".")[1]
    data = {"source": "erp", "id": fact.id} | (
        {"dealer": fact.data["dealer"]} if fact.data.get("dealer") is not None else {}
    )
    return Fact("event.voided.v1", id, time, data, family)


def subject(fact: Fact, event: bytes) -> str:
    """Where a fact is published."""
    found = subject_of(event)
    if not fact.family:
        return found
    _, _, dealer = found.split(".")
    return f"channel.{fact.family}.{dealer}"


@st.composite
def noisy(draw: st.DrawFn, **options: Any) -> list[tuple[str, bytes]]:
    """A history with ties, in some order, among repeats, contradictions and what is no event: subjects and bodies."""
    history = draw(histories(ties=True, **options))
    published = [(subject(fact, fact.body()), fact.body()) for fact in draw(st.permutations(history))]
    for _ in range(draw(st.integers(0, 6))):
        where, event = draw(st.sampled_from(published))
        noise = draw(st.sampled_from((repeated, contradicted, _cut, _unknown, _misplaced, _early)))
        published.insert(draw(st.integers(0, len(published))), noise(where, event))
    return published


def repeated(where: str, event: bytes) -> tuple[str, bytes]:
    """The same event written anew: other key order, white space and escapes."""
    try:
        raw = json.loads(event)
    except ValueError:
        return where, event
    return where, json.dumps(dict(reversed(raw.items())), indent=1).encode()


def contradicted(where: str, event: bytes) -> tuple[str, bytes]:
    """The same identity with other content."""
    return where, event.replace(b'"2026-02', b'"2025-02').replace(b"T0", b"T1")


def _cut(where: str, event: bytes) -> tuple[str, bytes]:
    return where, event[: len(event) // 2]


def _unknown(where: str, event: bytes) -> tuple[str, bytes]:
    return where, event.replace(b'.v1"', b'.v99"', 1)


def _misplaced(where: str, event: bytes) -> tuple[str, bytes]:
    return "channel.promotions.X", event


def _early(where: str, event: bytes) -> tuple[str, bytes]:
    """The same fact under another id, far ahead of the log."""
    return where, event.replace(b'"id": "@e', b'"id": "@far').replace(b'"2026-02', b'"2027-02')


def timeline(facts: Sequence[Fact]) -> list[datetime]:
    """Instants at which, and between which, a history says something."""
    times = sorted({fact.time for fact in facts})
    return [t + d for t in times for d in (-HOUR / 4, timedelta(), HOUR / 4)]
