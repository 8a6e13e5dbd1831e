"""Before the first day: master data, contracts, prices and opening balances."""

from __future__ import annotations

from cli.simulation.lots import Lot
from cli.simulation.outbox import FIELD, WAREHOUSE, Data
from cli.simulation.run import Run
from cli.simulation.wire import lot
from cli.simulation.world import OUTLET_CLASSES, REGIONS, STORES, Dealer, Sku

#: Kinds that the company keeps for itself: what the views read stays as it is built in.
POLICIES: dict[str, Data] = {
    "replenishment": {"cycle_days": 7, "safety": "1.5", "說明": "1.5 倍原則"},
    "price_authority": {"rep": "0.02", "supervisor": "0.05"},
}


def open_books(run: Run, day: int) -> None:
    """Publish everything that is there before the first day; some dealers are told of only after it."""
    _regions(run, day)
    for number, sku in enumerate(run.products):
        _product(run, day, sku, number)
    list_prices(run, day, -1, 0)
    for kind, body in POLICIES.items():
        policy: Data = {"kind": kind, "version": "1", "effective": run.at(0), "body": body}
        run.send("policy.published.v1", f"P-{kind}", day, 130, policy)
    for store in STORES:
        place: Data = {"id": store, "name": f"Warehouse {store[3:].title()} 倉庫"}
        run.send("location.registered.v1", store, day, 100, {"kind": "warehouse", "place": place})
        lines = [_opening(run, store, sku, int(run.demand[sku.id] * 12) + 50, -20) for sku in run.products]
        _balance(run, f"OPEN-{store}", {"location": store, "kind": "stock", "lines": lines})
    for number, dealer in enumerate(run.dealers):
        _dealer(run, day + 1, dealer, late_days=2 - day if number % 60 == 3 else 0)
        _outlets(run, day + 2, dealer)
        _balances(run, dealer)


def _regions(run: Run, day: int) -> None:
    run.send("org.defined.v1", "HQ", day, 60, {"name": "Headquarters 總部"})
    run.send("territory.defined.v1", "CN", day, 60, {"name": "China 中國"})
    for region, (name, cities) in REGIONS.items():
        run.send("org.defined.v1", f"ORG-{region}", day, 70, {"parent": "HQ", "name": f"{name}銷售部"})
        run.send("territory.defined.v1", f"T-{region}", day, 70, {"parent": "CN", "name": name})
        for number, city in enumerate(cities):
            territory = f"T-{region}{number}"
            run.send("territory.defined.v1", territory, day, 80, {"parent": f"T-{region}", "name": city})
            post: Data = {"to": {"org": f"ORG-{region}", "territory": territory}, "from": run.at(day)}
            run.send("rep.assigned.v1", f"R-{region}{number}", day, 90, post)


def _product(run: Run, day: int, sku: Sku, number: int) -> None:
    product: Data = {
        "name": sku.name,
        "gtin": f"6901234{number:05d}1",
        "category": sku.category,
        "base_uom": "case",
        "units": [{"uom": "pallet", "factor": 60}],
        "volume": sku.volume,
        "shelf_life_days": sku.shelf_life_days,
        "must_sell": number % 6 == 0,
        "launched": run.at(day),
    }
    if sku.crate:
        product["empties"] = [{"asset": sku.crate, "quantity": 1}]
    run.send("product.listed.v1", sku.id, day, 110, product)


def list_prices(run: Run, day: int, from_day: int, rise: int) -> None:
    """Prices of a base unit from a day on, `rise` percent above the first ones."""
    lines = []
    for sku in run.products:
        cents = sku.price * (100 + rise) // 100
        lines.append({"sku": sku.id, "price": f"{cents // 100}.{cents % 100:02d}", "cost": sku.cost / 100})
    data: Data = {"scope": {"territories": ["CN"]}, "currency": "CNY", "tax_included": False}
    data |= {"from": run.at(from_day), "lines": lines}
    run.send("price.listed.v1", "PL-CN", day, 120, data, number=f"{from_day}")


