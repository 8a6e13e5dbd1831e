"""What a channel manager wants to see first of a channel, asked through the API and laid out for a terminal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from cli.asking import Api
from cli.columns import columns, grouped, shortened

TOP = 8
NAME_PLACES = 44

Rows = list[dict[str, Any]]


class Summary(Struct, frozen=True):
    """The answers, as the API gave them."""

    events: Rows
    orders: Rows
    dealers: Rows
    stock: Rows
    flags: Rows
    way: Rows
    names: dict[str, str]  # of those dealers


def ask(api: Api) -> Summary:
    """Put the questions."""
    dealers = api.rows("orders", by="dealer,currency", sum="quantity,net", sort="-net", limit=TOP)
    return Summary(
        events=api.rows("events", by="status"),
        orders=api.rows("orders", by="status,currency", sum="quantity,net", limit=50),
        dealers=dealers,
        stock=api.rows("stock_levels", sort="on_hand", limit=TOP),
        flags=api.rows("flags", by="kind", cleared="", limit=50),
        way=api.rows("orders", sum="quantity,dispatched,accepted", by="currency"),
        names={dealer: _name(api, dealer) for dealer in {row["dealer"] for row in dealers}},
    )


def _name(api: Api, dealer: str) -> str:
    """What the dealer was called last, as its own events say; nothing where none does."""
    for row in api.rows("events", dealer=dealer, kind="dealer", status="accepted", sort="-sequence"):
        name = msgspec.json.decode(row["body"], type=_Named).data.name
        if name:
            return name
    return ""


class _Data(Struct):
    name: str = ""


class _Named(Struct):
    data: _Data


def lines_of(found: Summary) -> list[str]:
    """All of it in aligned columns."""
    return [
        *_titled("What arrived", _events(found.events)),
        *_titled("Orders", _orders(found.orders)),
        *_titled("From order to receipt, in base units", _way(found.way)),
        *_titled("Dealers by order value", _dealers(found.dealers, found.names)),
        *_titled("Least in stock", _stock(found.stock)),
        *_titled("What looks wrong", _flags(found.flags)),
    ]


def _titled(title: str, table: list[str]) -> list[str]:
    return ["", title, *[f"  {line}" for line in table]]


MEANING = {
    "accepted": "counted in every figure",
    "duplicate": "sent again, changes nothing",
    "conflict": "other content under an id that was taken",
    "invalid": "listed in /rejections with every reason",
    "not_understood": "a type this version does not know",
}


def _events(rows: Rows) -> list[str]:
    order = list(MEANING)
    rows = sorted(rows, key=lambda row: order.index(row["status"]) if row["status"] in order else 9)
    shown = [(row["status"], grouped(row["count"]), MEANING.get(row["status"], "")) for row in rows]
    total = grouped(sum(row["count"] for row in rows))
    return columns(("events", "number", ""), [*shown, ("all", total, "")], right=(1,))


def _orders(rows: Rows) -> list[str]:
    shown = [
        (
            *(row["status"] or "not placed yet", row["currency"] or "-", grouped(row["count"])),
            *(grouped(row["quantity"]), money(row["net"])),
        )
        for row in rows
    ]
    for currency in sorted({row["currency"] for row in rows if row["currency"]}):
        mine = [row for row in rows if row["currency"] == currency]
        shown.append(
            (
                *("all", currency, grouped(sum(row["count"] for row in mine))),
                *(grouped(str(_sum(mine, "quantity"))), money(str(_sum(mine, "net")))),
            )
        )
    return columns(("status", "currency", "orders", "base units", "net"), shown, right=(2, 3, 4))


def _way(rows: Rows) -> list[str]:
    ordered, dispatched, accepted = (_sum(rows, name) for name in ("quantity", "dispatched", "accepted"))
    shown = [
        ("ordered", grouped(str(ordered)), ""),
        ("dispatched", grouped(str(dispatched)), share(dispatched, ordered)),
        ("received", grouped(str(accepted)), share(accepted, ordered)),
        (
            "dispatched, not received",
            grouped(str(dispatched - accepted)),
            share(dispatched - accepted, ordered),
        ),
    ]
    return columns(("", "base units", "of ordered"), shown, right=(1, 2))


def _dealers(rows: Rows, names: dict[str, str]) -> list[str]:
    shown = [
        (
            *(
                str(number),
                row["dealer"],
                shortened(names[row["dealer"]], NAME_PLACES),
                row["currency"] or "-",
            ),
            *(grouped(row["count"]), grouped(row["quantity"]), money(row["net"])),
        )
        for number, row in enumerate(rows, 1)
    ]
    return columns(
        ("", "dealer", "name", "currency", "orders", "base units", "net"), shown, right=(0, 4, 5, 6)
    )


def _stock(rows: Rows) -> list[str]:
    shown = [
        (
            *(row["location"], row["sku"], row["lot"] or "-"),
            *(grouped(row[name]) for name in ("on_hand", "in_transit", "on_order")),
            "below zero" if Decimal(row["on_hand"]) < 0 else "",
        )
        for row in rows
    ]
    head = ("location", "product", "lot", "on hand", "in transit", "on order", "")
    return columns(head, shown, right=(3, 4, 5))


def _flags(rows: Rows) -> list[str]:
    if not rows:
        return ["nothing"]
    return columns(
        ("flag", "raised"),
        [(row["kind"].replace("_", " "), grouped(row["count"])) for row in rows],
        right=(1,),
    )


def _sum(rows: Rows, name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal())


def money(amount: str) -> str:
    """An amount with two places where it has fewer; more places are kept."""
    whole, _, rest = amount.partition(".")
    return grouped(f"{whole}.{rest.ljust(2, '0')}")


def share(part: Decimal, whole: Decimal) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
