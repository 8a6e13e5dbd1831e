"""Promotions: what they sold, gave away and earned, inside and outside their window (domain.md §3.12, 促銷)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.calendar import business_day, days_on, latest_day
from domain.numbers import ZERO, Money, Quantity, portion
from domain.promotions import Scope
from projections.dealers import DealerState
from projections.products import Product
from projections.projection import Computed, Projection
from projections.promotion_days import FIGURES, ONE, PromotionDay, PromotionPlan, fold, keys
from projections.rows import Row, Tables, view
from projections.sales_rows import Sale
from projections.target_sales import Holders
from projections.territories import subtree, units

HUNDRED = Decimal(100)
BASELINE_DAYS = 28


@view("promotions", key=("promotion", "currency"), period="from_day")
class Promotion(Row):
    """What a promotion did, in one currency. Margins are of what has a cost; None where nothing has.

    Inside is what was ordered in its window, by whom and of what it is for; where that is not known, it is not
    outside. Outlet classes are not known: an order's products are not kept by outlet.
    The baseline is what the same products sold a day to the same dealers, in its stated period or the four weeks
    before the promotion; it is left out where more than 50 promotions are asked about. Effect = margin inside less
    what the baseline would have earned.
    """

    promotion: str
    currency: str
    name: str = ""
    status: str = ""
    from_day: date | None = None
    to_day: date | None = None
    mechanics: dict[str, Any] | None = None
    dealers: int = 0
    lines: int = 0
    quantity: Quantity = ZERO
    net: Money = ZERO
    discount: Money = ZERO
    free: Quantity = ZERO
    discount_rate: Decimal | None = None  # discount / (net + discount)
    expected_discount: Money | None = None  # what percent or price_off give for what was sold inside
    expected_free: Quantity | None = None  # what buy_get gives for what was sold inside
    outside_lines: int = 0  # ordered out of its window, or for whom or what it is not
    outside_scope_lines: int = 0  # of them those within the window
    outside_quantity: Quantity = ZERO
    outside_net: Money = ZERO
    outside_discount: Money = ZERO
    outside_margin: Money | None = None
    margin: Money | None = None
    unit_margin: Money | None = None  # of a unit sold inside the window
    normal_unit_margin: Money | None = None
    baseline_quantity: Quantity | None = None  # over the days that have passed of the promotion
    uplift: Decimal | None = None  # quantity inside / baseline
    break_even: Decimal | None = None  # the uplift at which it earns what it costs: normal / promotion margin
    effect: Money | None = None


class _Sum(Struct, gc=False):
    inside: list[Decimal]
    outside: list[Decimal]
    out_of_scope: int
    dealers: set[str]
    skus: set[str]


def _sum() -> _Sum:
    return _Sum([ZERO] * len(FIGURES), [ZERO] * len(FIGURES), 0, set(), set())


class _Scopes:
    """Whom and what promotions are for, by who held a dealer on the day and the categories as they are listed."""

    def __init__(self, tables: Tables, plans: Iterable[PromotionPlan]) -> None:
        scopes = [plan.scope for plan in plans if plan.scope is not None]
        territories = {name for scope in scopes for name in scope.territories}
        self._trees = {name: subtree(tables, name) for name in territories}
        self._holders = Holders(tables) if territories else None
        self._orgs: dict[str, str] = {}
        if any(scope.org for scope in scopes):
            self._orgs = {state.dealer: state.org for state in tables.select(DealerState)}
        self._units = {name: units(tables, name) for name in {scope.org for scope in scopes if scope.org}}
        self._categories: dict[str, str] = {}
        if any(scope.categories for scope in scopes):
            self._categories = {listed.sku: listed.category for listed in tables.select(Product)}

    def hold(self, scope: Scope, dealer: str, day: date, sku: str) -> bool:
        """Whether a purchase lies in a scope; what is not known of it does not put it outside."""
        if (scope.dealers and dealer not in scope.dealers) or (scope.skus and sku not in scope.skus):
            return False
        if (org := self._orgs.get(dealer)) and scope.org and org not in self._units[scope.org]:
            return False
        if (category := self._categories.get(sku)) and scope.categories and category not in scope.categories:
            return False
        if scope.territories and self._holders is not None:
            _, territory = self._holders.of(dealer, day)
            return not territory or any(territory in self._trees[name] for name in scope.territories)
        return True


def promotions(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Promotion]:
    """Every promotion with what it did up to an instant."""
    wanted = {"promotion": filters["promotion"]} if "promotion" in filters else {}
    plans = {plan.promotion: plan for plan in tables.select(PromotionPlan, **wanted)}
    found: dict[tuple[str, str], _Sum] = {}
    today = business_day(at)
    window = ("day", date.min, latest_day(at) + timedelta(days=1))
    scopes = _Scopes(tables, plans.values())
    by = ("promotion", "currency", "dealer", "sku", "day")
    for promotion, currency, dealer, sku, day, *values in tables.sums(
        PromotionDay, by, FIGURES, window, **wanted
    ):
        held = found.setdefault((promotion, currency), _sum())
        held.dealers.add(dealer)
        held.skus.add(sku)
        plan = plans.get(promotion)
        side = held.inside if _runs(plan, day) else held.outside
        scope = plan.scope if plan is not None and side is held.inside else None
        if scope is not None and not scopes.hold(scope, dealer, day, sku):
            side = held.outside
            held.out_of_scope += int(values[0])
        for number, value in enumerate(values):
            side[number] += value
    for promotion in plans.keys() - {name for name, _ in found}:
        found[promotion, ""] = _sum()
    detailed = len({name for name, _ in found}) <= 50 or bool(wanted)
    for (promotion, currency), held in sorted(found.items()):
        row = _summed(promotion, currency, plans.get(promotion), held)
        if detailed and row.from_day is not None and held.skus:
            _against_baseline(tables, row, plans[promotion], held, today)
        yield row


def _runs(plan: PromotionPlan | None, day: date) -> bool:
    if plan is None or plan.from_day is None or plan.to_day is None:
        return True  # unknown is not outside
    return plan.from_day <= day < plan.to_day


def _summed(promotion: str, currency: str, plan: PromotionPlan | None, held: _Sum) -> Promotion:
    row = Promotion(promotion, currency)
    if plan is not None:
        row.name, row.status, row.from_day, row.to_day = plan.name, plan.status, plan.from_day, plan.to_day
        row.mechanics = plan.mechanics
    both = dict(zip(FIGURES, [a + b for a, b in zip(held.inside, held.outside, strict=True)], strict=True))
    outside = dict(zip(FIGURES, held.outside, strict=True))
    row.dealers, row.lines, row.outside_lines = len(held.dealers), int(both["lines"]), int(outside["lines"])
    row.quantity, row.net, row.discount, row.free = (
        both["quantity"],
        both["net"],
        both["discount"],
        both["free"],
    )
    row.outside_quantity, row.outside_net = outside["quantity"], outside["net"]
    row.outside_discount, row.outside_scope_lines = outside["discount"], held.out_of_scope
    if listed := both["net"] + both["discount"]:
        row.discount_rate = portion(both["discount"], ONE, listed)
    row.margin, row.outside_margin = _margin(both), _margin(outside)
    inside = dict(zip(FIGURES, held.inside, strict=True))
    earned = _margin(inside)
    if earned is not None and inside["costed"]:
        row.unit_margin = portion(earned, ONE, inside["costed"])
    _expect(row, inside)
    return row


def _expect(row: Promotion, inside: Mapping[str, Decimal]) -> None:
    """What the mechanics give for what was sold inside, where they say it without the single orders."""
    told = row.mechanics or {}
    if told.get("kind") == "percent":
        listed = inside["net"] + inside["discount"]
        row.expected_discount = portion(listed, Decimal(told["percent"]), HUNDRED)
    elif told.get("kind") == "price_off" and told["currency"] == row.currency:
        row.expected_discount = portion(Decimal(told["amount"]), inside["quantity"], ONE)
    elif told.get("kind") == "buy_get" and Decimal(told["buy"]):
        row.expected_free = portion(inside["quantity"], Decimal(told["get"]), Decimal(told["buy"]))


def _margin(figures: Mapping[str, Decimal]) -> Decimal | None:
    return figures["costed_net"] - figures["cost"] if figures["costed"] or figures["cost"] else None


def _against_baseline(tables: Tables, row: Promotion, plan: PromotionPlan, held: _Sum, today: date) -> None:
    """Compare with what the same products sold to the same dealers before (domain.md §3.12)."""
    assert row.from_day is not None
    assert row.to_day is not None
    first, last = days_on(row.from_day, -BASELINE_DAYS), row.from_day
    stated = plan.baseline
    if stated is not None and stated.from_ is not None:
        first = business_day(stated.from_)
        last = business_day(stated.to) if stated.to is not None else row.from_day
    quantity = net = cost = ZERO
    names = ("ordered", "ordered_net", "cost")
    scope = {"dealer": sorted(held.dealers), "sku": sorted(held.skus), "currency": [row.currency]}
    for _, *values in tables.sums(Sale, ("currency",), names, ("day", first, last), **scope):
        quantity, net, cost = quantity + values[0], net + values[1], cost + values[2]
    passed = Decimal(max(0, (min(row.to_day, days_on(today, 1)) - row.from_day).days))
    if stated is not None and stated.daily_quantity is not None:
        row.baseline_quantity = portion(stated.daily_quantity, passed, ONE)
    elif last > first:
        row.baseline_quantity = portion(quantity, passed, Decimal((last - first).days))
    inside = dict(zip(FIGURES, held.inside, strict=True))
    if row.baseline_quantity:
        row.uplift = portion(inside["quantity"], ONE, row.baseline_quantity)
    if quantity and cost:
        row.normal_unit_margin = portion(net - cost, ONE, quantity)
        if row.unit_margin and row.unit_margin > ZERO:
            row.break_even = portion(row.normal_unit_margin, ONE, row.unit_margin)
        earned = _margin(inside)
        if row.baseline_quantity is not None and earned is not None:
            row.effect = earned - portion(row.normal_unit_margin, row.baseline_quantity, ONE)


PROMOTIONS = Projection(
    name="promotions",
    rows=(PromotionPlan, PromotionDay),
    kinds=frozenset({"promotion", "order"}),
    keys=keys,
    fold=fold,
    modules=("projections.promotion_days", "projections.promotions", "projections.orders"),
    views=(Promotion,),
    computed=(Computed(Promotion, promotions, always=True),),
    reads=("sales", "parties"),
)