def _dealer(run: Run, day: int, dealer: Dealer, late_days: int) -> None:
    number = run.number("A")[2:]
    data: Data = {
        "name": dealer.name,
        "legal_id": f"91310000MA{number}X",
        "kind": "distributor" if len(dealer.outlets) > 1 else "sub_distributor",
        "org": f"ORG-{dealer.region}",
        "territory": dealer.city,
        "address": {"country": "CN"},
        "timezone": "Asia/Shanghai",
    }
    run.send("dealer.registered.v1", dealer.id, day, 500, data, dealer, late_days=late_days)
    if dealer.location != dealer.id:
        run.send("location.registered.v1", dealer.location, day, 510, {"kind": "warehouse"}, dealer)
    assign_territory(run, day, dealer, day)
    duty = {"code": "volume", "measure": "amount", "target": "500000", "period": "year"}
    signed: Data = {"from": run.at(0), "to": run.at(730), "obligations": [duty]}
    run.send("contract.signed.v1", f"C-{dealer.id}", day, 530, signed, dealer)
    limit: Data = {"limit": 300000, "currency": dealer.currency, "from": run.at(0)}
    run.send("credit.limit_set.v1", dealer.id, day, 540, limit, dealer)
    look_after: Data = {"to": {"dealer": dealer.id}, "from": run.at(day)}
    run.send("rep.assigned.v1", dealer.rep, day, 550, look_after, number=dealer.id)
    if run.chance("alias", 10, within=9):
        alias: Data = {"their_sku": f"K{number}", "sku": "COLA-0", "factor": 24}
        run.send("sku.aliased.v1", dealer.id, day, 560, alias, dealer)


def assign_territory(run: Run, day: int, dealer: Dealer, from_day: int) -> None:
    """The dealer may sell in its city's territory from a day on, which may lie back in time."""
    data: Data = {"territory": dealer.city, "from": run.at(from_day), "exclusive": False}
    number = f"{dealer.city}/{from_day}"
    run.send("territory.assigned.v1", dealer.id, day, 520, data, dealer, number=number)


def _outlets(run: Run, day: int, dealer: Dealer) -> None:
    for place, (outlet, (kind, zh)) in enumerate(zip(dealer.outlets, OUTLET_CLASSES.items(), strict=False)):
        data: Data = {
            "name": f"{kind.replace('_', ' ').title()} {outlet[2:]} {zh}",
            "class": kind,
            "dealers": [dealer.id],
            "route": f"RT-{dealer.city[2:]}",
            "rep": dealer.rep,
            "territory": dealer.city,
            "visit_cycle_days": 14,
            "category_sales": [
                {"category": "beer", "amount": 20000 + 1000 * place, "currency": dealer.currency}
            ],
        }
        run.send("outlet.opened.v1", outlet, day, 600, data, source=FIELD)


def _balances(run: Run, dealer: Dealer) -> None:
    lines = [_opening(run, dealer.location, sku, run.rng.randrange(5, 60), -30) for sku in run.draw_skus(6)]
    owed: Data = {"invoice": f"OLD-{dealer.id}", "due": run.at(15), "currency": dealer.currency}
    owed["amount"] = run.rng.randrange(100, 90000)
    crates: Data = {"asset": "CRATE-24", "quantity": run.rng.randrange(10, 80)}
    stock: Data = {"location": dealer.location, "kind": "stock", "lines": lines}
    _balance(run, f"OPEN-S-{dealer.id}", stock, dealer)
    _balance(run, f"OPEN-R-{dealer.id}", {"kind": "receivable", "lines": [owed]}, dealer)
    _balance(run, f"OPEN-C-{dealer.id}", {"kind": "crates", "lines": [crates]}, dealer)


def _balance(run: Run, document: str, data: Data, dealer: Dealer | None = None) -> None:
    run.send("balance.opened.v1", document, -1, 300, {"as_of": run.at(-1)} | data, dealer, source=WAREHOUSE)


def _opening(run: Run, location: str, sku: Sku, units: int, produced: int) -> Data:
    first = Lot(f"L24-{sku.id}" if sku.has_lots else None, produced, units)
    run.lots.put(location, sku.id, first.id, produced, units)
    return {"sku": sku.id, "quantity": units} | lot(run, first)
