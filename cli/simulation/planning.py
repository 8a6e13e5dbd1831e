"""What the company plans and closes: targets, promotions, prices and months."""

from __future__ import annotations

from functools import partial

from cli.simulation.opening import list_prices
from cli.simulation.outbox import FIELD, WAREHOUSE, Data
from cli.simulation.run import Promotion, Run
from cli.simulation.world import REGIONS, Dealer, Sku

FUNDING = [{"by": "brand", "share": "0.7"}, {"by": "dealer", "share": "0.3"}]


def plan_month(run: Run, day: int, start: int, end: int) -> None:
    """Set a month's targets: most before it begins, some after their first sales."""
    month = run.at(start)[:7]
    plain: Data = {"measure": "amount", "flow": "primary"} | run.window(start, end)
    for region in REGIONS:
        for level, value in (("floor", 800_000), ("base", 1_000_000), ("stretch", 1_200_000)):
            data = {"level": level, "scope": {"territory": f"T-{region}"}, "value": value, "currency": "CNY"}
            run.send("target.set.v1", f"TG-{month}-{region}-{level}", day, 600, plain | data)
    for number, dealer in enumerate(run.dealers):
        own: Data = {
            "parent": f"TG-{month}-{dealer.region}-base",
            "level": "base",
            "scope": {"dealer": dealer.id},
        }
        own |= plain | {"value": int(20000 * dealer.weight), "currency": dealer.currency}
        if number % 8 == 5:
            run.later(start + run.rng.randrange(2, 12), partial(_set_target, run, month, dealer, own))
        else:
            _set_target(run, month, dealer, own, day)


def _set_target(run: Run, month: str, dealer: Dealer, data: Data, day: int) -> None:
    target = f"TG-{month}-{dealer.id}"
    run.send("target.set.v1", target, day, 600, data)
    if run.chance("target revised", 30, within=9):
        run.send("target.revised.v1", target, day + 1, 600, data | {"value": int(18000 * dealer.weight)})


def plan_promotion(run: Run, day: int, start: int, end: int) -> None:
    """Plan a month's promotions; each of the seven mechanics has its turn."""
    month = run.at(start)[:7]
    for turn in range(4):
        sku = run.draw_skus(1)[0]
        promotion = Promotion(f"PR-{month}-{turn}")
        opens, closes = start + 2 + turn * 3, min(end, start + 16 + turn * 3)
        data: Data = {
            "name": f"{sku.name} in {month} 促銷",
            **run.window(opens, closes),
            "scope": {"skus": [sku.id]},
            "mechanics": _mechanics(promotion, sku, start // 28 * 4 + turn),
            "baseline": run.window(opens - 28, opens),
            "funding": FUNDING,
        }
        run.send("promotion.planned.v1", promotion.id, day, 600, data)
        if run.chance("promotion amended", 3, within=4):
            run.send("promotion.amended.v1", promotion.id, day, 700, data | {"budget": "B-TRADE"})
        run.send("promotion.approved.v1", promotion.id, day, 800, {})
        run.later(opens, partial(_start, run, promotion, sku))
        run.later(closes, partial(_end, run, promotion, sku))


def _mechanics(promotion: Promotion, sku: Sku, turn: int) -> Data:
    match turn % 7:
        case 0:
            promotion.percent = 12
            return {"kind": "percent", "percent": 12}
        case 1:
            promotion.buy, promotion.get = 10, 1
            return {"kind": "buy_get", "buy": 10, "get": 1}
        case 2:
            promotion.percent = 10
            return {"kind": "price_off", "amount": sku.price / 1000, "currency": "CNY"}
        case 3:
            steps = [{"from_quantity": 50, "percent": 3}, {"from_quantity": 100, "percent": 5}]
            return {"kind": "tier", "steps": steps}
        case 4:
            items = [{"sku": sku.id, "quantity": 2}, {"sku": "TEA-0", "quantity": 1}]
            return {"kind": "bundle", "items": items, "price": "120.00", "currency": "CNY"}
        case 5:
            return {
                "kind": "display",
                "requirement": "end of aisle 端架陳列",
                "amount": 200,
                "currency": "CNY",
            }
        case _:
            return {"kind": "sampling", "sku": sku.id, "quantity": 500}


def _start(run: Run, promotion: Promotion, sku: Sku, day: int) -> None:
    run.promotions[sku.id] = promotion
    run.send("promotion.started.v1", promotion.id, day, 0, {})


def _end(run: Run, promotion: Promotion, sku: Sku, day: int) -> None:
    if run.promotions.get(sku.id) is promotion:
        del run.promotions[sku.id]
    run.send("promotion.ended.v1", promotion.id, day, 0, {})


def close_month(run: Run, day: int, start: int) -> None:
    """Close the month before `day`: control totals, grades, and new prices with every quarter."""
    month, period = run.at(start)[:7], run.window(start, day)
    number = int(month[5:])
    closed: Data = {"period": period, "by": "u-controller"}
    run.send("period.closed.v1", "CN", day + 2, 600, closed, number=month)
    for source in ("erp.north", "erp.south", WAREHOUSE):
        totals: Data = {"counts": run.outbox.control_totals(source)} | period
        run.send("source.closed.v1", source, day, 90, totals, number=month)
    if number % 3 == 1:
        list_prices(run, day, day + 7, number // 3 + 1)
    for dealer in run.dealers[number % 4 :: 4]:
        grade: Data = {"grade": run.rng.choice("ABBC")}
        run.send("dealer.graded.v1", dealer.id, day, 620, grade, dealer, number=month)
        given: Data = {"period": period, "criterion": "cooperation", "by": dealer.rep}
        given["value"] = run.rng.randrange(50, 101)
        kind, name = "assessment.input.v1", f"{month}/cooperation"
        run.send(kind, dealer.id, day, 630, given, dealer, source=FIELD, number=name)
