"""Goods leave the warehouse, arrive in part, too late or elsewhere, and some come back."""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from cli.simulation.billing import credit, invoice
from cli.simulation.lots import Lot
from cli.simulation.outbox import WAREHOUSE, Data
from cli.simulation.run import Line, Order, Run
from cli.simulation.wire import lot, money, quantity
from cli.simulation.world import Sku

CARRIERS = ("SF-FREIGHT", "DEPPON", "OWN-FLEET", "YTO")
REASONS = ("broken in transit 運輸破損", "near expiry 臨期", "wrong goods 錯貨", "overstock 庫存過高")


class Parcel(Struct, gc=False):
    """One line of a delivery, and what of its lot is not yet received."""

    line: Line
    lot: Lot


def dispatch(run: Run, order: Order, lines: list[Line], day: int) -> None:
    """Load what the warehouse has of these lines, oldest lots first; the rest is never delivered."""
    dealer, rng = order.dealer, run.rng
    parcels = [
        Parcel(line, taken)
        for line in lines
        for taken in run.lots.take(dealer.warehouse, line.sku.id, line.quantity)
    ]
    if not parcels:
        return _settle(run, order, day)
    delivery = run.number("DN")
    loaded: list[Data] = []
    for number, parcel in enumerate(parcels, 1):
        units, sku = parcel.lot.quantity, parcel.line.sku
        run.tally.dispatched[sku.id] += units
        line: Data = {"line": str(number), "order_line": parcel.line.line, "sku": sku.id, "quantity": units}
        loaded.append(line | lot(run, parcel.lot, sku))
    data: Data = {
        "order": order.id,
        "from": dealer.warehouse,
        "carrier": CARRIERS[int(delivery[-2:]) % 4],
        "promised": order.promised,
        "lines": loaded,
    }
    if dealer.location != dealer.id:
        data["to"] = dealer.location
    # A warehouse that tells of the truck after the dealer has told of the goods.
    late_days = rng.randrange(3, 6) if run.chance("dispatch told late", 150) else 0
    minute = rng.randrange(360, 1080)
    kind = "delivery.dispatched.v1"
    run.send(kind, delivery, day, minute, data, dealer, source=WAREHOUSE, late_days=late_days)
    arrives = day + (1 if rng.random() < 0.8 else 2)
    if run.chance("failed", 80):
        run.later(arrives, partial(_fail, run, order, delivery))
        arrives += rng.randrange(1, 3)
    if run.chance("two receipts", 18):
        run.later(arrives, partial(_receive, run, order, delivery, parcels, "1", False))
        arrives, receipt = arrives + 1, "2"
    else:
        receipt = "1"
    run.later(arrives, partial(_receive, run, order, delivery, parcels, receipt, True))


def _fail(run: Run, order: Order, delivery: str, day: int) -> None:
    data: Data = {"reason": "closed 未營業", "attempted": run.at(day, 600)}
    run.send("delivery.failed.v1", delivery, day, 605, data, order.dealer, source=WAREHOUSE)


def _receive(
    run: Run, order: Order, delivery: str, parcels: list[Parcel], receipt: str, is_last: bool, day: int
) -> None:
    """Receive half of every parcel, or, with the last receipt, all that is left."""
    dealer, rng = order.dealer, run.rng
    received: list[Data] = []
    crates: dict[str, int] = {}
    for number, parcel in enumerate(parcels, 1):
        sku, of = parcel.line.sku, parcel.lot
        accepted = of.quantity if is_last else of.quantity // 2
        of.quantity -= accepted
        line: Data = {"line": str(number), "sku": sku.id}
        if accepted and run.chance("not all accepted", 40):
            lost = rng.randrange(1, 1 + max(1, accepted // 4))
            line[rng.choice(("short", "short", "damaged", "refused"))] = quantity(lost, dealer)
            accepted -= lost
        line["accepted"] = quantity(accepted, dealer)
        received.append(line | lot(run, of, sku))
        if accepted:
            run.tally.accepted[sku.id] += accepted
            parcel.line.accepted += accepted
            run.lots.put(dealer.location, sku.id, of.id, of.produced, accepted)
            if sku.crate:
                crates[sku.crate] = crates.get(sku.crate, 0) + accepted
    minute = rng.randrange(420, 1200)
    place: Data = {"id": dealer.location}
    if run.chance("misplaced", 60):
        place = {"id": rng.choice(dealer.outlets), "name": "back gate 後門"}
    arrived = run.at(day, minute)
    data: Data = {
        "receipt": receipt,
        "order": order.id,
        "arrived": arrived,
        "place": place,
        "lines": received,
    }
    kind = "delivery.received.v1"
    run.send(kind, delivery, day, minute + 15, data, dealer, source=WAREHOUSE, number=receipt)
    for asset, issued in crates.items():
        swap: Data = {"asset": asset, "issued": issued, "returned": int(issued * rng.random())}
        swap |= {"deposit_unit": "30.00", "currency": dealer.currency}
        number_of = run.number("CX")
        run.send("crate.exchanged.v1", number_of, day, minute + 20, swap, dealer, source=WAREHOUSE)
    if run.chance("return", 50):
        run.later(day + rng.randrange(3, 20), partial(_return, run, order))
    if is_last:
        _settle(run, order, day)


def _settle(run: Run, order: Order, day: int) -> None:
    """After its last delivery an order is invoiced and closed."""
    order.deliveries_due -= 1
    if order.deliveries_due == 0:
        invoice(run, order, day)
        if run.rng.random() < 0.9:
            run.later(day + 1, partial(_close, run, order))


def _close(run: Run, order: Order, day: int) -> None:
    run.send("order.closed.v1", order.id, day, 120, {"initiator": "company"}, order.dealer)


def _return(run: Run, order: Order, day: int) -> None:
    """Part of a line comes back, priced by its order."""
    dealer, line = order.dealer, order.lines[0]
    taken = run.lots.take(dealer.location, line.sku.id, min(line.accepted, 1 + line.accepted // 5))
    if not taken:
        return
    condition = run.rng.choice(("sellable", "sellable", "damaged", "expired"))
    back: list[Data] = []
    for part in taken:
        net = money(line.net * part.quantity // line.quantity, dealer)
        back.append({"sku": line.sku.id, "quantity": quantity(part.quantity, dealer), "net": net})
    of: Data = {"of": {"order": order.id, "line": line.line}, "condition": condition}
    document = run.number("RET")
    data: Data = {"direction": "to_company", "order": order.id, "reason": run.rng.choice(REASONS)}
    data["lines"] = [told | of | lot(run, part) for told, part in zip(back, taken, strict=True)]
    run.send("return.received.v1", document, day, 840, data, dealer, source=WAREHOUSE)
    credit(run, order, back, day)
    if condition == "sellable":
        goods = [(line.sku, part) for part in taken]
        move(run, day, 900, "in", dealer.warehouse, goods, {"reason": f"return {document}"})
        for part in taken:
            run.lots.put(dealer.warehouse, line.sku.id, part.id, part.produced, part.quantity)


def move(
    run: Run, day: int, minute: int, kind: str, store: str, goods: list[tuple[Sku, Lot]], more: Data
) -> None:
    """Publish a movement of goods at a warehouse; the books are the caller's."""
    lines = [{"sku": sku.id, "quantity": part.quantity} | lot(run, part) for sku, part in goods]
    data: Data = {"location": store, "kind": kind, "lines": lines} | more
    run.send("stock.moved.v1", run.number("MV"), day, minute, data, source=WAREHOUSE)
