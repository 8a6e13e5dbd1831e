"""What the company sets in the course of the year: targets, promotions, prices, closes and dealers' standing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cli.simulation.opening import assign_territory, list_prices
from cli.simulation.outbox import Data
from cli.simulation.run import FIELD, PLANNER, WAREHOUSE, Promotion, Run
from cli.simulation.world import REGIONS, Dealer, Sku


def plan_month(run: Run, day: int, start: int, end: int) -> None:
    """Set a month's targets: most before it begins, some after their first sales."""
    month = run.at(start)[:7]
    for region in REGIONS:
        for level, value in (("floor", 800), ("base", 1000), ("stretch", 1200)):
            scope: Data = {"territory": f"T-{region}"}
            _target(run, day, f"TG-{month}-{region}-{level}", None, scope, level, value * 1000, start, end)
    for number, dealer in enumerate(run.world.dealers):
        late = number % 8 == 5
        told = start + run.rng.randrange(2, 12) if late else day
        target = f"TG-{month}-{dealer.id}"
        value = int(20000 * dealer.weight)
        parent = f"TG-{month}-{dealer.region}-base"
        publish = partial(
            _dealer_target,
            run,
            target=target,
            parent=parent,
            dealer=dealer,
            value=value,
            start=start,
            end=end,
        )
        if late:
            run.later(told, publish)
        else:
            publish(day)


def _dealer_target(
    run: Run, day: int, *, target: str, parent: str, dealer: Dealer, value: int, start: int, end: int
) -> None:
    scope: Data = {"dealer": dealer.id}
    _target(run, day, target, parent, scope, "base", value, start, end, dealer.currency)
    if run.chance("target revised", 30, within=9):
        _target(
            run,
            day + 1,
            target,
            parent,
            scope,
            "base",
            value * 9 // 10,
            start,
            end,
            dealer.currency,
            "revised",
        )


def _target(
    run: Run,
    day: int,
    target: str,
    parent: str | None,
    scope: Data,
    level: str,
    value: int,
    start: int,
    end: int,
    currency: str = "CNY",
    verb: str = "set",
) -> None:
    data: Data = {"target": target, "level": level, "scope": scope, "measure": "amount", "flow": "primary"}
    data |= run.window(start, end) | {"value": value, "currency": currency}
    if parent:
        data["parent"] = parent
    run.send(f"target.{verb}.v1", target, day, 600, data, source=PLANNER)


