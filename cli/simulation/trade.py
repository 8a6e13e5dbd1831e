"""An order's way: placed, promised, dispatched, received, invoiced, paid, and what comes back."""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from cli.simulation.lots import Lot
from cli.simulation.outbox import Data
from cli.simulation.run import WAREHOUSE, Run
from cli.simulation.world import Dealer, Sku

CARRIERS = ("SF-FREIGHT", "DEPPON", "OWN-FLEET", "YTO")
DAMAGES = ("broken in transit 運輸破損", "near expiry 臨期", "wrong goods 錯貨", "overstock 庫存過高")


class Line(Struct, gc=False):
    """One line; money in cents."""

    line: str
    sku: Sku
    quantity: int
    price: int
    net: int
    promotion: str | None = None
    free_of: str | None = None
    accepted: int = 0


class Order(Struct, gc=False):
    """An order on its way."""

    id: str
    dealer: Dealer
    promised: Data
    lines: list[Line]
    deliveries: int = 0
    open: int = 0


class Parcel(Struct, gc=False):
    """One line of a delivery and what it was loaded for."""

    line: Line
    lot: Lot


def money(cents: int, dealer: Dealer) -> str | float:
    """As the dealer's ERP writes it: one as a string, the other as a JSON number, which it prints exactly."""
    return cents / 100 if dealer.erp == "erp.south" else f"{cents // 100}.{cents % 100:02d}"


def quantity(units: int, dealer: Dealer) -> str | float:
    return units if dealer.erp == "erp.south" else str(units)


def place_order(run: Run, day: int, dealer: Dealer) -> None:
    """A dealer orders; what follows is put off to the days it happens on."""
    rng = run.rng
    minute = rng.randrange(480, 1080)
    order = Order(run.number("SO"), dealer, run.window(day + 2, day + 4), [])
    for sku in run.skus(rng.randrange(2, 7)):
        _add_line(run, order, sku, 1 + int(rng.expovariate(1 / 27)))
    data: Data = {
        "order": order.id,
        "dealer": dealer.id,
        "rep": dealer.rep,
        "territory": dealer.city,
        "currency": dealer.currency,
        "placed": run.at(day, minute),
        "requested": run.window(day + 2, day + 3),
        "ship_to": {"id": dealer.location},
        "lines": _wire(order),
    }
    if rng.random() < 0.15:
        data["outlet"] = rng.choice(dealer.outlets)
    run.send("order.placed.v1", order.id, day, minute, data, dealer=dealer.id, source=dealer.erp)
    minute += 60
    if run.chance("amended", 25):
        _add_line(run, order, run.skus(1)[0], rng.randrange(5, 30))
        amended: Data = {
            "order": order.id,
            "dealer": dealer.id,
            "initiator": rng.choice(("dealer", "company")),
            "severity": "minor",
            "lines": _wire(order),
        }
        run.send("order.amended.v1", order.id, day, minute, amended, dealer=dealer.id, source=dealer.erp)
    tally = run.tally
    tally.orders += 1
    tally.orders_by_dealer[dealer.id] += 1
    tally.net_cents[dealer.currency] += sum(line.net for line in order.lines)
    if run.chance("cancelled", 50):
        tally.cancelled += 1
        cancelled: Data = {
            "order": order.id,
            "dealer": dealer.id,
            "initiator": "dealer",
            "reason": "不需要了",
        }
        run.send(
            "order.cancelled.v1", order.id, day, minute + 30, cancelled, dealer=dealer.id, source=dealer.erp
        )
        return
    if rng.random() < 0.94:
        confirmed: Data = {"order": order.id, "dealer": dealer.id, "promised": order.promised}
        if rng.random() < 0.1:
            confirmed["lines"] = [{"line": "1", "promised": run.window(day + 3, day + 5)}]
        run.send(
            "order.confirmed.v1", order.id, day, minute + 15, confirmed, dealer=dealer.id, source=dealer.erp
        )
    wait = rng.choice((1, 1, 1, 2, 2, 2, 3))
    if run.chance("held", 30):
        held: Data = {
            "order": order.id,
            "dealer": dealer.id,
            "reason": rng.choice(("credit", "stock", "other")),
        }
        run.send("order.held.v1", order.id, day, minute + 20, held, dealer=dealer.id, source=dealer.erp)
        run.later(day + 2, partial(_release, run, order, held))
        wait = 3
    if run.chance("late", 15):
        wait += rng.randrange(2, 7)
    many = len(order.lines) > 1 and run.chance("split", 9)
    half = len(order.lines) // 2 if many else len(order.lines)
    order.deliveries = order.open = 1 + many
    run.later(day + wait, partial(_dispatch, run, order, order.lines[:half]))
    if many:
        run.later(day + wait + rng.randrange(1, 5), partial(_dispatch, run, order, order.lines[half:]))


