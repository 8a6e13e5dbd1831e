"""Small histories of trade as Hypothesis draws them, and its books kept by hand in fractions, slowly and separately."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.lab.bookkeeper import Statements, books
from tests.lab.histories import BEGIN, HOUR, SKUS, Fact, void_of

KINDS = ["order"] * 4 + ["amended", "cancelled", "closed"] + ["dispatched"] * 3 + ["received"] * 3
KINDS += ["returned"] * 2 + ["invoiced"] * 2 + ["sold"]
ORDERS = ("@O1", "@O2")

quantities = st.sampled_from(["0", "1", "2.5", "3", "7", "10", "0.000001"])
amounts = st.sampled_from(["0", "10", "0.01", "33.333333", "-4"])


@st.composite
def trades(draw: st.DrawFn, id: str, time: datetime) -> Fact:
    """One fact about one of few orders, and the deliveries, returns and invoices that name them or do not."""
    kind = draw(st.sampled_from(KINDS))
    dealer, order = draw(st.sampled_from(["@D1", "@D1", "@D2"])), draw(st.sampled_from(ORDERS))
    named = draw(st.sampled_from((None, *ORDERS)))
    data: dict[str, Any]
    if kind in ("order", "amended"):
        data = {"order": order, "dealer": dealer, "lines": draw(order_lines())}
        if kind == "amended":
            return Fact("order.amended.v1", id, time, {**data, "initiator": "dealer"})
        whose = {
            "rep": draw(st.sampled_from((None, "@R1"))),
            "territory": draw(st.sampled_from((None, "@W"))),
        }
        data |= whose | {"currency": draw(st.sampled_from(["CNY", "USD"]))}
        return Fact("order.placed.v1", id, time, data)
    if kind in ("cancelled", "closed"):
        return Fact(f"order.{kind}.v1", id, time, {"order": order, "dealer": dealer})
    goods = [
        {"sku": draw(st.sampled_from(SKUS)), "quantity": draw(quantities)}
        for _ in range(draw(st.integers(1, 2)))
    ]
    delivery = {"delivery": draw(st.sampled_from(["@L1", "@L2"])), "dealer": dealer, "order": named}
    if kind == "dispatched":
        return Fact("delivery.dispatched.v1", id, time, delivery | {"lines": goods})
    if kind == "received":
        receipt = {"receipt": draw(st.sampled_from(["R1", "R2"])), "arrived": time - timedelta(days=1)}
        lines = [{"sku": line["sku"], "accepted": line["quantity"]} for line in goods]
        return Fact("delivery.received.v1", id, time, delivery | receipt | {"lines": lines})
    if kind == "returned":
        lines = [line | draw(origins()) | {"condition": "sellable"} for line in goods]
        direction = draw(st.sampled_from(("to_company", "to_company", "to_dealer")))
        data = {"return": draw(st.sampled_from(["@T1", "@T2"])), "dealer": dealer, "order": named}
        return Fact(
            "return.received.v1", id, time, data | {"direction": direction, "reason": "aged", "lines": lines}
        )
    if kind == "invoiced":
        lines = [line | {"line": str(n), "net": draw(amounts)} for n, line in enumerate(goods)]
        data = {
            "invoice": draw(st.sampled_from(["@I1", "@I2"])),
            "dealer": dealer,
            "order": named,
            "lines": lines,
        }
        what = {"kind": draw(st.sampled_from(["invoice", "credit_note"])), "currency": "CNY"}
        return Fact("invoice.issued.v1", id, time, data | what)
    data = {"report": "@Q1", "dealer": dealer, "flow": draw(st.sampled_from(["secondary", "tertiary"]))}
    data |= {"from": time - 48 * HOUR, "to": time, "lines": [line | {"net": draw(amounts)} for line in goods]}
    return Fact("sellout.reported.v1", id, time, data | {"currency": draw(st.sampled_from([None, "CNY"]))})


@st.composite
def order_lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Lines of an order, some free, some with what the trade says beside the net."""
    return [
        {
            "line": str(number),
            "sku": draw(st.sampled_from(SKUS)),
            "quantity": draw(quantities),
            "unit_price": "2.5",
            "net": draw(amounts),
            "free": draw(st.sampled_from((None, None, {"kind": "bonus"}))),
            "list_price": draw(st.sampled_from((None, "3"))),
            "unit_cost": draw(st.sampled_from((None, "1.5"))),
            "cost": draw(st.sampled_from((None, None, "8"))),
            "discounts": draw(st.sampled_from(([], [{"kind": "promotion", "amount": "1"}]))),
        }
        for number in range(1, draw(st.integers(1, 3)) + 1)
    ]


@st.composite
def origins(draw: st.DrawFn) -> dict[str, Any]:
    """What a returned line says of its price: its own net, its order's line, or nothing."""
    line = {"order": draw(st.sampled_from(ORDERS)), "line": draw(st.sampled_from("12"))}
    return draw(st.sampled_from(({}, {"net": "5"}, {"of": line})))


@st.composite
def trade(draw: st.DrawFn, *, most: int = 12, voids: bool = True) -> list[Fact]:
    """Trades, each at an instant of its own, and withdrawals of some."""
    hours = draw(st.lists(st.integers(0, 300), min_size=2, max_size=most, unique=True))
    found = [draw(trades(f"@e{number}", BEGIN + hour * HOUR)) for number, hour in enumerate(hours)]
    for number in range(draw(st.integers(0, 3)) if voids else 0):
        found.append(void_of(draw(st.sampled_from(found)), f"@v{number}", BEGIN + (400 + number) * HOUR))
    return found


