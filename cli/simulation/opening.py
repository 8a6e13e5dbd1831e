"""Before the first day: master data, contracts, prices and opening balances."""

from __future__ import annotations

from cli.simulation.outbox import Data
from cli.simulation.run import FIELD, PLANNER, WAREHOUSE, Run
from cli.simulation.world import OUTLET_CLASSES, REGIONS, Dealer


def open_books(run: Run, day: int) -> None:
    """Publish everything that is there before the first day."""
    _company(run, day)
    for number, dealer in enumerate(run.world.dealers):
        _dealer(run, day + 1, dealer, late_days=-day + 2 if number % 60 == 3 else 0)
        for place in range(len(dealer.outlets)):
            open_outlet(run, day + 2, dealer, place)
        _balances(run, -1, dealer)
    for warehouse in sorted(set(run.world.warehouses.values())):
        lines: list[Data] = []
        for sku in run.world.skus:
            units = int(run.demand[sku.id] * 12) + 50
            lot = f"L24-{sku.id}" if sku.has_lots else None
            run.lots.put(warehouse, sku.id, lot, -20, units)
            lines.append(
                {"sku": sku.id, "quantity": units} | ({"lot": lot, "produced": run.at(-20)} if lot else {})
            )
        _balance(run, -1, "stock", lines, f"OPEN-{warehouse}", location=warehouse)


def open_outlet(run: Run, day: int, dealer: Dealer, place: int) -> None:
    """An outlet of a dealer is known from now on."""
    outlet = dealer.outlets[place]
    kind, zh = OUTLET_CLASSES[place % len(OUTLET_CLASSES)]
    data: Data = {
        "outlet": outlet,
        "name": f"{kind.replace('_', ' ').title()} {outlet[2:]} {zh}",
        "class": kind,
        "dealers": [dealer.id],
        "route": f"RT-{dealer.city[2:]}",
        "rep": dealer.rep,
        "territory": dealer.city,
        "visit_cycle_days": 14,
        "category_sales": [{"category": "beer", "amount": 20000 + 1000 * place, "currency": dealer.currency}],
    }
    run.send("outlet.opened.v1", outlet, day, 600, data, source=FIELD)


