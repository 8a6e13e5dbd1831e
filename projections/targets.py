"""Sales targets: how far each is reached, and where it is going (domain.md §3.9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from domain.calendar import days_on
from domain.numbers import ZERO, portion
from domain.policies import RECOGNITION, Calendar, Policy, calendar_of, in_force
from domain.recognition import Recognition, RecognitionError, default, recognition
from projections.policies import published
from projections.projection import Computed, Projection
from projections.rows import Row, Tables, view
from projections.target_plans import TargetHistory, TargetPlan, fold, keys
from projections.target_sales import OutletOrder, Sold, delivers, limits, sold

COLLECTION = (("paid", 1), ("refunded", -1), ("failed", -1))


@view("targets", key=("target",), period="from_day")
class Target(Row):
    """A target and how far it is reached at an instant.

    Ratios are of 1 and None where they would divide by nothing. `actual` is None where the log cannot say, or where a
    target that names no currency has sales in several. A target that names none has that of its sales.
    """

    target: str
    dealer: str = ""
    rep: str = ""
    territory: str = ""
    org: str = ""
    category: str = ""
    skus: tuple[str, ...] = ()
    level: str = ""
    parent: str = ""
    measure: str = ""
    flow: str = ""
    recognition: str = ""  # what counted as a sale
    from_day: date | None = None
    to_day: date | None = None
    currency: str = ""
    value: Decimal = ZERO
    actual: Decimal | None = None
    variance: Decimal | None = None  # actual less value
    attainment: Decimal | None = None  # actual / value
    working_days: int = 0
    elapsed_days: int = 0  # of them, the day of asking included
    time_progress: Decimal | None = None  # elapsed / working days
    phased_value: Decimal | None = None  # what should be reached by now
    pace: Decimal | None = None  # actual / phased value
    run_rate: Decimal | None = None  # actual a working day so far
    required_rate: Decimal | None = None  # still needed a working day
    landing: Decimal | None = None  # where it ends at this pace
    children_value: Decimal | None = None  # what the targets below it add up to
    children_variance: Decimal | None = None
    uncounted: tuple[str, ...] = ()  # other currencies in which there were sales
    revisions: int = 0


def targets(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Target]:
    """Every target with what was reached of it by an instant. Sales belong to who held them on their day."""
    wanted = {n: filters[n] for n in ("target", "dealer", "rep", "territory", "parent") if n in filters}
    plans = [plan for plan in tables.select(TargetPlan, **wanted) if plan.from_day is not None]
    if not plans:
        return
    policies = published(tables)
    usual = default(delivers=delivers(tables))
    reached = sold(tables, plans, at)
    children = _children(tables, plans)
    calendars = {day: calendar_of(policies, at, day) for day in {_last_day(plan) for plan in plans}}
    for plan in plans:
        rule, calendar = _rule(plan, policies, at) or usual, calendars[_last_day(plan)]
        yield _target(plan, reached[plan.target], rule, calendar, at, children.get(plan.target))


def _last_day(plan: TargetPlan) -> date:
    """The day whose rules hold for the whole of a target."""
    assert plan.to_day is not None
    return days_on(plan.to_day, -1)


def _rule(plan: TargetPlan, policies: Sequence[Policy], at: datetime) -> Recognition | None:
    """What the target itself names, else the policy in force on its last day; None: the default."""
    names = [plan.recognition] if plan.recognition else []
    names += [
        str(policy.body.get("counts", ""))
        for policy in in_force(policies, RECOGNITION, at, day=_last_day(plan))
    ]
    for name in names:
        if name == "default":
            return None
        try:
            return recognition(name)
        except RecognitionError:
            continue
    return None


def _children(tables: Tables, plans: Sequence[TargetPlan]) -> dict[str, Decimal]:
    """What the targets right below each add up to, of those in its own measure, currency and level."""
    parents = {plan.target: _unit(plan) for plan in plans}
    found: dict[str, Decimal] = {}
    for child in tables.select(TargetPlan, parent=list(parents)):
        if _unit(child) == parents[child.parent]:
            found[child.parent] = found.get(child.parent, ZERO) + child.value
    return found


def _unit(plan: TargetPlan) -> tuple[str, str, str]:
    return plan.measure, plan.currency, plan.level or "base"


def _target(
    plan: TargetPlan,
    reached: Sold,
    rule: Recognition,
    calendar: Calendar,
    at: datetime,
    children: Decimal | None,
) -> Target:
    row = Target(
        plan.target,
        *(plan.dealer, plan.rep, plan.territory, plan.org, plan.category, plan.skus),
        *(plan.level, plan.parent, plan.measure, plan.flow),
    )
    row.from_day, row.to_day, row.currency, row.value = plan.from_day, plan.to_day, plan.currency, plan.value
    row.revisions, row.children_value = plan.revisions, children
    row.children_variance = None if children is None else children - plan.value
    _reach(row, plan, reached, rule)
    _pace(row, plan, calendar, at)
    return row


def _reach(row: Target, plan: TargetPlan, reached: Sold, rule: Recognition) -> None:
    """What counts, and how much of it there was. Money is summed in one currency alone."""
    if plan.measure == "outlets":
        if plan.category or plan.skus or plan.flow != "primary":
            row.recognition = "cannot be said: of an outlet it is kept when it ordered, not what"
        else:
            row.recognition, row.actual = "outlets that ordered", Decimal(len(reached.outlets))
        return
    if plan.outlet_class:
        row.recognition = "cannot be said: sales are not kept by class of outlet"
        return
    money = plan.measure in ("amount", "collection")
    parts: tuple[tuple[str, int], ...]
    if plan.measure == "collection":
        if plan.category or plan.skus:
            row.recognition = "cannot be said: nobody pays by product"
            return
        parts, row.recognition = COLLECTION, "collected"
    elif plan.flow == "primary":
        parts, row.recognition = (rule.amount() if money else rule.quantity()), str(rule)
    else:
        parts, row.recognition = ((f"{plan.flow}{'_net' if money else ''}", 1),), f"{plan.flow}, as reported"
    if not money:
        row.actual = reached.total(parts, None)
        return
    there = [currency for currency in reached.currencies(parts) if currency]
    if not row.currency and len(there) == 1:
        row.currency = there[0]
    row.uncounted = tuple(currency for currency in there if currency != row.currency)
    if row.currency or not there:
        row.actual = reached.total(parts, row.currency)


def _pace(row: Target, plan: TargetPlan, calendar: Calendar, at: datetime) -> None:
    first, through = limits(plan, at)
    assert plan.to_day is not None
    row.working_days = calendar.count(first, plan.to_day)
    row.elapsed_days = calendar.count(first, through)
    total, elapsed = Decimal(row.working_days), Decimal(row.elapsed_days)
    row.time_progress = ratio(elapsed, total)
    share = _share(plan, calendar, through) if plan.phasing else None
    if share is not None:
        row.phased_value = portion(plan.value, share, Decimal(1))
    elif total:
        row.phased_value = portion(plan.value, elapsed, total)
    if row.actual is None:
        return
    row.variance = row.actual - plan.value
    row.attainment = ratio(row.actual, plan.value)
    row.pace = None if row.phased_value is None else ratio(row.actual, row.phased_value)
    row.run_rate = ratio(row.actual, elapsed)
    left = total - elapsed
    row.required_rate = ratio(plan.value - row.actual, left)
    if plan.phasing:
        row.landing = None if not share else ratio(row.actual, share)
    elif row.run_rate is not None:
        row.landing = row.actual + portion(row.actual, left, elapsed)


def _share(plan: TargetPlan, calendar: Calendar, through: date) -> Decimal:
    """The part of the target that should be reached: whole phases, and of the present one its working days."""
    found = ZERO
    for phase in plan.phasing:
        if phase.to_day <= through:
            found += phase.share
        elif phase.from_day < through:
            days = Decimal(calendar.count(phase.from_day, phase.to_day))
            done = Decimal(calendar.count(phase.from_day, through))
            found += portion(phase.share, done, days) if days else ZERO
    return found


def ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    """part / whole to 6 places; None where there is nothing to divide by."""
    return portion(part, Decimal(1), whole) if whole else None


TARGETS = Projection(
    name="targets",
    rows=(TargetPlan, TargetHistory),
    kinds=frozenset({"target"}),
    by_name=frozenset({"target"}),
    keys=keys,
    fold=fold,
    modules=("projections.target_plans",),
    views=(Target, OutletOrder),
    computed=(Computed(Target, targets, always=True),),
    reads=("sales", "parties", "policies", "receivables", "orders"),
)