Book = dict[tuple[str, date, str, str, str, str], dict[str, Fraction]]


def reckoned(history: Sequence[Fact]) -> Book:
    """What was sold, by hand: (dealer, day, SKU, rep, territory, currency) → figures that are not zero."""
    found: Book = defaultdict(lambda: defaultdict(Fraction))
    documents = books(history)
    orders = {k[1:]: order for k, said in documents.items() if k[0] == "order" and (order := _order(said))}
    parts = [(dealer, *part) for (kind, dealer, _), said in documents.items() for part in _parts(kind, said)]
    for (dealer, name), (day, placed, lines, cancelled) in orders.items():
        whose = (placed["rep"] or "", placed["territory"] or "", placed["currency"])
        for sku in {line["sku"] for line in lines}:
            mine = [line for line in lines if line["sku"] == sku]
            paid, free = (
                sum(F(n["quantity"]) for n in mine if bool(n["free"]) is is_free) for is_free in (False, True)
            )
            gone = sum((p[5] for p in parts if p[:4] == (dealer, name, "dispatched", sku)), Fraction(0))
            share = (
                min(Fraction(1), gone / (paid + free) if paid + free else Fraction(0))
                if cancelled
                else Fraction(1)
            )
            row = found[dealer, day, sku, *whose]
            row["ordered"] += min(paid, gone) if cancelled else paid
            row["free"] += max(Fraction(0), min(free, gone - paid)) if cancelled else free
            for line in mine:
                quantity = F(line["quantity"])
                row["ordered_net"] += share * F(line["net"])
                row["list_amount"] += share * quantity * F(line["list_price"] or 0)
                row["discount"] += share * sum(F(d["amount"]) for d in line["discounts"])
                row["cost"] += share * (
                    F(line["cost"]) if line["cost"] else quantity * F(line["unit_cost"] or 0)
                )
    for dealer, name, stage, sku, day, quantity, net, line, currency in parts:
        order = orders.get((dealer, name)) if name else None
        rep, territory, money = "", "", ""
        if order is not None:
            rep, territory, money = order[1]["rep"] or "", order[1]["territory"] or "", order[1]["currency"]
            mine = [n for n in order[2] if n["sku"] == sku]
            mine = [n for n in mine if n["line"] == line] or mine
            whole = sum(F(n["quantity"]) for n in mine)
            if net is None and whole:
                net = sum(F(n["net"]) for n in mine) * quantity / whole
        row = found[dealer, day, sku, rep, territory, currency or money]
        row[stage] += quantity
        row[f"{stage}_net"] += net or 0
    return {key: kept for key, row in found.items() if (kept := {n: v for n, v in row.items() if v})}


F = Fraction
Part = tuple[str, str, str, date, Fraction, Fraction | None, str, str]


def _order(said: Statements) -> tuple[date, dict[str, Any], list[dict[str, Any]], bool] | None:
    placed = [s for s in said if s[2].type == "order.placed.v1"]
    if not placed:
        return None
    lines = [s for s in said if s[2].type in ("order.placed.v1", "order.amended.v1")][-1][2].data["lines"]
    cancelled = any(s[2].type == "order.cancelled.v1" for s in said)
    return placed[0][0].date(), placed[-1][2].data, lines, cancelled


def _parts(kind: str, said: Statements) -> Iterator[Part]:
    first, data = said[0][0].date(), said[-1][2].data
    if kind == "delivery":
        out = [s for s in said if s[2].type == "delivery.dispatched.v1"]
        for line in out[-1][2].data["lines"] if out else ():
            day = out[0][0].date()
            yield (
                out[-1][2].data["order"] or "",
                "dispatched",
                line["sku"],
                day,
                F(line["quantity"]),
                None,
                "",
                "",
            )
        receipts = {s[2].data["receipt"]: s[2].data for s in said if "receipt" in s[2].data}
        for receipt in receipts.values():
            order = receipt["order"] or (out[-1][2].data["order"] if out else None) or ""
            for line in receipt["lines"]:
                yield (
                    order,
                    "accepted",
                    line["sku"],
                    receipt["arrived"].date(),
                    F(line["accepted"]),
                    None,
                    "",
                    "",
                )
    elif kind == "return" and data["direction"] == "to_company":
        for line in data["lines"]:
            of = line.get("of") or {"order": data["order"] or "", "line": ""}
            net = F(line["net"]) if "net" in line else None
            yield of["order"], "returned", line["sku"], first, F(line["quantity"]), net, of["line"], ""
    elif kind == "invoice":
        sign = 1 if data["kind"] == "invoice" else -1
        for line in data["lines"]:
            net = sign * F(line["net"])
            yield (
                data["order"] or "",
                "invoiced",
                line["sku"],
                first,
                sign * F(line["quantity"]),
                net,
                "",
                data["currency"],
            )
    elif kind == "report":
        day = (data["to"] - timedelta(microseconds=1)).date()
        for line in data["lines"]:
            yield (
                "",
                data["flow"],
                line["sku"],
                day,
                F(line["quantity"]),
                F(line["net"]),
                "",
                data["currency"] or "",
            )
