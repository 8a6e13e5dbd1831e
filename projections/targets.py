"""Sales targets: what was set, how far it is reached, and where it is going (domain.md §3.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.calendar import business_day
from domain.numbers import ZERO, portion
from domain.plans import TargetRevised, TargetSet
from domain.policies import RECOGNITION, Calendar, Policy, calendar_of, in_force
from domain.recognition import Recognition, RecognitionError, default, recognition
from projections.dealers import DealerState
from projections.documents import Change, Document
from projections.policies import published
from projections.products import Product
from projections.projection import Computed, Projection
from projections.receivables import LedgerDay
from projections.rows import Key, Row, Rows, Tables, table, view
from projections.sales_rows import DealerSale, Sale
from projections.territories import subtree

FIGURES = (
    *("ordered", "ordered_net", "dispatched", "dispatched_net", "accepted", "accepted_net"),
    *("returned", "returned_net", "invoiced", "invoiced_net"),
    *("secondary", "secondary_net", "tertiary", "tertiary_net"),
)


class Phased(Struct, frozen=True, gc=False):
    """The share of a target that falls into [from_day, to_day)."""

    from_day: date
    to_day: date
    share: Decimal


@table(
    "target_plans",
    key=("target",),
    home="shared",
    indexes=(("dealer",), ("rep",), ("territory",), ("parent",)),
)
class TargetPlan(Row):
    """A target as last set or revised."""

    target: str
    parent: str = ""
    level: str = ""
    measure: str = ""
    flow: str = ""
    recognition: str = ""
    org: str = ""
    territory: str = ""
    dealer: str = ""
    outlet_class: str = ""
    rep: str = ""
    category: str = ""
    skus: tuple[str, ...] = ()
    from_day: date | None = None
    to_day: date | None = None
    offset_minutes: int = 0  # of the target's own clock, which says what day it is
    value: Decimal = ZERO
    currency: str = ""
    phasing: tuple[Phased, ...] = ()
    revisions: int = 0
    sequence: int = 0


@table("target_history", key=("target", "sequence"), home="shared")
class TargetHistory(Row):
    """What a target was set to, each time: revising it does not lose the old one."""

    target: str
    sequence: int
    type: str = ""
    stated: datetime | None = None
    value: Decimal = ZERO
    currency: str = ""
    from_day: date | None = None
    to_day: date | None = None


@view("targets", key=("target",), period="from_day")
class Target(Row):
    """A target and how far it is reached at an instant.

    Ratios are of 1 and None where they would divide by nothing. `actual` is None where the log cannot say.
    """

    target: str
    dealer: str = ""
    rep: str = ""
    territory: str = ""
    org: str = ""
    category: str = ""
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


def keys(change: Change) -> Iterator[tuple[type[Row], Key]]:
    """The rows a change touches."""
    yield TargetPlan, (change.document.id,)


def fold(change: Change, rows: Rows) -> None:
    """Put the target as it now stands, and keep what each statement set."""
    name = change.document.id
    old, new = _statements(change.before), _statements(change.after)
    for sequence in {**old, **new}:
        if (sequence in old) != (sequence in new):
            event = new.get(sequence)
            rows.put(
                TargetHistory(name, sequence)
                if event is None
                else TargetHistory(
                    name,
                    sequence,
                    event.type,
                    event.time,
                    event.data.value,
                    event.data.currency or "",
                    business_day(event.data.from_),
                    business_day(event.data.to),
                )
            )
    row = rows.edit(TargetPlan, name)
    held = _plan(name, list(new.values()))
    for field in TargetPlan.__struct_fields__:
        setattr(row, field, getattr(held, field))


def _statements(document: Document | None) -> dict[int, Any]:
    if document is None:
        return {}
    return {s.sequence: s for s in document.statements if isinstance(s.data, TargetSet | TargetRevised)}


def _plan(name: str, statements: Sequence[Any]) -> TargetPlan:
    if not statements:
        return TargetPlan(name)
    data, scope = statements[-1].data, statements[-1].data.scope
    offset = data.from_.utcoffset() or timedelta()
    return TargetPlan(
        name,
        parent=data.parent or "",
        level=data.level or "",
        measure=data.measure,
        flow=data.flow,
        recognition=data.recognition or "",
        org=scope.org or "",
        territory=scope.territory or "",
        dealer=scope.dealer or "",
        outlet_class=scope.outlet_class or "",
        rep=scope.rep or "",
        category=scope.category or "",
        skus=scope.skus,
        from_day=business_day(data.from_),
        to_day=business_day(data.to),
        offset_minutes=offset // timedelta(minutes=1),
        value=data.value,
        currency=data.currency or "",
        phasing=tuple([Phased(business_day(p.from_), business_day(p.to), p.share) for p in data.phasing]),
        revisions=len(statements) - 1,
        sequence=statements[-1].sequence,
    )


# the view


class Sold(Struct, gc=False):
    """The figures of a target's scope and window, by currency."""

    figures: dict[str, dict[str, Decimal]]

    def add(self, currency: str, names: Sequence[str], values: Sequence[Decimal]) -> None:
        held = self.figures.setdefault(currency, dict.fromkeys(names, ZERO))
        for name, value in zip(names, values, strict=True):
            held[name] += value

    def total(self, parts: Iterable[tuple[str, int]], currency: str | None) -> Decimal:
        """The sum of signed figures, in one currency or in all (quantities)."""
        wanted = [c for c in self.figures if currency is None or c == currency]
        return sum([sign * self.figures[c][name] for c in wanted for name, sign in parts], ZERO)


