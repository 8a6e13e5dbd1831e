"""Dealer assessments (考核): the figures a card looks at, and the card of every dealer filled in (domain.md §3.13)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from msgspec import Struct

from domain.assessment import Deducted, Judged, score
from domain.calendar import business_day
from domain.numbers import ZERO
from domain.policies import ASSESSMENT, DEFAULT_CARD, Card, Policy, card_of, in_force
from projections.assessment_figures import Filters, figures_of, of_dealers
from projections.conduct import CONDUCT, ConductDay, GivenMark, fold, keys
from projections.contracts import Contract
from projections.dealers import DealerState
from projections.policies import published
from projections.projection import Computed, Projection
from projections.rows import Row, Tables, view


@view("assessments", key=("dealer", "period", "policy"), period="from_day")
class Assessment(Row):
    """A dealer's card for one period under the version of a policy in force when the period ended.

    Ask with `period=` (2026, 2026-Q1, 2026-03); left out, it is the quarter before and the present one. `policy=` asks
    what another one would say, also of periods before it. `criteria` and `deductions` add up to the score:
    100 × Σ earned ÷ Σ points judged − Σ deductions.
    """

    dealer: str
    period: str
    policy: str
    version: str = ""
    name: str = ""
    from_day: date | None = None
    to_day: date | None = None
    contracted: bool = False  # a contract was in force in the period
    what_if: bool = False  # this version was not in force when the period ended
    score: Decimal | None = None
    grade: str = ""
    coverage: Decimal = ZERO
    criteria: tuple[Judged, ...] = ()
    deductions: tuple[Deducted, ...] = ()


class Period(Struct, frozen=True, gc=False):
    """A period with its name; [from_day, to_day)."""

    name: str
    from_day: date
    to_day: date


def period_of(name: str) -> Period | None:
    """The year, quarter or month of a name: 2026, 2026-Q1, 2026-03."""
    match = re.fullmatch(r"(\d{4})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?", name)
    if match is None or int(match[1]) < 1:
        return None
    year, months = int(match[1]), 12
    month = 1
    if match[2]:
        month, months = 3 * int(match[2]) - 2, 3
    elif match[3]:
        month, months = int(match[3]), 1
    end = month + months
    if year == 9999 and end > 12:
        return None
    return Period(name, date(year, month, 1), date(year + (end > 12), end - 12 if end > 12 else end, 1))


def quarters(day: date) -> list[Period]:
    """The quarter before a day's, and the day's own."""
    now = f"{day.year}-Q{(day.month + 2) // 3}"
    first = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1) - timedelta(days=1)
    names = [f"{first.year}-Q{(first.month + 2) // 3}", now]
    return [found for name in names if (found := period_of(name)) is not None]


def assessments(tables: Tables, at: datetime, filters: Filters) -> Iterator[Assessment]:
    """Every dealer's card for the periods asked about, of what was true by an instant.

    Dealers that did nothing in a period and were under no contract have no card.
    """
    if "period" in filters:
        periods = [found for name in filters["period"] if (found := period_of(name)) is not None]
    else:
        periods = quarters(business_day(at))
    policies = published(tables)
    states = {s.dealer: s.name for s in tables.select(DealerState, **of_dealers(filters))}
    contracts = list(tables.select(Contract, **of_dealers(filters)))
    for period in periods:
        figures = figures_of(tables, (period.from_day, period.to_day), at, filters, states)
        given = _given(tables, period, filters)
        contracted = {
            c.dealer for c in contracts if c.from_day < period.to_day and period.from_day < c.to_day
        }
        dealers = sorted(figures.keys() | given.keys() | contracted)
        for policy, card, what_if in _cards(policies, period, at, filters.get("policy")):
            for dealer in dealers:
                filled = score(card, figures.get(dealer, {}), given.get(dealer, {}))
                row = Assessment(dealer, period.name, policy.policy, policy.version, states.get(dealer, ""))
                row.from_day, row.to_day, row.what_if = period.from_day, period.to_day, what_if
                row.contracted = dealer in contracted
                row.score, row.grade, row.coverage = filled.score, filled.grade, filled.coverage
                row.criteria, row.deductions = filled.criteria, filled.deductions
                yield row


def _cards(
    policies: Sequence[Policy], period: Period, at: datetime, asked: Sequence[str] | None
) -> Iterator[tuple[Policy, Card, bool]]:
    """The cards of a period: the company's own in force on its last day, else the built-in one.

    One that is asked for by name and was not in force then is answered by its newest version, as a what-if.
    """
    last = period.to_day - timedelta(days=1)
    own = sorted({p.policy for p in in_force(policies, ASSESSMENT, at, day=last) if p.sequence})
    ruling = set(own or [DEFAULT_CARD])
    for name in asked if asked is not None else sorted(ruling):
        then = in_force(policies, ASSESSMENT, at, name, day=last)
        later = in_force(policies, ASSESSMENT, at, name)
        for policy in (*then, *later):
            if (card := card_of(policy)) is not None:
                yield policy, card, policy not in then or name not in ruling
                break


def _given(tables: Tables, period: Period, filters: Filters) -> dict[str, dict[str, Decimal | str]]:
    found: dict[str, dict[str, Decimal | str]] = {}
    for mark in tables.select(
        GivenMark, from_day=[period.from_day], to_day=[period.to_day], **of_dealers(filters)
    ):
        said: Decimal | str | None = mark.grade or mark.value
        if said is not None:
            found.setdefault(mark.dealer, {})[mark.criterion] = said
    return found


ASSESSMENTS = Projection(
    name="assessments",
    rows=(ConductDay, GivenMark),
    kinds=frozenset({"assessment_input", *CONDUCT}),
    keys=keys,
    fold=fold,
    modules=("projections.conduct",),
    views=(Assessment,),
    computed=(Computed(Assessment, assessments, always=True),),
    reads=("deliveries", "orders", "parties", "policies", "receivables", "targets", "sales"),
)
