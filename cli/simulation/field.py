"""What representatives and warehouses see and report besides the trade itself."""

from __future__ import annotations

from functools import partial

from cli.simulation.outbox import FIELD, WAREHOUSE, Data
from cli.simulation.run import Run
from cli.simulation.world import Dealer

SHARE_OF_ORDERS = 0.5


def see(run: Run, day: int, visits: int) -> None:
    """A day in the field: visits with what stood on the shelf, prices, complaints, scans and crates."""
    for dealer in run.draw(visits):
        _visit(run, day, dealer)
    for one_in, happens in (
        (1, _observe_price),
        (4, _complain),
        (5, _propose),
        (8, _accuse),
        (3, _pack_and_scan),
        (3, _swap_goods),
        (4, _count_crates),
    ):
        if run.chance(happens.__name__, one_in):
            happens(run, day, run.draw(1)[0])


def _visit(run: Run, day: int, dealer: Dealer) -> None:
    rng = run.rng
    visit, outlet, start = run.number("V"), rng.choice(dealer.outlets), rng.randrange(500, 1080)
    data: Data = {"outlet": outlet, "rep": dealer.rep}
    planned = run.chance("visit planned", 3)
    if planned:
        plan = data | {"planned_for": run.at(day, start)}
        run.send("visit.planned.v1", visit, day, 60, plan, dealer, source=FIELD)
    if planned and run.chance("visit skipped", 15):
        data["skipped_reason"] = "closed 未營業"
    else:
        data |= {"started": run.at(day, start), "ended": run.at(day, start + 25), "outcome": "order"}
        data["seen"] = [
            {"sku": sku.id, "on_shelf": True, "facings": rng.randrange(1, 12), "stock": rng.randrange(40)}
            for sku in run.draw_skus(3)
        ]
    run.send("visit.completed.v1", visit, day, start + 30, data, dealer, source=FIELD)


def _observe_price(run: Run, day: int, dealer: Dealer) -> None:
    observation, sku = run.number("PO"), run.draw_skus(1)[0]
    cents = sku.price * run.rng.randrange(85, 130) // 100
    data: Data = {"outlet": dealer.outlets[0], "sku": sku.id, "at": run.at(day, 700)}
    data |= {"price": f"{cents // 100}.{cents % 100:02d}", "currency": dealer.currency}
    run.send("price.observed.v1", observation, day, 710, data, dealer, source=FIELD)


def _complain(run: Run, day: int, dealer: Dealer) -> None:
    complaint = run.number("CM")
    data: Data = {"kind": "delivery", "text": "送貨太晚 too late"}
    run.send("complaint.opened.v1", complaint, day, 720, data, dealer, source=FIELD)
    run.later(day + run.rng.randrange(1, 9), partial(_resolve, run, complaint, dealer))


def _resolve(run: Run, complaint: str, dealer: Dealer, day: int) -> None:
    decision: Data = {"decision": "apologised 已致歉"}
    run.send("complaint.resolved.v1", complaint, day, 730, decision, dealer, source=FIELD)


def _propose(run: Run, day: int, dealer: Dealer) -> None:
    feedback = run.number("FB")
    data: Data = {"kind": "assortment", "text": "想要小包裝 smaller packs"}
    run.send("feedback.raised.v1", feedback, day, 740, data, dealer, source=FIELD)
    answer: Data = {"decision": "taken up 採納"}
    run.send("feedback.decided.v1", feedback, day, 1100, answer, dealer, source=FIELD)


def _accuse(run: Run, day: int, dealer: Dealer) -> None:
    case = run.number("CASE")
    data: Data = {"kind": run.rng.choice(("diversion", "low_price")), "points": 3}
    run.send("violation.recorded.v1", case, day, 750, data, dealer, source=FIELD)


def _pack_and_scan(run: Run, day: int, dealer: Dealer) -> None:
    pallet, sku = run.number("PAL"), run.draw_skus(1)[0]
    cases = [f"{pallet}-{n}" for n in range(6)]
    packed: Data = {"children": cases, "sku": sku.id, "action": "add"}
    run.send("code.packed.v1", pallet, day, 760, packed, source=WAREHOUSE)
    scan = run.number("SC")
    seen: Data = {"code": cases[0], "by": "inspector", "place": {"id": dealer.outlets[0]}}
    seen["at"] = run.at(day, 1000)
    run.send("code.scanned.v1", scan, day, 1001, seen, source=FIELD)


def _swap_goods(run: Run, day: int, dealer: Dealer) -> None:
    exchange, sku = run.number("GX"), run.draw_skus(1)[0]
    goods = [{"sku": sku.id, "quantity": 2}]
    data: Data = {"outlet": dealer.outlets[0], "in": goods, "out": goods, "reason": "aged 臨期換新"}
    run.send("goods.exchanged.v1", exchange, day, 770, data, dealer, source=WAREHOUSE)


def _count_crates(run: Run, day: int, dealer: Dealer) -> None:
    count = run.number("CC")
    counted: Data = {"asset": "CRATE-24", "at": run.at(day, 800), "quantity": run.rng.randrange(5, 200)}
    run.send("crate.counted.v1", count, day, 810, counted, dealer, source=FIELD)
    if run.chance("crates lost", 3, within=2):
        loss = run.number("CL")
        lost: Data = {"asset": "CRATE-24", "quantity": 3, "deposit_unit": 30, "currency": dealer.currency}
        run.send("crate.lost.v1", loss, day, 820, lost, dealer, source=FIELD)