def targets(tables: Tables, at: datetime, filters: Mapping[str, Sequence[Any]]) -> Iterator[Target]:
    """Every target with what was reached of it by an instant. Sales belong to who held them on their day."""
    wanted = {n: filters[n] for n in ("target", "dealer", "rep", "territory", "parent") if n in filters}
    plans = [plan for plan in tables.select(TargetPlan, **wanted) if plan.from_day is not None]
    if not plans:
        return
    policies = published(tables)
    calendar = calendar_of(policies, at)
    sold = _sold(tables, plans, at)
    children = _children(tables, plans)
    for plan in plans:
        yield _target(
            plan, sold[plan.target], _rule(plan, policies, at), calendar, at, children.get(plan.target)
        )


def _rule(plan: TargetPlan, policies: Sequence[Policy], at: datetime) -> Recognition | None:
    """What the target itself names, else what the company published; None: the default."""
    names = [plan.recognition] if plan.recognition else []
    names += [str(policy.body.get("counts", "")) for policy in in_force(policies, RECOGNITION, at)]
    for name in names:
        if name == "default":
            return None
        try:
            return recognition(name)
        except RecognitionError:
            continue
    return None


def _children(tables: Tables, plans: Sequence[TargetPlan]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for child in tables.select(TargetPlan, parent=[plan.target for plan in plans]):
        found[child.parent] = found.get(child.parent, ZERO) + child.value
    return found


def _sold(tables: Tables, plans: Sequence[TargetPlan], at: datetime) -> dict[str, Sold]:
    """One pass over the sales that bear on any of the targets."""
    found = {plan.target: Sold({}) for plan in plans}
    selling = [p for p in plans if p.measure in ("amount", "quantity", "volume")]
    fine = [p for p in selling if p.category or p.skus or p.measure == "volume"]
    coarse = [p for p in selling if not (p.category or p.skus or p.measure == "volume")]
    scopes = _Scopes(tables, selling)
    window = _window(plans)
    wanted = (
        {"dealer": sorted({p.dealer for p in selling})} if selling and all(p.dealer for p in selling) else {}
    )
    if coarse:
        by = ("dealer", "day", "rep", "territory", "currency")
        for dealer, day, rep, territory, currency, *values in tables.sums(
            DealerSale, by, FIGURES, window, **wanted
        ):
            for plan in scopes.of(coarse, dealer, rep, territory):
                if _within(plan, day, at):
                    found[plan.target].add(currency, FIGURES, values)
    if fine:
        volumes = (
            {p.sku: p.volume for p in tables.select(Product)}
            if any(p.measure == "volume" for p in fine)
            else {}
        )
        fine_by = ("dealer", "day", "rep", "territory", "currency", "sku", "category")
        for dealer, day, rep, territory, currency, sku, category, *values in tables.sums(
            Sale, fine_by, FIGURES, window, **wanted
        ):
            for plan in scopes.of(fine, dealer, rep, territory):
                if not _within(plan, day, at) or (plan.category and category != plan.category):
                    continue
                if plan.skus and sku not in plan.skus:
                    continue
                litres = volumes.get(sku) if plan.measure == "volume" else Decimal(1)
                if litres is not None:
                    scaled = (
                        values if litres == 1 else [portion(value, litres, Decimal(1)) for value in values]
                    )
                    found[plan.target].add(currency, FIGURES, scaled)
    _collect(tables, [p for p in plans if p.measure == "collection"], found, at)
    return found


def _window(plans: Sequence[TargetPlan]) -> tuple[str, date, date]:
    first = min([plan.from_day for plan in plans if plan.from_day is not None])
    return "day", first, max([plan.to_day for plan in plans if plan.to_day is not None])


def _collect(tables: Tables, plans: Sequence[TargetPlan], found: dict[str, Sold], at: datetime) -> None:
    if not plans:
        return
    scopes = _Scopes(tables, plans)
    names = ("paid", "refunded", "failed")
    for dealer, day, currency, *values in tables.sums(
        LedgerDay, ("dealer", "day", "currency"), names, _window(plans)
    ):
        for plan in scopes.of(plans, dealer, "", ""):
            if _within(plan, day, at):
                found[plan.target].add(currency, names, values)


class _Scopes:
    """Which targets a sale counts for, without comparing every sale with every target."""

    def __init__(self, tables: Tables, plans: Sequence[TargetPlan]) -> None:
        self._trees = {p.territory: subtree(tables, p.territory) for p in plans if p.territory}
        orgs = {p.org for p in plans if p.org}
        self._orgs = {s.dealer: s.org for s in tables.select(DealerState)} if orgs else {}
        self._found: dict[tuple[int, str, str, str], list[TargetPlan]] = {}
        self._by_dealer: dict[int, dict[str, list[TargetPlan]]] = {}

    def of(self, plans: Sequence[TargetPlan], dealer: str, rep: str, territory: str) -> list[TargetPlan]:
        place = id(plans), dealer, rep, territory
        held = self._found.get(place)
        if held is None:
            by_dealer = self._by_dealer.get(id(plans))
            if by_dealer is None:
                by_dealer = self._by_dealer[id(plans)] = {}
                for plan in plans:
                    by_dealer.setdefault(plan.dealer, []).append(plan)
            held = self._found[place] = [
                plan
                for plan in (*by_dealer.get(dealer, ()), *by_dealer.get("", ()))
                if (not plan.rep or plan.rep == rep)
                and (not plan.territory or territory in self._trees[plan.territory])
                and (not plan.org or self._orgs.get(dealer) == plan.org)
                and not plan.outlet_class
            ]
        return held


def _today(plan: TargetPlan, at: datetime) -> date:
    return at.astimezone(
        timezone(timedelta(minutes=plan.offset_minutes)) if plan.offset_minutes else UTC
    ).date()


def _within(plan: TargetPlan, day: date, at: datetime) -> bool:
    assert plan.from_day is not None
    assert plan.to_day is not None
    return plan.from_day <= day < plan.to_day and day <= _today(plan, at)


def _target(
    plan: TargetPlan,
    sold: Sold,
    rule: Recognition | None,
    calendar: Calendar,
    at: datetime,
    children: Decimal | None,
) -> Target:
    row = Target(
        plan.target,
        *(plan.dealer, plan.rep, plan.territory, plan.org, plan.category, plan.level, plan.parent),
        *(plan.measure, plan.flow),
    )
    row.from_day, row.to_day, row.currency, row.value = plan.from_day, plan.to_day, plan.currency, plan.value
    row.revisions, row.children_value = plan.revisions, children
    row.children_variance = None if children is None else children - plan.value
    row.actual, row.recognition = _actual(plan, sold, rule)
    if plan.currency and plan.measure in ("amount", "collection"):
        row.uncounted = tuple(sorted(c for c in sold.figures if c not in (plan.currency, "")))
    _pace(row, plan, calendar, at)
    return row


def _actual(plan: TargetPlan, sold: Sold, rule: Recognition | None) -> tuple[Decimal | None, str]:
    if plan.outlet_class or plan.measure == "outlets":
        return None, "cannot be said: sales are not kept by class of outlet"
    if plan.measure == "collection":
        return sold.total((("paid", 1), ("refunded", -1), ("failed", -1)), plan.currency), "collected"
    currency = plan.currency if plan.measure == "amount" else None
    suffix = "_net" if plan.measure == "amount" else ""
    if plan.flow != "primary":
        return sold.total(((f"{plan.flow}{suffix}", 1),), currency), f"{plan.flow}, as reported"
    if rule is None:
        rule = default(delivers=sold.total((("dispatched", 1),), None) != ZERO)
    parts = rule.amount() if plan.measure == "amount" else rule.quantity()
    return sold.total(parts, currency), str(rule)


def _pace(row: Target, plan: TargetPlan, calendar: Calendar, at: datetime) -> None:
    assert plan.from_day is not None
    assert plan.to_day is not None
    through = min(max(_today(plan, at) + timedelta(days=1), plan.from_day), plan.to_day)
    row.working_days = calendar.count(plan.from_day, plan.to_day)
    row.elapsed_days = calendar.count(plan.from_day, through)
    total, elapsed = Decimal(row.working_days), Decimal(row.elapsed_days)
    row.time_progress = ratio(elapsed, total)
    share = _share(plan, calendar, through) if plan.phasing else row.time_progress
    row.phased_value = None if share is None else portion(plan.value, share, Decimal(1))
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
    keys=keys,
    fold=fold,
    modules=("projections.targets",),
    views=(Target,),
    computed=(Computed(Target, targets, always=True),),
    reads=("sales", "parties", "policies", "receivables"),
)
