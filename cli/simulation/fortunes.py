"""What happens to dealers and outlets in the course of the year."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from cli.simulation.opening import assign_territory
from cli.simulation.outbox import FIELD, Data
from cli.simulation.run import Run
from cli.simulation.world import REGIONS, Dealer


def change_dealers(run: Run, day: int) -> None:
    """Now and then a dealer is suspended, leaves, moves, changes its name or its contract."""
    for name, one_in, happens in (
        ("suspended", 30, _suspend),
        ("exits", 120, _exit),
        ("banned", 150, _ban),
        ("merges", 150, _merge),
        ("moves", 20, _move),
        ("renamed", 20, _rename),
        ("contract", 25, _amend_contract),
        ("applies", 20, _apply),
        ("outlet", 10, _change_outlet),
    ):
        if run.chance(name, one_in):
            happens(run, day, run.draw(1)[0])


def _state(run: Run, kind: str, dealer: Dealer, data: Data, day: int) -> None:
    run.send(kind, dealer.id, day, 700, data, dealer, number=f"{day}")


def _suspend(run: Run, day: int, dealer: Dealer) -> None:
    _state(run, "dealer.suspended.v1", dealer, {"reason": "payment overdue 逾期未付"}, day)
    run.later(day + 9, partial(_state, run, "dealer.reinstated.v1", dealer, {"reason": "paid 已付清"}))


def _exit(run: Run, day: int, dealer: Dealer) -> None:
    _leave(run, day, dealer, "dealer.exited.v1", "retired 退休")


def _ban(run: Run, day: int, dealer: Dealer) -> None:
    _leave(run, day, dealer, "dealer.banned.v1", "diversion 竄貨")


def _merge(run: Run, day: int, dealer: Dealer) -> None:
    heir = next((other for other in run.draw(9) if other is not dealer), None)
    if heir is not None:
        _state(run, "dealer.merged.v1", heir, {"merged": dealer.id, "reason": "succession 承接"}, day)
        _leave(run, day, dealer, "dealer.exited.v1", "succession 承接")


def _leave(run: Run, day: int, dealer: Dealer, kind: str, reason: str) -> None:
    """What is under way still arrives; new orders come no more."""
    dealer.weight = 0
    run.weigh_dealers()
    _state(run, kind, dealer, {"reason": reason}, day)
    over: Data = {"from": run.at(day)}
    run.send("contract.ended.v1", f"C-{dealer.id}", day, 705, over, dealer, number=f"{day}")


def _move(run: Run, day: int, dealer: Dealer) -> None:
    """A territory is given up, and another had been taken over some days before."""
    left: Data = {"territory": dealer.city, "from": run.at(day)}
    run.send("territory.revoked.v1", dealer.id, day, 720, left, dealer, number=f"{dealer.city}/{day}")
    dealer.city = f"T-{dealer.region}{(int(dealer.city[3:]) + 1) % len(REGIONS[dealer.region][1])}"
    assign_territory(run, day, dealer, day - 6)


def _rename(run: Run, day: int, dealer: Dealer) -> None:
    data: Data = {"name": f"{dealer.name}有限公司", "segment": "modern trade"}
    _state(run, "dealer.amended.v1", dealer, data, day)


def _amend_contract(run: Run, day: int, dealer: Dealer) -> None:
    duty = {"code": "volume", "measure": "amount", "target": 600000, "period": "year"}
    data: Data = {"from": run.at(day), "obligations": [duty]}
    run.send("contract.amended.v1", f"C-{dealer.id}", day, 740, data, dealer, number=f"{day}")


def _apply(run: Run, day: int, dealer: Dealer) -> None:
    """A partner of a dealer wants to become one."""
    partner = replace(dealer, id=f"{dealer.id}-{day}")
    data: Data = {
        "name": f"{dealer.name} 二店",
        "factors": {"capital": "2 million 兩百萬", "transport": "3 trucks"},
    }
    run.send("dealer.applied.v1", run.number("AP"), day, 750, data, partner, source=FIELD)


def _change_outlet(run: Run, day: int, dealer: Dealer) -> None:
    outlet = dealer.outlets[-1]
    if run.chance("outlet closed", 4, within=1):
        gone: Data = {"reason": "renovation 裝修"}
        run.send("outlet.closed.v1", outlet, day, 760, gone, source=FIELD, number=f"{day}")
    else:
        run.send(
            "outlet.amended.v1", outlet, day, 760, {"visit_cycle_days": 7}, source=FIELD, number=f"{day}"
        )
