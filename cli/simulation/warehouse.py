"""What warehouses and dealers do with goods in store: make, move, count and sell on."""

from __future__ import annotations

from functools import partial

from cli.simulation.lots import Lot
from cli.simulation.outbox import Data
from cli.simulation.run import WAREHOUSE, Run
from cli.simulation.trade import move
from cli.simulation.world import Dealer, Sku

COUNT_MINUTE = 1300  # after the last truck of the day


def produce(run: Run, day: int) -> None:
    """Bring in what sells fast, before the trucks are loaded."""
    for warehouse in sorted(set(run.world.warehouses.values())):
        made: list[tuple[Sku, Lot]] = []
        for sku in run.world.skus:
            daily = run.demand[sku.id]
            if run.lots.on_hand(warehouse, sku.id) < daily * 7 + 30:
                lot = Lot(
                    f"L{day:03d}{warehouse[3]}-{sku.id}" if sku.has_lots else None, day, int(daily * 14) + 60
                )
                made.append((sku, lot))
                run.lots.put(warehouse, sku.id, lot.id, day, lot.quantity)
        if made:
            move(run, day, 300, "in", warehouse, made, "production")


def shift(run: Run, day: int) -> None:
    """Now and then goods are scrapped, corrected, sampled, blocked, or sent to another warehouse."""
    stores = sorted(set(run.world.warehouses.values()))
    for kind, one_in in (("scrap", 3), ("adjust", 3), ("out", 5), ("transfer", 4), ("overdrawn", 40)):
        if not run.chance(kind, one_in):
            continue
        store, sku = run.rng.choice(stores), run.skus(1)[0]
        units = run.rng.randrange(1, 6) * (10 if kind == "transfer" else 1)
        if kind == "overdrawn":  # a slip of the pen takes more than there is, until the next count
            units, kind = run.lots.on_hand(store, sku.id) + units, "out"
            taken = run.lots.take(store, sku.id, units, overdrawn=True)
        else:
            taken = run.lots.take(store, sku.id, units)
        if not taken:
            continue
        goods = [(sku, lot) for lot in taken]
        if kind == "transfer":
            other = stores[(stores.index(store) + 1) % len(stores)]
            move(run, day, 1200, kind, store, goods, to_location=other)
            for lot in taken:
                run.lots.put(other, sku.id, lot.id, lot.produced, lot.quantity)
        elif kind == "adjust":
            less = [(sku, Lot(lot.id, lot.produced, -lot.quantity)) for lot in taken]
            move(run, day, 1200, kind, store, less, "盤虧 miscount")
        else:
            move(run, day, 1200, kind, store, goods, "damaged 破損" if kind == "scrap" else "samples 樣品")
    if int(run.at(day)[8:10]) in (5, 12):  # no count falls between block and release
        store, sku = run.rng.choice(stores), run.skus(1)[0]
        if blocked := [
            (sku, Lot(lot.id, lot.produced, min(5, lot.quantity)))
            for lot in run.lots.of(store, sku.id)[:1]
            if lot.quantity > 0
        ]:
            move(run, day, 1210, "block", store, blocked, "quality check 質檢")
            run.later(day + 3, partial(_unblock, run, store, blocked))


def _unblock(run: Run, store: str, blocked: list[tuple[Sku, Lot]], day: int) -> None:
    move(run, day, 400, "release", store, blocked, "quality check 質檢")


def count_warehouses(run: Run, day: int) -> None:
    """A full count after the day's last truck; what was lost unseen is known from now on."""
    for warehouse in sorted(set(run.world.warehouses.values())):
        lines: list[Data] = []
        for sku in run.world.skus:
            if run.rng.random() < 0.1:
                run.lots.take(warehouse, sku.id, run.rng.randrange(1, 4))
            run.lots.drop_negative(warehouse, sku.id)
            lines += _counted(run, warehouse, sku)
        count = run.number("CT")
        data: Data = {"count": count, "location": warehouse, "at": run.at(day, COUNT_MINUTE), "scope": "full"}
        data |= {"method": "count", "by": "u-lin", "lines": lines}
        run.send("stock.counted.v1", count, day, COUNT_MINUTE + 30, data, source=WAREHOUSE)


def report_dealer(run: Run, day: int, dealer: Dealer, weeks: int) -> None:
    """At the end of a dealer's week: what it sold on, and every other week some counts, as of this morning."""
    rng = run.rng
    held = [sku for sku in run.world.skus if run.lots.on_hand(dealer.location, sku.id) > 0]
    sold: list[Data] = []
    for sku in held[weeks % 3 :: 3] if len(held) > 12 else held:
        units = int(run.lots.on_hand(dealer.location, sku.id) * rng.uniform(0.4, 1.0))
        for lot in run.lots.take(dealer.location, sku.id, units):
            line: Data = {"sku": sku.id, "quantity": lot.quantity, "net": sku.price * lot.quantity // 80}
            sold.append(line | ({"lot": lot.id} if lot.id else {}))
    if not sold:
        return
    report = run.number("SR")
    data: Data = {"report": report, "dealer": dealer.id, "flow": "secondary"} | run.window(day - 7, day)
    data |= {"lines": sold, "currency": dealer.currency}
    run.send("sellout.reported.v1", report, day, 540, data, dealer=dealer.id, source=dealer.erp)
    if run.chance("tertiary", 20):
        report = run.number("SR")
        consumed = [{"sku": line["sku"], "quantity": 1} for line in sold[:3]]
        data = {
            "report": report,
            "dealer": dealer.id,
            "flow": "tertiary",
            "outlet": rng.choice(dealer.outlets),
        }
        data |= run.window(day - 7, day) | {"lines": consumed}
        run.send("sellout.reported.v1", report, day, 560, data, dealer=dealer.id, source="pos.01")
    if weeks % 2:
        lines = [line for sku in held[:6] for line in _counted(run, dealer.location, sku)]
        if lines:
            count = run.number("CT")
            told: Data = {"count": count, "location": dealer.location, "dealer": dealer.id, "at": run.at(day)}
            told |= {"scope": "listed", "method": "dealer_report", "lines": lines}
            run.send("stock.counted.v1", count, day, 580, told, dealer=dealer.id, source=dealer.erp)


def _counted(run: Run, location: str, sku: Sku) -> list[Data]:
    return [
        {"sku": sku.id, "quantity": lot.quantity} | ({"lot": lot.id} if lot.id else {})
        for lot in run.lots.of(location, sku.id)
    ]