def plan_promotion(run: Run, day: int, start: int, end: int) -> None:
    """Plan a month's promotions; each of the seven mechanics has its turn."""
    month = run.at(start)[:7]
    for turn in range(4):
        sku = run.skus(1)[0]
        promotion = Promotion(f"PR-{month}-{turn}")
        mechanics = _mechanics(run, promotion, sku, start // 28 * 4 + turn)
        opens, closes = start + 2 + turn * 3, min(end, start + 16 + turn * 3)
        data: Data = {"promotion": promotion.id, "name": f"{sku.name} in {month} 促銷"} | run.window(
            opens, closes
        )
        data |= {
            "scope": {"skus": [sku.id]},
            "mechanics": mechanics,
            "baseline": run.window(opens - 28, opens),
        }
        data["funding"] = [{"by": "brand", "share": "0.7"}, {"by": "dealer", "share": "0.3"}]
        run.send("promotion.planned.v1", promotion.id, day, 600, data, source=PLANNER)
        if run.chance("promotion amended", 3, within=4):
            run.send(
                "promotion.amended.v1", promotion.id, day, 700, data | {"budget": "B-TRADE"}, source=PLANNER
            )
        run.send("promotion.approved.v1", promotion.id, day, 800, {"promotion": promotion.id}, source=PLANNER)
        run.later(opens, partial(_start, run, promotion, sku))
        run.later(closes, partial(_end, run, promotion, sku))


def _mechanics(run: Run, promotion: Promotion, sku: Sku, turn: int) -> Data:
    off = f"{sku.price / 1000:.2f}"
    match turn % 7:
        case 0:
            promotion.percent = 12
            return {"kind": "percent", "percent": 12}
        case 1:
            promotion.buy, promotion.get = 10, 1
            return {"kind": "buy_get", "buy": 10, "get": 1}
        case 2:
            promotion.percent = 10
            return {"kind": "price_off", "amount": off, "currency": "CNY"}
        case 3:
            return {
                "kind": "tier",
                "steps": [{"from_quantity": 50, "percent": 3}, {"from_quantity": 100, "percent": 5}],
            }
        case 4:
            items = [{"sku": sku.id, "quantity": 2}, {"sku": "TEA-0", "quantity": 1}]
            return {"kind": "bundle", "items": items, "price": "120.00", "currency": "CNY"}
        case 5:
            return {
                "kind": "display",
                "requirement": "端架陳列 end of aisle",
                "amount": 200,
                "currency": "CNY",
            }
        case _:
            return {"kind": "sampling", "sku": sku.id, "quantity": 500}


def _start(run: Run, promotion: Promotion, sku: Sku, day: int) -> None:
    run.promotions[sku.id] = promotion
    run.send("promotion.started.v1", promotion.id, day, 0, {"promotion": promotion.id}, source=PLANNER)


def _end(run: Run, promotion: Promotion, sku: Sku, day: int) -> None:
    if run.promotions.get(sku.id) is promotion:
        del run.promotions[sku.id]
    run.send("promotion.ended.v1", promotion.id, day, 0, {"promotion": promotion.id}, source=PLANNER)


def close_month(run: Run, day: int, start: int) -> None:
    """Close the month before `day`, quarter by quarter list new prices, and grade dealers."""
    month, period = run.at(start)[:7], run.window(start, day)
    closed: Data = {"scope": "CN", "period": period, "by": "u-controller"}
    run.send("period.closed.v1", "CN", day + 2, 600, closed, source=PLANNER, number=month)
    for source in ("erp.north", "erp.south", WAREHOUSE):
        totals: Data = {"source": source, "counts": run.outbox.control_totals(source)} | period
        run.send("source.closed.v1", source, day, 90, totals, source=PLANNER, number=month)
    if int(month[5:]) % 3 == 1:
        list_prices(run, day, day + 7, int(month[5:]) // 3 + 1)
    for dealer in run.world.dealers[int(month[5:]) % 4 :: 4]:
        grade: Data = {"dealer": dealer.id, "grade": run.rng.choice("ABBC")}
        run.send(
            "dealer.graded.v1", dealer.id, day, 620, grade, dealer=dealer.id, source=PLANNER, number=month
        )
        given: Data = {"dealer": dealer.id, "period": period, "criterion": "cooperation", "by": dealer.rep}
        given["value"] = run.rng.randrange(50, 101)
        kind, number = "assessment.input.v1", f"{month}/cooperation"
        run.send(kind, dealer.id, day, 630, given, dealer=dealer.id, source=FIELD, number=number)


def change_dealers(run: Run, day: int) -> None:
    """Now and then something happens to a dealer or an outlet."""
    happenings: tuple[tuple[str, int, Callable[[Run, int, Dealer], None]], ...] = (
        ("suspended", 30, _suspend),
        ("exits", 120, _exit),
        ("is banned", 150, _ban),
        ("merges", 150, _merge),
        ("territory", 20, _move_territory),
        ("renamed", 20, _amend),
        ("contract", 25, _contract),
        ("applies", 20, _apply),
        ("outlet", 10, _outlet),
    )
    for name, one_in, happens in happenings:
        if run.chance(name, one_in):
            happens(run, day, run.dealers(1)[0])


def _standing(run: Run, day: int, dealer: Dealer, verb: str, reason: str, **more: object) -> None:
    data: Data = {"dealer": dealer.id, "reason": reason, **more}
    run.send(
        f"dealer.{verb}.v1", dealer.id, day, 700, data, dealer=dealer.id, source=PLANNER, number=f"{day}"
    )


def _suspend(run: Run, day: int, dealer: Dealer) -> None:
    _standing(run, day, dealer, "suspended", "payment overdue 逾期未付")
    run.later(day + 9, lambda then: _standing(run, then, dealer, "reinstated", "paid 已付清"))


def _exit(run: Run, day: int, dealer: Dealer) -> None:
    _leave(run, day, dealer, "exited", "retired 退休")


def _ban(run: Run, day: int, dealer: Dealer) -> None:
    _leave(run, day, dealer, "banned", "diversion 竄貨")


def _merge(run: Run, day: int, dealer: Dealer) -> None:
    heir = run.dealers(1)[0]
    if heir is not dealer:
        _standing(run, day, heir, "merged", "succession 承接", merged=dealer.id)
        _leave(run, day, dealer, "exited", "succession 承接")


def _leave(run: Run, day: int, dealer: Dealer, verb: str, reason: str) -> None:
    """What is under way still arrives; new orders come no more."""
    dealer.weight = 0
    run.weigh_dealers()
    _standing(run, day, dealer, verb, reason)
    over: Data = {"contract": f"C-{dealer.id}", "dealer": dealer.id, "from": run.at(day)}
    kind = "contract.ended.v1"
    run.send(kind, f"C-{dealer.id}", day, 705, over, dealer=dealer.id, source=dealer.erp, number=f"{day}")


def _move_territory(run: Run, day: int, dealer: Dealer) -> None:
    """A territory is given up, and another had been taken over some days before."""
    left: Data = {"dealer": dealer.id, "territory": dealer.city, "from": run.at(day)}
    kind, number = "territory.revoked.v1", f"{dealer.city}/{day}"
    run.send(kind, dealer.id, day, 720, left, dealer=dealer.id, source=PLANNER, number=number)
    dealer.city = f"T-{dealer.region}{(int(dealer.city[3:]) + 1) % len(REGIONS[dealer.region][2])}"
    assign_territory(run, day, dealer, dealer.city, day - 6)


def _amend(run: Run, day: int, dealer: Dealer) -> None:
    data: Data = {"dealer": dealer.id, "name": dealer.name + "有限公司", "segment": "modern trade"}
    kind = "dealer.amended.v1"
    run.send(kind, dealer.id, day, 730, data, dealer=dealer.id, source=dealer.erp, number=f"{day}")


def _contract(run: Run, day: int, dealer: Dealer) -> None:
    contract = f"C-{dealer.id}"
    duty = {"code": "volume", "measure": "amount", "target": 600000, "period": "year"}
    data: Data = {"contract": contract, "dealer": dealer.id, "from": run.at(day), "obligations": [duty]}
    kind = "contract.amended.v1"
    run.send(kind, contract, day, 740, data, dealer=dealer.id, source=dealer.erp, number=f"{day}")


def _apply(run: Run, day: int, dealer: Dealer) -> None:
    """Somebody next to a dealer wants to become one; the dealer's id only lends its shape."""
    application = run.number("AP")
    data: Data = {"application": application, "dealer": dealer.id, "name": f"{dealer.name} 二店"}
    data["factors"] = {"capital": "2 million 兩百萬", "transport": "3 trucks"}
    run.send("dealer.applied.v1", application, day, 750, data, dealer=dealer.id, source=FIELD)


def _outlet(run: Run, day: int, dealer: Dealer) -> None:
    outlet = dealer.outlets[-1]
    if run.chance("outlet closed", 4, within=1):
        gone: Data = {"outlet": outlet, "reason": "renovation 裝修"}
        run.send("outlet.closed.v1", outlet, day, 760, gone, source=FIELD, number=f"{day}")
        return
    data: Data = {"outlet": outlet, "visit_cycle_days": 7}
    run.send("outlet.amended.v1", outlet, day, 760, data, source=FIELD, number=f"{day}")
