"""How dealers do against what is expected of them: the targets that run, and the card of the last closed quarter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.calendar import business_day, latest_day
from domain.numbers import ZERO
from domain.periods import quarters
from projections.assessment_figures import of_dealers
from projections.assessments import Assessment, assessments
from projections.rows import Tables
from projections.target_plans import TargetPlan
from projections.target_sales import today
from projections.targets import ratio, targets

Filters = Mapping[str, Sequence[Any]]
BASE = ("", "base")


class Attained(Struct, frozen=True, gc=False):
    """What was reached of a dealer's own targets of one stretch of days, in one currency."""

    from_day: date
    to_day: date
    currency: str
    value: Decimal
    actual: Decimal

    @property
    def attainment(self) -> Decimal | None:
        return ratio(self.actual, self.value)


def attained(tables: Tables, at: datetime, filters: Filters) -> dict[str, Attained]:
    """By dealer, the base targets of amount that run on the day of an instant; of several stretches the shortest.

    A month within a quarter is in it already, so stretches are not added, nor are targets of some products or
    parts of another target of the same stretch. In several currencies, or where the log cannot say, there is nothing.
    """
    running = _running(tables, at, filters)
    names = [plan.target for plans in running.values() for plan in plans]
    rows = {row.target: row for row in targets(tables, at, {"target": names})} if names else {}
    found: dict[str, Attained] = {}
    for dealer, plans in running.items():
        mine = [rows[plan.target] for plan in plans]
        currencies = {row.currency for row in mine}
        if not plans:  # parts of each other, in a circle
            continue
        first = plans[0]
        if first.from_day is None or first.to_day is None or len(currencies) > 1:
            continue
        actuals = [row.actual for row in mine if row.actual is not None]
        if len(actuals) == len(mine):
            value = sum([row.value for row in mine], ZERO)
            found[dealer] = Attained(
                first.from_day, first.to_day, currencies.pop(), value, sum(actuals, ZERO)
            )
    return found


def _running(tables: Tables, at: datetime, filters: Filters) -> dict[str, list[TargetPlan]]:
    """The targets that count, by dealer: all of one stretch. What day it is a target's own clock says."""
    begun = ("from_day", date.min, latest_day(at) + timedelta(days=1))
    found: dict[str, dict[tuple[date, date], list[TargetPlan]]] = {}
    for plan in tables.select(TargetPlan, begun, measure=["amount"], flow=["primary"], **of_dealers(filters)):
        if plan.from_day is None or plan.to_day is None:
            continue
        if not plan.from_day <= today(plan, at) < plan.to_day:
            continue
        whole = not (
            plan.rep or plan.territory or plan.org or plan.category or plan.skus or plan.outlet_class
        )
        if plan.dealer and plan.level in BASE and whole:
            stretches = found.setdefault(plan.dealer, {})
            stretches.setdefault((plan.from_day, plan.to_day), []).append(plan)
    running = {}
    for dealer, stretches in found.items():
        plans = stretches[min(stretches, key=lambda days: (days[1] - days[0], days))]
        names = {plan.target for plan in plans}
        running[dealer] = [plan for plan in plans if plan.parent not in names]
    return running


def last_cards(tables: Tables, at: datetime, filters: Filters) -> dict[str, Assessment]:
    """By dealer, the card of the quarter before that of an instant; of several policies the first by name."""
    closed = quarters(business_day(at))[0]
    asked = {"period": [closed.name], **of_dealers(filters)}
    found: dict[str, Assessment] = {}
    for card in assessments(tables, at, asked):
        found.setdefault(card.dealer, card)
    return found
