"""What was sold, by the target it counts for: one pass over the sales of every stretch between two limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

from msgspec import Struct

from domain.calendar import days_on, in_zone
from domain.numbers import ZERO, portion
from projections.assignments import Holding
from projections.dealers import DealerState
from projections.ledger import LedgerDay
from projections.products import Product
from projections.reps import RepHolding
from projections.rows import Row, Tables, view
from projections.sales_rows import REP, TERRITORY, DealerDay, DealerSale, Sale
from projections.target_plans import TargetPlan
from projections.territories import subtree, units

SALES = ("amount", "quantity", "volume")
FIGURES = (
    *("ordered", "ordered_net", "dispatched", "dispatched_net", "accepted", "accepted_net"),
    *("returned", "returned_net", "invoiced", "invoiced_net"),
    *("secondary", "secondary_net", "tertiary", "tertiary_net"),
)
COLLECTED = ("paid", "refunded", "failed")
ONE = Decimal(1)


@view(
    "outlet_orders",
    key=("dealer", "day", "outlet", "stated_rep", "stated_territory"),
    sql=f"SELECT s.dealer, s.day, s.outlet, s.rep, s.territory, {REP}, {TERRITORY}, "
    f"COALESCE(c.outlet_class, ''), COUNT(*) FROM orders s LEFT JOIN outlets c ON c.outlet = s.outlet "
    "WHERE s.outlet <> '' AND s.day IS NOT NULL AND s.status <> '' AND s.status <> 'cancelled' "
    "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
)
class OutletOrder(Row):
    """How many orders an outlet placed with a dealer on a day, without those cancelled since; whose it was then."""

    dealer: str
    day: date
    outlet: str
    stated_rep: str
    stated_territory: str
    rep: str = ""
    territory: str = ""
    outlet_class: str = ""  # of the outlet as it is known
    orders: int = 0


class Sold(Struct, gc=False):
    """The figures of a target's scope and window, by currency, and the outlets that ordered."""

    figures: dict[str, dict[str, Decimal]]
    outlets: set[str]

    def add(self, currency: str, names: Sequence[str], values: Sequence[Decimal]) -> None:
        held = self.figures.setdefault(currency, dict.fromkeys(names, ZERO))
        for name, value in zip(names, values, strict=True):
            held[name] += value

    def total(self, parts: Iterable[tuple[str, int]], currency: str | None) -> Decimal:
        """The sum of signed figures, in one currency or in all (quantities)."""
        wanted = [c for c in self.figures if currency is None or c == currency]
        return sum([sign * self.figures[c][name] for c in wanted for name, sign in parts], ZERO)

    def currencies(self, parts: Sequence[tuple[str, int]]) -> list[str]:
        """Those in which any of the figures moved."""
        return sorted(c for c, held in self.figures.items() if any(held[name] for name, _ in parts))


def today(plan: TargetPlan, at: datetime) -> date:
    """The day an instant falls on by the target's own clock."""
    return in_zone(at, timezone(timedelta(minutes=plan.offset_minutes))).date()


def limits(plan: TargetPlan, at: datetime) -> tuple[date, date]:
    """The days of a target that have come by an instant: [first, last)."""
    assert plan.from_day is not None
    assert plan.to_day is not None
    return plan.from_day, min(plan.to_day, days_on(today(plan, at), 1))


def delivers(tables: Tables) -> bool:
    """Whether anything was ever dispatched: where nothing is, an order is the sale."""
    return any(bool(moved) for _, moved in tables.sums(DealerDay, ("currency",), ("dispatched",)))


def sold(tables: Tables, plans: Sequence[TargetPlan], at: datetime) -> dict[str, Sold]:
    """The figures of every target by its name. Sales belong to who held them on their day."""
    found = {plan.target: Sold({}, set()) for plan in plans}
    selling = [plan for plan in plans if plan.measure in SALES and not plan.outlet_class]
    fine = [plan for plan in selling if plan.category or plan.skus or plan.measure == "volume"]
    coarse = [plan for plan in selling if not (plan.category or plan.skus or plan.measure == "volume")]
    _sell(tables, coarse, found, at)
    _sell_products(tables, fine, found, at)
    _collect(tables, [p for p in plans if p.measure == "collection"], found, at)
    _count_outlets(tables, [p for p in plans if p.measure == "outlets"], found, at)
    return found


def _stretches(plans: Sequence[TargetPlan], at: datetime) -> Iterator[tuple[list[TargetPlan], date, date]]:
    """The days between two limits that follow each other, and the targets that hold all of them.

    A year of targets by month is read as twelve sums and not as 365.
    """
    bounds = {plan.target: limits(plan, at) for plan in plans}
    days = sorted({day for first, last in bounds.values() if first < last for day in (first, last)})
    for first, last in pairwise(days):
        if held := [p for p in plans if bounds[p.target][0] <= first and last <= bounds[p.target][1]]:
            yield held, first, last


def _dealers(plans: Sequence[TargetPlan]) -> dict[str, list[str]]:
    return {"dealer": sorted({p.dealer for p in plans})} if all(p.dealer for p in plans) else {}


def _sellers(plans: Sequence[TargetPlan]) -> dict[str, list[str]]:
    """Whose sales can count: where every target names a dealer, or a representative, only theirs."""
    reps = {"rep": sorted({p.rep for p in plans})} if all(p.rep for p in plans) else {}
    return _dealers(plans) | reps