def _add_line(run: Run, order: Order, sku: Sku, units: int) -> None:
    promotion = run.promotions.get(sku.id)
    net = units * sku.price
    number = len(order.lines) + 1
    line = Line(str(number), sku, units, sku.price, net)
    order.lines.append(line)
    if promotion is not None:
        line.promotion = promotion.id
        line.net = (net * (100 - promotion.percent) + 50) // 100
        free = units // promotion.buy * promotion.get if promotion.buy else 0
        if free:
            order.lines.append(Line(str(number + 1), sku, free, 0, 0, promotion.id, line.line))


def _wire(order: Order) -> list[Data]:
    dealer = order.dealer
    lines: list[Data] = []
    for line in order.lines:
        data: Data = {
            "line": line.line,
            "sku": line.sku.id,
            "quantity": quantity(line.quantity, dealer),
            "unit_price": money(line.price, dealer),
            "net": money(line.net, dealer),
            "list_price": money(line.sku.price, dealer),
            "unit_cost": money(line.sku.cost, dealer),
            "category": line.sku.category,
        }
        if line.free_of is not None:
            data["free"] = {"of_line": line.free_of, "promotion": line.promotion, "kind": "bonus"}
        elif line.promotion is not None:
            off = line.price * line.quantity - line.net
            data["discounts"] = [
                {
                    "kind": "promotion",
                    "promotion": line.promotion,
                    "amount": money(off, dealer),
                    "funder": "brand",
                }
            ]
        lines.append(data)
    return lines


def _release(run: Run, order: Order, held: Data, day: int) -> None:
    run.send("order.released.v1", order.id, day, 540, held, dealer=order.dealer.id, source=order.dealer.erp)


def _dispatch(run: Run, order: Order, lines: list[Line], day: int) -> None:
    dealer, rng = order.dealer, run.rng
    parcels = [
        Parcel(line, lot)
        for line in lines
        for lot in run.lots.take(dealer.warehouse, line.sku.id, line.quantity)
    ]
    if not parcels:
        _finish(run, order, day)
        return
    delivery = run.number("DN")
    minute = rng.randrange(360, 1080)
    loaded: list[Data] = []
    for number, parcel in enumerate(parcels, 1):
        run.tally.dispatched[parcel.line.sku.id] += parcel.lot.quantity
        loaded.append(
            {"line": str(number), "order_line": parcel.line.line, "sku": parcel.line.sku.id}
            | {"quantity": parcel.lot.quantity}
            | _lot(run, parcel)
        )
    data: Data = {
        "delivery": delivery,
        "dealer": dealer.id,
        "order": order.id,
        "from": dealer.warehouse,
        "carrier": CARRIERS[len(delivery) % 4],
        "promised": order.promised,
        "lines": loaded,
    }
    if dealer.location != dealer.id:
        data["to"] = dealer.location
    # A warehouse that tells of the truck after the dealer has told of the goods.
    late_days = rng.randrange(2, 5) if run.chance("dispatch told late", 150) else 0
    run.send(
        "delivery.dispatched.v1",
        delivery,
        day,
        minute,
        data,
        dealer=dealer.id,
        source=WAREHOUSE,
        late_days=late_days,
    )
    arrives = day + (1 if rng.random() < 0.8 else 2)
    if run.chance("failed", 80):
        run.later(arrives, partial(_fail, run, delivery, dealer))
        arrives += rng.randrange(1, 3)
    if run.chance("two receipts", 18):
        run.later(arrives, partial(_receive, run, order, delivery, parcels, "1", 2, False))
        run.later(arrives + 1, partial(_receive, run, order, delivery, parcels, "2", 1, True))
    else:
        run.later(arrives, partial(_receive, run, order, delivery, parcels, "1", 1, True))


