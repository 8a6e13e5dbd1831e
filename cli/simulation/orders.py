"""An order is placed, promised, changed, held or cancelled; what follows is put off to its day."""

from __future__ import annotations

from functools import partial

from cli.simulation.deliveries import dispatch
from cli.simulation.outbox import Data
from cli.simulation.run import Line, Order, Run
from cli.simulation.wire import money, quantity
from cli.simulation.world import Dealer, Sku


def place_order(run: Run, day: int, dealer: Dealer) -> None:
    """A dealer orders two to six products; most is delivered, some late, some in two parts."""
    rng, minute = run.rng, run.rng.randrange(480, 1080)
    order = Order(run.number("SO"), dealer, run.window(day + 2, day + 4), [])
    for sku in run.draw_skus(rng.randrange(2, 7)):
        _add_line(run, order, sku, 1 + int(rng.expovariate(1 / 27)))
    data: Data = {
        "rep": dealer.rep,
        "territory": dealer.city,
        "currency": dealer.currency,
        "placed": run.at(day, minute),
        "requested": run.window(day + 2, day + 3),
        "ship_to": {"id": dealer.location},
        "lines": _lines(order),
    }
    if rng.random() < 0.15:
        data["outlet"] = rng.choice(dealer.outlets)
    run.send("order.placed.v1", order.id, day, minute, data, dealer)
    if run.chance("amended", 25):
        _add_line(run, order, run.draw_skus(1)[0], rng.randrange(5, 30))
        by = rng.choice(("dealer", "company"))
        amended: Data = {"initiator": by, "severity": "minor", "lines": _lines(order)}
        run.send("order.amended.v1", order.id, day, minute + 60, amended, dealer)
    run.tally.orders += 1
    run.tally.orders_by_dealer[dealer.id] += 1
    run.tally.net_cents[dealer.currency] += sum(line.net for line in order.lines)
    if run.chance("cancelled", 50):
        run.tally.cancelled += 1
        reason: Data = {"initiator": "dealer", "reason": "不需要了 not needed"}
        run.send("order.cancelled.v1", order.id, day, minute + 90, reason, dealer)
        return
    if rng.random() < 0.94:
        confirmed: Data = {"promised": order.promised}
        if rng.random() < 0.1:
            confirmed["lines"] = [{"line": "1", "promised": run.window(day + 3, day + 5)}]
        run.send("order.confirmed.v1", order.id, day, minute + 75, confirmed, dealer)
    _plan_delivery(run, order, day, minute)


def _plan_delivery(run: Run, order: Order, day: int, minute: int) -> None:
    rng = run.rng
    leaves = day + rng.choice((1, 1, 1, 2, 2, 2, 3))
    if run.chance("held", 30):
        held: Data = {"reason": rng.choice(("credit", "stock", "other"))}
        run.send("order.held.v1", order.id, day, minute + 80, held, order.dealer)
        run.later(day + 2, partial(_release, run, order, held))
        leaves = day + 3
    if run.chance("late", 15):
        leaves += rng.randrange(2, 7)
    half = len(order.lines)
    if half > 1 and run.chance("split", 9):
        half //= 2
        order.deliveries_due = 2
        run.later(leaves + rng.randrange(1, 5), partial(dispatch, run, order, order.lines[half:]))
    run.later(leaves, partial(dispatch, run, order, order.lines[:half]))


def _release(run: Run, order: Order, held: Data, day: int) -> None:
    run.send("order.released.v1", order.id, day, 300, held, order.dealer)


def _add_line(run: Run, order: Order, sku: Sku, units: int) -> None:
    promotion = run.promotions.get(sku.id)
    number = len(order.lines) + 1
    line = Line(str(number), sku, units, sku.price, units * sku.price)
    order.lines.append(line)
    if promotion is not None:
        line.promotion = promotion.id
        line.net = (line.net * (100 - promotion.percent) + 50) // 100
        free = units // promotion.buy * promotion.get if promotion.buy else 0
        if free:
            order.lines.append(Line(str(number + 1), sku, free, 0, 0, promotion.id, line.line))


def _lines(order: Order) -> list[Data]:
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
            off = money(line.price * line.quantity - line.net, dealer)
            data["discounts"] = [{"kind": "promotion", "promotion": line.promotion, "amount": off}]
        lines.append(data)
    return lines