def _sell(tables: Tables, plans: Sequence[TargetPlan], found: Mapping[str, Sold], at: datetime) -> None:
    reach = Reach(tables, plans)
    by = ("dealer", "rep", "territory", "currency")
    for held, first, last in _stretches(plans, at):
        window, choose = ("day", first, last), reach.among(held)
        for dealer, rep, territory, currency, *values in tables.sums(
            DealerSale, by, FIGURES, window, **_sellers(held)
        ):
            for plan in choose.of(dealer, rep, territory):
                found[plan.target].add(currency, FIGURES, values)


def _sell_products(
    tables: Tables, plans: Sequence[TargetPlan], found: Mapping[str, Sold], at: datetime
) -> None:
    litred = any(plan.measure == "volume" for plan in plans)
    litres = {p.sku: p.volume or ZERO for p in tables.select(Product)} if litred else {}
    reach = Reach(tables, plans)
    by = ("dealer", "rep", "territory", "currency", "sku", "category")
    for held, first, last in _stretches(plans, at):
        window, choose = ("day", first, last), reach.among(held)
        for dealer, rep, territory, currency, sku, category, *values in tables.sums(
            Sale, by, FIGURES, window, **_sellers(held)
        ):
            for plan in choose.of(dealer, rep, territory):
                if (plan.category and category != plan.category) or (plan.skus and sku not in plan.skus):
                    continue
                if plan.measure == "volume":
                    volume = litres.get(sku, ZERO)
                    scaled = [portion(value, volume, ONE) for value in values]
                    found[plan.target].add(currency, FIGURES, scaled)
                else:
                    found[plan.target].add(currency, FIGURES, values)


def _count_outlets(
    tables: Tables, plans: Sequence[TargetPlan], found: Mapping[str, Sold], at: datetime
) -> None:
    """An outlet counts once, however often it ordered, for who held it on the days it did."""
    reach = Reach(tables, plans)
    by = ("dealer", "rep", "territory", "outlet_class", "outlet")
    for held, first, last in _stretches(plans, at):
        choose = reach.among(held)
        for dealer, rep, territory, outlet_class, outlet, _ in tables.sums(
            OutletOrder, by, ("orders",), ("day", first, last), **_sellers(held)
        ):
            for plan in choose.of(dealer, rep, territory):
                if not plan.outlet_class or plan.outlet_class == outlet_class:
                    found[plan.target].outlets.add(outlet)


def _collect(tables: Tables, plans: Sequence[TargetPlan], found: Mapping[str, Sold], at: datetime) -> None:
    """What was paid counts for who held the dealer on the day of the payment."""
    reach = Reach(tables, plans)
    placed = Holders(tables) if any(p.rep or p.territory for p in plans) else None
    for held, first, last in _stretches(plans, at):
        choose = reach.among(held)
        for dealer, day, currency, *values in tables.sums(
            LedgerDay, ("dealer", "day", "currency"), COLLECTED, ("day", first, last), **_dealers(held)
        ):
            rep, territory = placed.of(dealer, day) if placed is not None else ("", "")
            for plan in choose.of(dealer, rep, territory):
                found[plan.target].add(currency, COLLECTED, values)


class Reach:
    """The territories, units and targets as they stand: what is needed to say for which target a sale counts."""

    def __init__(self, tables: Tables, plans: Sequence[TargetPlan]) -> None:
        self.trees = {name: subtree(tables, name) for name in {p.territory for p in plans if p.territory}}
        self.units = {name: units(tables, name) for name in {p.org for p in plans if p.org}}
        self.orgs = {s.dealer: s.org for s in tables.select(DealerState)} if self.units else {}

    def among(self, plans: Sequence[TargetPlan]) -> Choice:
        """Chooses among some of the targets."""
        return Choice(self, plans)


class Choice:
    """Which of some targets a sale counts for, without comparing every sale with every target."""

    def __init__(self, reach: Reach, plans: Sequence[TargetPlan]) -> None:
        self._reach = reach
        self._by_dealer: dict[str, list[TargetPlan]] = {}
        for plan in plans:
            self._by_dealer.setdefault(plan.dealer, []).append(plan)
        self._found: dict[tuple[str, str, str], list[TargetPlan]] = {}

    def of(self, dealer: str, rep: str, territory: str) -> list[TargetPlan]:
        """The targets whose dealer, rep, territory and unit all agree."""
        place = dealer, rep, territory
        held = self._found.get(place)
        if held is None:
            held = self._found[place] = [
                plan
                for plan in (*self._by_dealer.get(dealer, ()), *self._by_dealer.get("", ()))
                if (not plan.rep or plan.rep == rep)
                and (not plan.territory or territory in self._reach.trees[plan.territory])
                and (not plan.org or self._reach.orgs.get(dealer) in self._reach.units[plan.org])
            ]
        return held


class Holders:
    """Who held a dealer on a day, of what no sale names."""

    def __init__(self, tables: Tables) -> None:
        self._territories: dict[str, list[Holding]] = {}
        self._reps: dict[tuple[str, str], list[RepHolding]] = {}
        for held in tables.select(Holding):
            self._territories.setdefault(held.dealer, []).append(held)
        for rep in tables.select(RepHolding):
            self._reps.setdefault((rep.kind, rep.target), []).append(rep)

    def of(self, dealer: str, day: date) -> tuple[str, str]:
        """Its representative, its own or else its territory's, and its territory."""
        spans = [h for h in self._territories.get(dealer, ()) if h.from_day <= day < h.to_day]
        territory = spans[0].territory if spans else ""
        for kind, target in (("dealer", dealer), ("territory", territory)):
            for held in self._reps.get((kind, target), ()):
                if held.from_day <= day < held.to_day:
                    return held.rep, territory
        return "", territory