def _lot(run: Run, parcel: Parcel) -> Data:
    if parcel.lot.id is None:
        return {}
    expires = parcel.lot.produced + parcel.line.sku.shelf_life_days
    return {"lot": parcel.lot.id, "produced": run.at(parcel.lot.produced), "expires": run.at(expires)}


def _fail(run: Run, delivery: str, dealer: Dealer, day: int) -> None:
    attempted = run.at(day, 600)
    data: Data = {
        "delivery": delivery,
        "dealer": dealer.id,
        "reason": "closed 未營業",
        "attempted": attempted,
    }
    run.send("delivery.failed.v1", delivery, day, 600, data, dealer=dealer.id, source=WAREHOUSE)


def _receive(
    run: Run,
    order: Order,
    delivery: str,
    parcels: list[Parcel],
    receipt: str,
    part: int,
    is_last: bool,
    day: int,
) -> None:
    """Receive one `part`th of what is still open of every parcel."""
    dealer, rng = order.dealer, run.rng
    arrived = rng.randrange(420, 1200)
    received: list[Data] = []
    crates: dict[str, int] = {}
    for number, parcel in enumerate(parcels, 1):
        units = parcel.lot.quantity // part
        parcel.lot.quantity -= units
        line: Data = {"line": str(number), "sku": parcel.line.sku.id}
        lost = 0
        if run.chance("not all accepted", 40):
            lost = rng.randrange(1, 1 + max(1, units // 4)) if units else 0
            line[rng.choice(("short", "short", "damaged", "refused"))] = quantity(lost, dealer)
        accepted = units - lost
        line["accepted"] = quantity(accepted, dealer)
        received.append(line | _lot(run, parcel))
        run.tally.accepted[parcel.line.sku.id] += accepted
        parcel.line.accepted += accepted
        if accepted:
            run.lots.put(dealer.location, parcel.line.sku.id, parcel.lot.id, parcel.lot.produced, accepted)
        if parcel.line.sku.crate and accepted:
            crates[parcel.line.sku.crate] = crates.get(parcel.line.sku.crate, 0) + accepted
    place: Data = {"id": dealer.location}
    if run.chance("misplaced", 60):
        place = {"id": rng.choice(dealer.outlets), "name": "後門 back gate"}
    data: Data = {
        "delivery": delivery,
        "receipt": receipt,
        "dealer": dealer.id,
        "order": order.id,
        "arrived": run.at(day, arrived),
        "place": place,
        "lines": received,
    }
    run.send(
        "delivery.received.v1",
        delivery,
        day,
        arrived + 15,
        data,
        dealer=dealer.id,
        source=WAREHOUSE,
        number=receipt,
    )
    for asset, issued in crates.items():
        exchange = run.number("CX")
        back = int(issued * rng.random())
        swap: Data = {"exchange": exchange, "dealer": dealer.id, "asset": asset, "issued": issued}
        swap |= {"returned": back, "deposit_unit": "30.00", "currency": dealer.currency}
        run.send("crate.exchanged.v1", exchange, day, arrived + 20, swap, dealer=dealer.id, source=WAREHOUSE)
    if run.chance("return", 50):
        run.later(day + rng.randrange(3, 20), partial(_return, run, order))
    if is_last:
        _finish(run, order, day)


def _finish(run: Run, order: Order, day: int) -> None:
    """After the last delivery the order is invoiced and closed."""
    order.open -= 1
    dealer, rng = order.dealer, run.rng
    billed = [(line, line.net * line.accepted // line.quantity) for line in order.lines if line.accepted]
    if order.open:
        return
    if billed:
        invoice = run.number("INV")
        due = day + 30
        data: Data = {
            "invoice": invoice,
            "dealer": dealer.id,
            "order": order.id,
            "due": run.at(due),
            "currency": dealer.currency,
            "kind": "invoice",
            "lines": [
                {"line": line.line, "sku": line.sku.id, "quantity": quantity(line.accepted, dealer)}
                | {"net": money(net, dealer), "tax": money((net * 13 + 50) // 100, dealer)}
                for line, net in billed
            ],
        }
        run.send("invoice.issued.v1", invoice, day, 1260, data, dealer=dealer.id, source=dealer.erp)
        total = sum(net + (net * 13 + 50) // 100 for _, net in billed)
        if total and rng.random() < 0.95:
            paid = due + rng.randrange(-12, 4) if rng.random() < 0.8 else due + rng.randrange(4, 40)
            run.later(paid, partial(_pay, run, dealer, invoice, total))
    if rng.random() < 0.9:
        run.later(day + 1, partial(_close, run, order))


def _close(run: Run, order: Order, day: int) -> None:
    data: Data = {"order": order.id, "dealer": order.dealer.id, "initiator": "company"}
    run.send("order.closed.v1", order.id, day, 120, data, dealer=order.dealer.id, source=order.dealer.erp)


def _pay(run: Run, dealer: Dealer, invoice: str, cents: int, day: int) -> None:
    payment = run.number("PAY")
    amount = money(cents, dealer)
    data: Data = {
        "payment": payment,
        "dealer": dealer.id,
        "amount": amount,
        "currency": dealer.currency,
        "method": "transfer",
        "kind": "payment",
        "allocations": [{"invoice": invoice, "amount": amount}],
    }
    run.send("payment.received.v1", payment, day, 660, data, dealer=dealer.id, source=dealer.erp)
    if run.chance("bounced", 150):
        failed: Data = {"payment": payment, "dealer": dealer.id, "reason": "bounced"}
        run.send("payment.failed.v1", payment, day, 900, failed, dealer=dealer.id, source=dealer.erp)
        run.later(day + 7, partial(_pay, run, dealer, invoice, cents))


def _return(run: Run, order: Order, day: int) -> None:
    """Part of a line comes back, priced by its order, and its invoice is credited."""
    dealer, line = order.dealer, order.lines[0]
    taken = run.lots.take(dealer.location, line.sku.id, min(line.accepted, 1 + line.accepted // 5))
    if not taken:
        return
    document, note = run.number("RET"), run.number("CN")
    condition = run.rng.choice(("sellable", "sellable", "damaged", "expired"))
    lines: list[Data] = []
    credit: list[Data] = []
    for number, lot in enumerate(taken, 1):
        net = line.net * lot.quantity // line.quantity
        back: Data = {
            "sku": line.sku.id,
            "quantity": quantity(lot.quantity, dealer),
            "net": money(net, dealer),
        }
        lines.append(
            back
            | {"of": {"order": order.id, "line": line.line}, "condition": condition}
            | ({"lot": lot.id} if lot.id else {})
        )
        credit.append({"line": str(number)} | back)
    data: Data = {"return": document, "dealer": dealer.id, "direction": "to_company", "order": order.id}
    data |= {"reason": run.rng.choice(DAMAGES), "lines": lines}
    run.send("return.received.v1", document, day, 840, data, dealer=dealer.id, source=WAREHOUSE)
    owed: Data = {"invoice": note, "dealer": dealer.id, "order": order.id, "currency": dealer.currency}
    owed |= {"kind": "credit_note", "lines": credit}
    run.send("invoice.issued.v1", note, day, 1260, owed, dealer=dealer.id, source=dealer.erp)
    if condition == "sellable":
        move(run, day, 900, "in", dealer.warehouse, [(line.sku, lot) for lot in taken], f"return {document}")
        for lot in taken:
            run.lots.put(dealer.warehouse, line.sku.id, lot.id, lot.produced, lot.quantity)


def move(
    run: Run,
    day: int,
    minute: int,
    kind: str,
    location: str,
    goods: list[tuple[Sku, Lot]],
    reason: str | None = None,
    **more: object,
) -> None:
    """Publish a movement of goods at a warehouse; the books are the caller's."""
    document = run.number("MV")
    lines = [
        {"sku": sku.id, "quantity": lot.quantity}
        | ({"lot": lot.id, "produced": run.at(lot.produced)} if lot.id else {})
        for sku, lot in goods
    ]
    data: Data = {"movement": document, "location": location, "kind": kind, "lines": lines, **more}
    if reason:
        data["reason"] = reason
    run.send("stock.moved.v1", document, day, minute, data, source=WAREHOUSE)
