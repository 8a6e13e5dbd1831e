"""The mappings of two real exports, against plain sums over their files."""

from __future__ import annotations

import csv
import functools
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import pytest

from domain.dealers import DealerRegistered
from domain.deliveries import DeliveryDispatched
from domain.envelope import Payload
from domain.event_types import CATALOGUE
from domain.orders import Line, OrderPlaced
from domain.plans import TargetSet
from domain.promotions import PromotionPlanned
from domain.stock import BalanceOpened, StockCounted, StockMoved
from infra.importing import Import, Report

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QUDAO_REAL_DATA") or ROOT.parent / "shared" / "data")

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no real exports at {DATA}: name their folder in QUDAO_REAL_DATA"
)


@functools.cache
def imported(name: str) -> tuple[list[Payload], Report]:
    running = Import(ROOT / "examples" / "mappings" / f"{name}.toml", DATA / name, CATALOGUE)
    payloads = [CATALOGUE.decode(message.body).data for message in running.outgoing()]
    return payloads, running.report


P = TypeVar("P", bound=Payload)


def of(name: str, kind: type[P]) -> list[P]:
    return [payload for payload in imported(name)[0] if isinstance(payload, kind)]


def lines(orders: Iterable[OrderPlaced]) -> list[Line]:
    return [line for order in orders for line in order.lines]


def net(orders: Iterable[OrderPlaced]) -> Decimal:
    return sum((line.net for line in lines(orders)), Decimal(0))


@pytest.mark.parametrize("name", ["adventureworks", "northwind"])
def test_every_row_of_a_real_export_is_mapped(name: str) -> None:
    _, report = imported(name)

    assert report.unmapped == 0
    assert sum(event.repeated for event in report.events) == 0


def test_adventureworks_orders_sum_to_the_last_digit() -> None:
    orders = of("adventureworks", OrderPlaced)
    discounts = [discount for line in lines(orders) for discount in line.discounts]

    assert (len(orders), len(lines(orders))) == (739, 8459)
    assert net(orders) == Decimal("16288441.7675")
    assert sum(discount.amount for discount in discounts) == Decimal("140612.1794")
    assert len({order.dealer for order in orders}) == 208
    assert {order.currency for order in orders} == {"USD"}
    assert None not in {line.category for line in lines(orders)}


def test_adventureworks_sales_by_territory() -> None:
    by_territory: dict[str, list[OrderPlaced]] = defaultdict(list)
    for order in of("adventureworks", OrderPlaced):
        by_territory[order.territory or ""].append(order)

    assert {territory: str(net(orders)) for territory, orders in by_territory.items()} == {
        "AW-Canada": "3079806.8149",
        "AW-Central": "2024175.8030",
        "AW-Northeast": "1182920.4702",
        "AW-Northwest": "3255251.4311",
        "AW-Southeast": "2857047.7707",
        "AW-Southwest": "3889239.4776",
    }


def test_adventureworks_quotas_hold_until_the_next_and_every_sale_falls_into_one() -> None:
    targets = of("adventureworks", TargetSet)
    orders = of("adventureworks", OrderPlaced)
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for target in targets:
        sold = net(
            order
            for order in orders
            if order.rep == target.scope.rep and order.placed and target.from_ <= order.placed < target.to
        )
        quota, sales = sums.get(key := target.from_.date().isoformat(), (Decimal(0), Decimal(0)))
        sums[key] = quota + target.value, sales + sold

    assert len(targets) == 40
    assert {day: (str(quota), str(sales)) for day, (quota, sales) in sums.items()} == {
        "2010-12-29": ("3886000", "3193633.9687"),
        "2011-03-31": ("5627000", "4871801.3366"),
        "2011-07-01": ("4750000", "4069186.0383"),
        "2011-09-29": ("5068000", "4153820.4239"),
    }


def test_adventureworks_opening_and_movements_give_the_last_balance_of_every_product() -> None:
    balances: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    days: set[str] = set()
    [opening] = of("adventureworks", BalanceOpened)
    for line in opening.lines:
        balances[line.sku or ""] += int(line.quantity or 0)
    for movement in of("adventureworks", StockMoved):
        days.add(movement.movement.rpartition("-")[0])
        for moving in movement.lines:
            moved[movement.kind] += int(moving.quantity)
            balances[moving.sku] += int(moving.quantity) * (1 if movement.kind == "in" else -1)
    with (DATA / "adventureworks" / "InventoryMovements.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["DateKey"])
    last = {f"AW-{row['ProductKey']}": int(row["UnitsBalance"]) for row in rows}

    assert len(days) == 2695
    assert moved == {"in": 23810, "out": 24096}
    assert last.items() <= balances.items()
    assert set(balances) == {line.sku for line in opening.lines}


def test_adventureworks_promotions_are_all_planned() -> None:
    assert len(of("adventureworks", PromotionPlanned)) == 16


def test_northwind_orders_sum_to_the_last_digit() -> None:
    orders = of("northwind", OrderPlaced)
    gross = sum((line.unit_price * line.quantity for line in lines(orders)), Decimal(0))
    by_year = {
        year: round(net(order for order in orders if order.placed and order.placed.year == year), 2)
        for year in (1996, 1997, 1998)
    }

    assert (len(orders), len(lines(orders))) == (830, 2155)
    assert (gross, net(orders)) == (Decimal("1354458.59"), Decimal("1265793.0395"))
    discounts = sum((discount.amount for line in lines(orders) for discount in line.discounts), Decimal(0))
    assert gross - discounts == net(orders)
    assert by_year == {1996: Decimal("208083.97"), 1997: Decimal("617085.20"), 1998: Decimal("440623.87")}


def test_northwind_deliveries_tell_who_was_late_and_who_carried_them() -> None:
    shipped: Counter[str] = Counter()
    late: Counter[str] = Counter()
    running = Import(ROOT / "examples" / "mappings" / "northwind.toml", DATA / "northwind", CATALOGUE)
    for message in running.outgoing():
        event = CATALOGUE.decode(message.body)
        if isinstance(event.data, DeliveryDispatched) and event.data.requested:
            shipped[event.data.carrier or ""] += 1
            late[event.data.carrier or ""] += event.time >= event.data.requested.to

    assert shipped == {"Federal Shipping": 249, "Speedy Express": 245, "United Package": 315}
    assert late == {"Federal Shipping": 9, "Speedy Express": 12, "United Package": 16}


def test_northwind_orders_to_another_city_than_the_dealers_own_are_seen() -> None:
    homes = {dealer.dealer: dealer.address for dealer in of("northwind", DealerRegistered)}
    elsewhere = 0
    for order in of("northwind", OrderPlaced):
        home, there = homes[order.dealer], order.ship_to and order.ship_to.address
        assert home is not None
        assert there is not None
        elsewhere += (home.city, home.country) != (there.city, there.country)

    assert elsewhere == 13


def test_northwind_stock_is_counted_as_the_products_list_has_it() -> None:
    [count] = of("northwind", StockCounted)

    with (DATA / "northwind" / "Products.csv").open(encoding="utf-8-sig") as file:
        listed = {f"NW-{row['ProductID']}": int(row["UnitsInStock"]) for row in csv.DictReader(file)}
    assert {line.sku: line.quantity for line in count.lines} == listed