def _company(run: Run, day: int) -> None:
    send = run.send
    send("org.defined.v1", "HQ", day, 60, {"org": "HQ", "name": "Headquarters 總部"}, source=PLANNER)
    china: Data = {"territory": "CN", "name": "China 中國"}
    send("territory.defined.v1", "CN", day, 60, china, source=PLANNER)
    for region, (name, zh, cities) in REGIONS.items():
        unit: Data = {"org": f"ORG-{region}", "parent": "HQ", "name": f"{name} Sales {zh}銷售部"}
        send("org.defined.v1", f"ORG-{region}", day, 70, unit, source=PLANNER)
        area: Data = {"territory": f"T-{region}", "parent": "CN", "name": f"{name} {zh}"}
        send("territory.defined.v1", f"T-{region}", day, 70, area, source=PLANNER)
        for number, (city, zh_city) in enumerate(cities):
            territory, rep = f"T-{region}{number}", f"R-{region}{number}"
            town: Data = {"territory": territory, "parent": f"T-{region}", "name": f"{city} {zh_city}"}
            send("territory.defined.v1", territory, day, 80, town, source=PLANNER)
            post: Data = {
                "rep": rep,
                "to": {"org": f"ORG-{region}", "territory": territory},
                "from": run.at(day),
            }
            send("rep.assigned.v1", rep, day, 90, post, source=PLANNER)
    for warehouse in sorted(set(run.world.warehouses.values())):
        store: Data = {"location": warehouse, "kind": "warehouse"}
        store |= {"place": {"id": warehouse, "name": f"Warehouse {warehouse[3:].title()} 倉庫"}}
        send("location.registered.v1", warehouse, day, 100, store, source=PLANNER)
    for number, sku in enumerate(run.world.skus):
        product: Data = {
            "sku": sku.id,
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
        send("product.listed.v1", sku.id, day, 110, product, source=PLANNER)
    list_prices(run, day, -1, 0)
    # Kinds that the company keeps for itself: what the views read stays as it is built in.
    for kind, body in (
        ("replenishment", {"cycle_days": 7, "說明": "1.5 倍原則"}),
        ("price_authority", {"rep": "0.02"}),
    ):
        policy: Data = {
            "policy": f"P-{kind}",
            "kind": kind,
            "version": "1",
            "effective": run.at(0),
            "body": body,
        }
        send("policy.published.v1", f"P-{kind}", day, 130, policy, source=PLANNER)


def list_prices(run: Run, day: int, from_day: int, rise: int) -> None:
    """Prices of a base unit from a day on, `rise` percent above the first ones."""
    lines = [
        {
            "sku": sku.id,
            "price": f"{sku.price * (100 + rise) // 100 / 100:.2f}",
            "cost": f"{sku.cost / 100:.2f}",
        }
        for sku in run.world.skus
    ]
    data: Data = {
        "price_list": "PL-CN",
        "scope": {"territories": ["CN"]},
        "currency": "CNY",
        "tax_included": False,
    }
    data |= {"from": run.at(from_day), "lines": lines}
    run.send("price.listed.v1", "PL-CN", day, 120, data, source=PLANNER, number=f"{from_day}")


def _dealer(run: Run, day: int, dealer: Dealer, late_days: int) -> None:
    number = run.number("A")
    data: Data = {
        "dealer": dealer.id,
        "name": dealer.name,
        "legal_id": f"91310000MA{number[2:]}X",
        "kind": "distributor" if len(dealer.outlets) > 1 else "sub_distributor",
        "org": f"ORG-{dealer.region}",
        "territory": dealer.city,
        "address": {"country": "CN"},
        "timezone": "Asia/Shanghai",
    }
    known = {"dealer": dealer.id, "source": dealer.erp}
    run.send("dealer.registered.v1", dealer.id, day, 500, data, late_days=late_days, **known)
    if dealer.location != dealer.id:
        store: Data = {"location": dealer.location, "kind": "warehouse", "dealer": dealer.id}
        run.send(
            "location.registered.v1", dealer.location, day, 510, store, dealer=dealer.id, source=dealer.erp
        )
    assign_territory(run, day, dealer, dealer.city, day)
    contract = f"C-{dealer.id}"
    duty = {"code": "volume", "measure": "amount", "target": "500000", "period": "year"}
    signed: Data = {"contract": contract, "dealer": dealer.id, "from": run.at(0), "to": run.at(730)}
    signed["obligations"] = [duty]
    run.send("contract.signed.v1", contract, day, 530, signed, dealer=dealer.id, source=dealer.erp)
    limit: Data = {"dealer": dealer.id, "limit": 300000, "currency": dealer.currency, "from": run.at(0)}
    run.send("credit.limit_set.v1", dealer.id, day, 540, limit, dealer=dealer.id, source=dealer.erp)
    look_after: Data = {"rep": dealer.rep, "to": {"dealer": dealer.id}, "from": run.at(day)}
    run.send("rep.assigned.v1", dealer.rep, day, 550, look_after, source=PLANNER, number=dealer.id)
    if run.chance("alias", 10):
        alias: Data = {"dealer": dealer.id, "their_sku": f"K{number[4:]}", "sku": "COLA-0", "factor": 24}
        run.send("sku.aliased.v1", dealer.id, day, 560, alias, dealer=dealer.id, source=dealer.erp)


def assign_territory(run: Run, day: int, dealer: Dealer, territory: str, from_day: int) -> None:
    """The dealer may sell in the territory from a day on, which may lie back in time."""
    data: Data = {"dealer": dealer.id, "territory": territory, "from": run.at(from_day), "exclusive": False}
    number = f"{territory}/{from_day}"
    run.send(
        "territory.assigned.v1", dealer.id, day, 520, data, dealer=dealer.id, source=PLANNER, number=number
    )


def _balances(run: Run, day: int, dealer: Dealer) -> None:
    stock: list[Data] = []
    for sku in run.skus(6):
        units = run.rng.randrange(5, 60)
        lot = f"L24-{sku.id}" if sku.has_lots else None
        run.lots.put(dealer.location, sku.id, lot, -30, units)
        stock.append(
            {"sku": sku.id, "quantity": units} | ({"lot": lot, "produced": run.at(-30)} if lot else {})
        )
    _balance(run, day, "stock", stock, f"OPEN-S-{dealer.id}", dealer=dealer.id, location=dealer.location)
    owed: Data = {"invoice": f"OLD-{dealer.id}", "due": run.at(15), "currency": dealer.currency}
    owed["amount"] = run.rng.randrange(100, 90000)
    _balance(run, day, "receivable", [owed], f"OPEN-R-{dealer.id}", dealer=dealer.id)
    crates: Data = {"asset": "CRATE-24", "quantity": run.rng.randrange(10, 80)}
    _balance(run, day, "crates", [crates], f"OPEN-C-{dealer.id}", dealer=dealer.id)


def _balance(
    run: Run, day: int, kind: str, lines: list[Data], document: str, *, dealer: str = "", location: str = ""
) -> None:
    data: Data = {"balance": document, "kind": kind, "as_of": run.at(day), "lines": lines}
    if dealer:
        data["dealer"] = dealer
    if location:
        data["location"] = location
    run.send("balance.opened.v1", document, day, 300, data, dealer=dealer, source=WAREHOUSE)
