"""Dealer assessments (考核): the figures a card looks at, and the card of every dealer filled in (domain.md §3.13)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from domain.calendar import business_day
from domain.cards import Card
from domain.numbers import ZERO
from domain.periods import Period, period_of, quarters
from domain.policies import ASSESSMENT, DEFAULT_CARD, Policy, card_of, in_force
from domain.scoring import Deducted, Judged, score
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


Ruling = tuple[Policy, Card, bool]  # and whether it is a what-if: it was not in force when the period ended


def assessments(tables: Tables, at: datetime, filters: Filters) -> Iterator[Assessment]:
    """Every dealer's card for the periods asked about, of what was true by an instant.

    Dealers that did nothing in a period and were under no contract have no card.
    """
    policies = published(tables)
    for period in periods_of(at, filters.get("period")):
        cards = cards_of(policies, period, at, filters.get("policy"))
        yield from filled(tables, period, at, filters, cards)


def periods_of(at: datetime, names: Sequence[str] | None) -> list[Period]:
    """The periods of these names; without any, the quarter before an instant and its own."""
    if names is None:
        return quarters(business_day(at))
    return [found for name in names if (found := period_of(name)) is not None]


def filled(
    tables: Tables, period: Period, at: datetime, filters: Filters, cards: Iterable[Ruling]
) -> Iterator[Assessment]:
    """Each of these cards for every dealer that has something to be judged by in a period."""
    states = {s.dealer: s.name for s in tables.select(DealerState, **of_dealers(filters))}
    contracts = tables.select(Contract, **of_dealers(filters))
    contracted = {c.dealer for c in contracts if c.from_day < period.to_day and period.from_day < c.to_day}
    figures = figures_of(tables, (period.from_day, period.to_day), at, filters, states)
    given = _given(tables, period, filters)
    dealers = sorted(figures.keys() | given.keys() | contracted)
    for policy, card, what_if in cards:
        for dealer in dealers:
            found = score(card, figures.get(dealer, {}), given.get(dealer, {}))
            row = Assessment(dealer, period.name, policy.policy, policy.version, states.get(dealer, ""))
            row.from_day, row.to_day, row.what_if = period.from_day, period.to_day, what_if
            row.contracted = dealer in contracted
            row.score, row.grade, row.coverage = found.score, found.grade, found.coverage
            row.criteria, row.deductions = found.criteria, found.deductions
            yield row


def cards_of(
    policies: Sequence[Policy], period: Period, at: datetime, asked: Sequence[str] | None
) -> Iterator[Ruling]:
    """The cards of a period: the company's own in force on its last day, else the built-in one.

    One that is asked for by name and was not in force then is answered by its newest version, as a what-if. A version
    that cannot be read is passed over for the one before it, and a policy that has no other rules nobody.
    """
    last = period.to_day - timedelta(days=1)
    there = in_force(policies, ASSESSMENT, at, day=last)
    readable = {p.policy for p in there if card_of(p) is not None}
    own = sorted(readable.intersection(p.policy for p in there if p.sequence))
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
    by_name=frozenset({"count"}),
    keys=keys,
    fold=fold,
    modules=("projections.conduct",),
    views=(Assessment,),
    computed=(Computed(Assessment, assessments, always=True),),
    reads=("deliveries", "orders", "parties", "policies", "receivables", "targets", "sales"),
)
