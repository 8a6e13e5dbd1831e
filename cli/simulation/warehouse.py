"""What warehouses and dealers do with goods in store: make, move, count and sell on."""

from __future__ import annotations

from functools import partial

from cli.simulation.deliveries import move
from cli.simulation.lots import Lot
from cli.simulation.outbox import WAREHOUSE, Data
from cli.simulation.run import Run
from cli.simulation.world import STORES, Dealer, Sku

COUNT_MINUTE = 1300  # after the last truck of the day
REASONS = {"scrap": "damaged 破損", "adjust": "miscount 盤虧", "out": "samples 樣品"}
CHECK: Data = {"reason": "quality check 質檢"}


def produce(run: Run, day: int) -> None:
    """Bring in what sells fast, before the trucks are loaded."""
    for store in STORES:
        made: list[tuple[Sku, Lot]] = []
        for sku in run.products:
            daily = run.demand[sku.id]
            if run.lots.on_hand(store, sku.id) < daily * 7 + 30:
                name = f"L{day:03d}{store[3]}-{sku.id}" if sku.has_lots else None
                made.append((sku, Lot(name, day, int(daily * 14) + 60)))
                run.lots.put(store, sku.id, name, day, made[-1][1].quantity)
        if made:
            move(run, day, 300, "in", store, made, {"reason": "production"})


def shift(run: Run, day: int) -> None:
    """Now and then goods are scrapped, corrected, sampled, blocked, or sent to another warehouse."""
    for kind, one_in in (("scrap", 3), ("adjust", 3), ("out", 5), ("transfer", 4)):
        if run.chance(kind, one_in):
            _shift(run, day, kind, run.rng.choice(STORES), run.draw_skus(1)[0])
    if int(run.at(day)[8:10]) in (5, 12):  # no count falls between block and release
        store, sku = run.rng.choice(STORES), run.draw_skus(1)[0]
        first = next((part for part in run.lots.of(store, sku.id) if part.quantity > 5), None)
        if first is not None:
            blocked = [(sku, Lot(first.id, first.produced, 5))]
            move(run, day, 1210, "block", store, blocked, CHECK)
            run.later(day + 3, partial(_unblock, run, store, blocked))


def _shift(run: Run, day: int, kind: str, store: str, sku: Sku) -> None:
    units = run.rng.randrange(1, 6) * (10 if kind == "transfer" else 1)
    # A slip of the pen takes more than there is, and the books are below zero until the next count.
    slip = kind == "out" and run.chance("slip", 10)
    if slip:
        units += run.lots.on_hand(store, sku.id)
    taken = run.lots.take(store, sku.id, units, overdrawn=slip)
    goods = [(sku, Lot(part.id, part.produced, part.quantity)) for part in taken]
    if not goods:
        return
    if kind == "transfer":
        other = STORES[(STORES.index(store) + 1) % len(STORES)]
        for part in taken:
            run.lots.put(other, sku.id, part.id, part.produced, part.quantity)
        return move(run, day, 1200, kind, store, goods, {"to_location": other})
    if kind == "adjust":
        for _, part in goods:
            part.quantity = -part.quantity
    move(run, day, 1200, kind, store, goods, {"reason": REASONS[kind]})


def _unblock(run: Run, store: str, blocked: list[tuple[Sku, Lot]], day: int) -> None:
    move(run, day, 400, "release", store, blocked, CHECK)


def count_warehouses(run: Run, day: int) -> None:
    """A full count after the day's last truck; what was lost unseen is known from now on."""
    for store in STORES:
        lines: list[Data] = []
        for sku in run.products:
            if run.rng.random() < 0.1:
                run.lots.take(store, sku.id, run.rng.randrange(1, 4))
            run.lots.drop_negative(store, sku.id)
            lines += _counted(run, store, sku)
        data: Data = {"location": store, "at": run.at(day, COUNT_MINUTE), "scope": "full", "method": "count"}
        data |= {"by": "u-lin", "lines": lines}
        run.send("stock.counted.v1", run.number("CT"), day, COUNT_MINUTE + 30, data, source=WAREHOUSE)


def report_dealer(run: Run, day: int, dealer: Dealer, weeks: int) -> None:
    """At the end of a dealer's week: what it sold on, and every other week some counts, as of this morning."""
    rng, here = run.rng, dealer.location
    held = [sku for sku in run.products if run.lots.on_hand(here, sku.id) > 0]
    sold: list[Data] = []
    for sku in held[weeks % 3 :: 3] if len(held) > 12 else held:
        units = int(run.lots.on_hand(here, sku.id) * rng.uniform(0.4, 1.0))
        for part in run.lots.take(here, sku.id, units):
            line: Data = {"sku": sku.id, "quantity": part.quantity, "net": sku.price * part.quantity // 80}
            sold.append(line | ({"lot": part.id} if part.id else {}))
    if not sold:
        return
    week = run.window(day - 7, day)
    data: Data = {"flow": "secondary", "lines": sold, "currency": dealer.currency} | week
    run.send("sellout.reported.v1", run.number("SR"), day, 540, data, dealer)
    if run.chance("tertiary", 20):
        consumed = [{"sku": line["sku"], "quantity": 1} for line in sold[:3]]
        data = {"flow": "tertiary", "outlet": rng.choice(dealer.outlets), "lines": consumed} | week
        run.send("sellout.reported.v1", run.number("SR"), day, 560, data, dealer, source="pos.01")
    lines = [line for sku in held[:6] for line in _counted(run, here, sku)] if weeks % 2 else []
    if lines:
        told: Data = {"location": here, "at": run.at(day), "scope": "listed", "method": "dealer_report"}
        run.send("stock.counted.v1", run.number("CT"), day, 580, told | {"lines": lines}, dealer)


def _counted(run: Run, location: str, sku: Sku) -> list[Data]:
    return [
        {"sku": sku.id, "quantity": part.quantity} | ({"lot": part.id} if part.id else {})
        for part in run.lots.of(location, sku.id)
    ]
