"""Every figure that is known of two real exports, asked over HTTP with `sum` and `by`, to the last digit."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.event_types import CATALOGUE
from infra.importing import Import
from infra.message import Message
from tests.lab.databases import Databases, Where
from tests.lab.events import NOON
from tests.lab.site import fold, site

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QUDAO_REAL_DATA") or ROOT.parent / "shared" / "data")
START = int(NOON.timestamp()) * 10**9
GROUP = "AW-North America"
TERRITORIES = {
    "AW-Canada": "3079806.8149",
    "AW-Central": "2024175.803",
    "AW-Northeast": "1182920.4702",
    "AW-Northwest": "3255251.4311",
    "AW-Southeast": "2857047.7707",
    "AW-Southwest": "3889239.4776",
}
WINDOWS = {
    "2010-12-29": ("3886000", "3193633.9687"),
    "2011-03-31": ("5627000", "4871801.3366"),
    "2011-07-01": ("4750000", "4069186.0383"),
    "2011-09-29": ("5068000", "4153820.4239"),
}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not DATA.is_dir(), reason=f"no real exports at {DATA}: name their folder in QUDAO_REAL_DATA"
    ),
]

Ask = Callable[..., list[dict[str, Any]]]


def asking(name: str, where: Where) -> Iterator[Ask]:
    """Ask the API over an export that was folded; all pages of an answer as one."""
    running = Import(ROOT / "examples" / "mappings" / f"{name}.toml", DATA / name, CATALOGUE)
    outgoing = enumerate(running.outgoing(), 1)
    fold(where, [Message(n, START + n * 10**6, o.subject, o.body) for n, o in outgoing])
    with site(where) as client:

        def ask(view: str, **query: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            cursor: dict[str, str] = {}
            while True:
                said = client.get(f"/{view}", params={"limit": "1000", **query, **cursor})
                assert said.status_code == 200, said.text
                found += said.json()["items"]
                if not said.json()["next"]:
                    return found
                cursor = {"cursor": said.json()["next"]}

        yield ask


@pytest.fixture(scope="module")
def adventureworks(databases: Databases) -> Iterator[Ask]:
    yield from asking("adventureworks", databases.new())


@pytest.fixture(scope="module")
def northwind(databases: Databases) -> Iterator[Ask]:
    yield from asking("northwind", databases.new())


def total(rows: list[dict[str, Any]], field: str) -> Decimal:
    return sum((Decimal(row[field]) for row in rows), Decimal(0))


def exported(name: str, file: str) -> list[dict[str, str]]:
    with (DATA / name / file).open(encoding="utf-8-sig") as lines:
        return list(csv.DictReader(lines))


def test_orders_and_their_lines_are_counted(adventureworks: Ask) -> None:
    [orders] = adventureworks("orders", sum="lines,net,discount", by="currency")

    assert (orders["count"], int(orders["lines"])) == (739, 8459)
    assert (orders["net"], orders["discount"]) == ("16288441.7675", "140612.1794")


@pytest.mark.parametrize("view", ["sales", "dealer_sales"])
@pytest.mark.parametrize("scope", [{}, {"under": GROUP}], ids=["everywhere", "the group"])
def test_sales_are_met_by_territory_and_in_all(adventureworks: Ask, view: str, scope: dict[str, str]) -> None:
    by_territory = adventureworks(view, sum="ordered_net,discount", by="territory", **scope)
    [in_all] = adventureworks(view, sum="ordered_net,discount", by="currency", **scope)

    assert {row["territory"]: row["ordered_net"] for row in by_territory} == TERRITORIES
    assert (in_all["currency"], in_all["ordered_net"], in_all["discount"]) == (
        *("USD", "16288441.7675"),
        "140612.1794",
    )
    assert total(by_territory, "discount") == Decimal("140612.1794")


def test_a_territory_outside_the_group_has_no_sales(adventureworks: Ask) -> None:
    assert adventureworks("sales", sum="ordered_net", by="territory", under="AW-Europe") == []


def test_dealers_with_an_order_are_counted(adventureworks: Ask) -> None:
    ordered = adventureworks("orders", by="dealer")
    sold = adventureworks("dealer_sales", sum="ordered_net", by="dealer")

    assert len(ordered) == len(sold) == 208
    assert {row["dealer"] for row in ordered} == {row["dealer"] for row in sold}
    assert total(sold, "ordered_net") == Decimal("16288441.7675")


def test_quotas_of_all_employees_together_are_met_by_window(adventureworks: Ask) -> None:
    quotas = adventureworks("targets", sum="value,actual", by="from_day")

    assert {row["from_day"]: (row["value"], row["actual"]) for row in quotas} == WINDOWS


def test_every_sale_falls_in_exactly_one_window(adventureworks: Ask) -> None:
    windows = adventureworks("targets", by="from_day,to_day")
    sold = {
        row["from_day"]: adventureworks(
            "sales", sum="ordered_net", by="currency", **{"from": row["from_day"], "to": row["to_day"]}
        )
        for row in windows
    }

    assert {day: rows[0]["ordered_net"] for day, rows in sold.items()} == {
        day: actual for day, (_, actual) in WINDOWS.items()
    }
    assert sum((total(rows, "ordered_net") for rows in sold.values()), Decimal(0)) == Decimal("16288441.7675")


@pytest.mark.parametrize(
    ("window", "value", "actual", "attainment"),
    [
        (("2010-12-29", "2011-03-31"), "165000", "191328.4939", "1.1596"),
        (("2011-07-01", "2011-09-29"), "264000", "281933.9256", "1.0679"),
        (("2011-09-29", "2011-12-29"), "301000", "337110.1558", "1.1200"),
    ],
)
def test_one_employees_quotas_are_what_she_sold_in_their_windows(
    adventureworks: Ask, window: tuple[str, str], value: str, actual: str, attainment: str
) -> None:
    first, last = window
    [quota] = adventureworks("targets", rep="AW-286", from_day=first)
    [sold] = adventureworks("sales", sum="ordered_net", by="rep", rep="AW-286", **{"from": first, "to": last})

    assert (quota["value"], quota["actual"]) == (value, actual)
    assert str(round(Decimal(quota["attainment"]), 4)) == attainment
    assert sold["ordered_net"] == actual


def test_promotions_gave_what_orders_were_discounted_by(adventureworks: Ask) -> None:
    given = adventureworks("promotions", sum="discount", by="currency")

    assert {row["currency"]: row["discount"] for row in given if row["currency"]} == {"USD": "140612.1794"}
    assert sum(row["count"] for row in given) == 16


def test_what_went_in_and_out_of_the_warehouse_leaves_the_last_balance_of_every_product(
    adventureworks: Ask,
) -> None:
    moves = adventureworks("stock_moves", location="AW-WAREHOUSE", sum="on_hand", by="document,sku")
    levels = adventureworks("stock_levels", location="AW-WAREHOUSE", sum="on_hand", by="sku")

    last: dict[str, Decimal] = {}
    for row in sorted(exported("adventureworks", "InventoryMovements.csv"), key=lambda row: row["DateKey"]):
        last[f"AW-{row['ProductKey']}"] = Decimal(row["UnitsBalance"])
    opening = total(exported("adventureworks", "OpeningBalances.csv"), "UnitsBalance")
    moved = [Decimal(row["on_hand"]) for row in moves if row["document"].startswith("movement/")]
    assert sum(pieces for pieces in moved if pieces > 0) == 23810
    assert sum(pieces for pieces in moved if pieces < 0) == -24096
    found = {row["sku"]: Decimal(row["on_hand"]) for row in levels}
    assert {sku: found.get(sku, Decimal(0)) for sku in last} == last
    assert total(levels, "on_hand") == opening + 23810 - 24096


def test_northwind_is_met_gross_and_net_and_by_year(northwind: Ask) -> None:
    [orders] = northwind("orders", sum="lines,net,discount", by="currency")
    [sold] = northwind("sales", sum="ordered_net,discount", by="currency")
    years = {
        year: northwind("sales", sum="ordered_net", **{"from": f"{year}-01-01", "to": f"{year + 1}-01-01"})
        for year in (1996, 1997, 1998)
    }

    assert (orders["count"], int(orders["lines"]), orders["net"]) == (830, 2155, "1265793.0395")
    for found, net in ((orders, orders["net"]), (sold, sold["ordered_net"])):
        assert Decimal(net) == Decimal("1265793.0395")
        assert Decimal(net) + Decimal(found["discount"]) == Decimal("1354458.59")
    assert {year: str(round(total(rows, "ordered_net"), 2)) for year, rows in years.items()} == {
        **{1996: "208083.97", 1997: "617085.20"},
        1998: "440623.87",
    }


def test_northwind_dispatched_late_by_shipper_is_met(northwind: Ask) -> None:
    rule = {"policy": "otif-dispatched"}
    shippers = northwind("otif_orders", sum="orders,on_time,late,not_shipped", by="carrier", **rule)
    [in_all] = northwind("otif_orders", sum="orders,on_time,late,early,not_shipped,no_window", **rule)

    assert {
        row["carrier"]: (int(row["on_time"]) + int(row["late"]), int(row["late"]))
        for row in shippers
        if int(row["on_time"])
    } == {"Federal Shipping": (249, 9), "Speedy Express": (245, 12), "United Package": (315, 16)}
    assert {name: int(in_all[name]) for name in in_all if name not in ("count", "policy")} == {
        **{"orders": 830, "on_time": 772, "late": 37, "early": 0},
        **{"not_shipped": 21, "no_window": 0},
    }


def test_northwind_orders_that_went_elsewhere_are_counted(northwind: Ask) -> None:
    [found] = northwind("otif_orders", sum="elsewhere", policy="otif-dispatched")

    assert int(found["elsewhere"]) == 13


def test_northwinds_stock_is_what_it_said(northwind: Ask) -> None:
    levels = northwind("stock_levels", location="NW-WAREHOUSE", sum="on_hand", by="sku")

    assert {row["sku"]: Decimal(row["on_hand"]) for row in levels if Decimal(row["on_hand"])} == {
        f"NW-{row['ProductID']}": Decimal(row["UnitsInStock"])
        for row in exported("northwind", "Products.csv")
        if int(row["UnitsInStock"])
    }
