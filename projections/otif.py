"""On time, in full, at the right place, as it is asked: by SQL under the built-in rules, computed under any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from domain.fulfilment import Course
from domain.numbers import ZERO, Quantity
from domain.otif import (
    BUILT_IN,
    DEFAULT,
    DISPATCHED,
    LineVerdict,
    Rule,
    Verdict,
    judge_lines,
    last_day,
    rule_of,
    together,
)
from domain.plans import PolicyPublished
from projections.documents import Change, Document
from projections.fulfilments import Fulfilment
from projections.projection import Computed
from projections.rows import Row, Rows, Tables, table, view

Filters = Mapping[str, Sequence[Any]]
KIND, BUILT_IN_VERSION = "otif", "built-in"


@table("otif_policies", key=("policy", "version"), home="shared")
class OtifPolicy(Row):
    """A published version of an OTIF rule, for orders placed from `effective` on. `readable` false: it is left out."""

    policy: str
    version: str
    effective: datetime | None = None
    readable: bool = False
    rule: Rule | None = None


def rules_of(document: Document | None) -> dict[str, PolicyPublished]:
    """The OTIF rules that a policy's document states, by version."""
    events = document.each(PolicyPublished) if document is not None else []
    return {event.data.version: event.data for event in events if event.data.kind == KIND}


def fold_policy(change: Change, rows: Rows) -> None:
    """Put every version as it now stands."""
    old, new = rules_of(change.before), rules_of(change.after)
    for version in {**old, **new}:
        row = rows.edit(OtifPolicy, change.document.id, version)
        said = new.get(version)
        row.effective = said.effective if said is not None else None
        row.rule = rule_of(said.body) if said is not None else None
        row.readable = row.rule is not None


def _select(policy: str, prefix: str) -> str:
    """The orders as one built-in rule sees them; `territory` and the dealer's address are asked of the parties."""
    outcomes = ", ".join(
        f"CASE WHEN f.{prefix}outcome = '{name}' THEN 1 ELSE 0 END"
        for name in ("on_time", "late", "early", "not_shipped", "no_window")
    )
    counts = ", ".join(
        f"f.{prefix}{name}"
        for name in ("days_late", "lines_on_time", "lines_in_full", "lines_ok", "cases_ok")
    )
    places = "CASE WHEN f.place_ok THEN 1 ELSE 0 END, CASE WHEN NOT f.place_ok THEN 1 ELSE 0 END"
    if prefix:
        places = "0, 0"  # what has only left is at no place yet
    return f"""SELECT f.dealer, f."order", '{policy}' AS policy, '{BUILT_IN_VERSION}' AS version,
f.placed, f.day, SUBSTR(f.day, 1, 7) AS month, f.due, f.rep,
COALESCE(NULLIF(f.territory, ''), h.territory, '') AS territory, f.carrier, f.city, f.country,
f.{prefix}outcome, f.{prefix}cause, 1 AS orders, {outcomes},
CASE WHEN f.{prefix}in_full THEN 1 ELSE 0 END, {places}, CASE WHEN f.{prefix}ok THEN 1 ELSE 0 END,
CASE WHEN (f.city <> '' AND d.city <> '' AND f.city <> d.city)
OR (f.country <> '' AND d.country <> '' AND f.country <> d.country) THEN 1 ELSE 0 END,
f.lines, f.cases, {counts}
FROM fulfilments f
LEFT JOIN territory_holdings h
ON f.territory = '' AND h.dealer = f.dealer AND h.from_day <= f.ordered_on AND f.ordered_on < h.to_day
LEFT JOIN dealer_states d ON d.dealer = f.dealer
WHERE f.outcome <> ''"""


@view(
    "otif_orders",
    key=("dealer", "order", "policy"),
    sql=f"{_select(DEFAULT, '')} UNION ALL {_select(DISPATCHED, 'sent_')}",
    appears="placed",
    period="day",
)
class OtifOrder(Row):
    """What the built-in rules say of an order, whatever the time: counts of 0 and 1, to be summed under one policy.

    Each order is one of on_time, late, early, not_shipped (nothing left or arrived of some line) and no_window.
    `day` is that on which its window closes. A place that nobody names is neither right nor wrong.
    """

    dealer: str
    order: str
    policy: str
    version: str = ""
    placed: datetime | None = None
    day: date | None = None
    month: str | None = None
    due: datetime | None = None
    rep: str = ""
    territory: str = ""  # as stated, else the one that held the dealer on the day of the order
    carrier: str = ""
    city: str = ""
    country: str = ""
    outcome: str = ""
    cause: str = ""  # the first link of the chain that failed
    orders: int = 0
    on_time: int = 0
    late: int = 0
    early: int = 0
    not_shipped: int = 0
    no_window: int = 0
    in_full: int = 0
    right_place: int = 0
    wrong_place: int = 0
    otif: int = 0  # on time, in full, and not at a wrong place
    elsewhere: int = 0  # it was to go to a city or country that is not the dealer's own
    lines: int = 0
    cases: Quantity = ZERO
    days_late: int = 0
    lines_on_time: int = 0
    lines_in_full: int = 0
    lines_ok: int = 0
    cases_ok: Quantity = ZERO


@view(
    "late_moves",
    key=("dealer", "order"),
    sql='SELECT dealer, "order", placed, day, due, moved FROM fulfilments WHERE moved > due',
    appears="placed",
)
class LateMove(Row):
    """An order of which something left or arrived after its last window had closed; before, it was judged without."""

    dealer: str
    order: str
    placed: datetime | None = None
    day: date | None = None
    due: datetime | None = None
    moved: datetime | None = None  # the last of it


@view("otif", key=("dealer", "order", "policy"), period="day")
class Otif(Row):
    """What the rule in force when an order was placed says of it at an instant; `otif-default` where none is named.

    `counted` and `good` are orders, lines or cases, as the rule's level says; good / counted is the OTIF. What
    waits within an open window is not counted yet; what never came counts once its window has closed.
    """

    dealer: str
    order: str
    policy: str
    version: str = ""
    level: str = ""
    placed: datetime | None = None
    day: date | None = None
    month: str | None = None
    due: datetime | None = None
    rep: str = ""
    territory: str = ""
    carrier: str = ""
    outcome: str = ""
    cause: str = ""
    orders: int = 0
    on_time: int = 0
    late: int = 0
    early: int = 0
    not_shipped: int = 0
    overdue: int = 0  # of them, those whose window has closed
    no_window: int = 0
    in_full: int = 0
    right_place: int = 0
    wrong_place: int = 0
    otif: int = 0
    days_late: int = 0
    lines: int = 0
    lines_on_time: int = 0
    lines_in_full: int = 0
    lines_ok: int = 0
    cases: Quantity = ZERO
    cases_ok: Quantity = ZERO
    counted: Quantity = ZERO
    good: Quantity = ZERO


@view("otif_lines", key=("dealer", "order", "sku", "policy"), period="day")
class OtifLine(Row):
    """One product of an order under a rule at an instant: its window, what came and when, and why it failed."""

    dealer: str
    order: str
    sku: str
    policy: str
    version: str = ""
    day: date | None = None
    month: str | None = None
    window_from: datetime | None = None
    window_to: datetime | None = None
    rep: str = ""
    territory: str = ""
    carrier: str = ""
    outcome: str = ""
    cause: str = ""
    lines: int = 1
    on_time: int = 0
    late: int = 0
    early: int = 0
    not_shipped: int = 0
    overdue: int = 0
    no_window: int = 0
    in_full: int = 0
    right_place: int = 0
    wrong_place: int = 0
    otif: int = 0
    days_late: int = 0
    cases: Quantity = ZERO  # expected
    moved: Quantity = ZERO  # arrived or dispatched, as the rule measures
    cases_ok: Quantity = ZERO  # of it in the window and not at a wrong place


class Rules:
    """The rules of the policies asked for, and which version holds for an order."""

    def __init__(self, tables: Tables, filters: Filters) -> None:
        self.named = list(filters.get("policy", (DEFAULT,)))
        self._versions: dict[str, list[tuple[datetime, str, Rule]]] = {}
        for row in tables.select(OtifPolicy, policy=self.named):
            if row.effective is not None and row.rule is not None:
                entry = (row.effective, row.version, row.rule)
                self._versions.setdefault(row.policy, []).append(entry)
        for versions in self._versions.values():
            versions.sort(key=lambda entry: entry[:2])

    def of(self, policy: str, placed: datetime | None) -> tuple[str, Rule] | None:
        """The version in force when an order was placed; None before the first of a policy."""
        for effective, version, rule in reversed(self._versions.get(policy, ())):
            if placed is None or effective <= placed:
                return version, rule
        built_in = BUILT_IN.get(policy)
        return None if built_in is None else (BUILT_IN_VERSION, built_in)


Judged = tuple[Fulfilment, str, str, Rule, list[LineVerdict]]


def _judged(tables: Tables, at: datetime, filters: Filters) -> Iterator[Judged]:
    """Every order asked for under every policy asked for, as far as it was placed by then."""
    rules = Rules(tables, filters)
    wanted = {name: filters[name] for name in ("dealer", "order", "rep") if name in filters}
    for row in tables.select(Fulfilment, **wanted):
        if row.placed is None or row.placed > at:
            continue
        course = course_at(row.course, at)
        for policy in rules.named:
            if (found := rules.of(policy, row.placed)) is not None:
                version, rule = found
                yield row, policy, version, rule, judge_lines(course, rule, at)


def course_at(course: Course, at: datetime) -> Course:
    """The course as far as goods had left and arrived at an instant."""
    if all(load.at <= at for load in course.sent) and all(receipt.at <= at for receipt in course.came):
        return course
    return Course(
        **{name: getattr(course, name) for name in Course.__struct_fields__ if name not in ("sent", "came")},
        sent=tuple([load for load in course.sent if load.at <= at]),
        came=tuple([receipt for receipt in course.came if receipt.at <= at]),
    )


def otif(tables: Tables, at: datetime, filters: Filters) -> Iterator[Otif]:
    """Orders under the policies asked for, at an instant."""
    for row, policy, version, rule, lines in _judged(tables, at, filters):
        if lines:
            yield _order(row, policy, version, rule, together(lines), at)


def otif_lines(tables: Tables, at: datetime, filters: Filters) -> Iterator[OtifLine]:
    """Lines of orders under the policies asked for, at an instant."""
    for row, policy, version, _, lines in _judged(tables, at, filters):
        for line in lines:
            yield _line(row, policy, version, line)


def _order(row: Fulfilment, policy: str, version: str, rule: Rule, said: Verdict, at: datetime) -> Otif:
    found = Otif(row.dealer, row.order, policy, version, rule.level, row.placed)
    _place(found, row, said)
    found.due = said.window.to if said.window is not None else None
    found.orders, found.in_full, found.otif = 1, int(said.in_full), int(said.ok)
    found.lines, found.lines_on_time = said.lines, said.lines_on_time
    found.lines_in_full, found.lines_ok = said.lines_in_full, said.lines_ok
    found.cases, found.cases_ok = said.cases, said.cases_ok
    if found.due is not None and (found.due <= at or said.ok or said.outcome == "late"):
        found.counted, found.good = {
            "order": (Decimal(1), Decimal(int(said.ok))),
            "line": (Decimal(said.lines), Decimal(said.lines_ok)),
            "case": (said.cases, said.cases_ok),
        }[rule.level]
    return found


def _line(row: Fulfilment, policy: str, version: str, said: LineVerdict) -> OtifLine:
    found = OtifLine(row.dealer, row.order, said.sku, policy, version)
    _place(found, row, said)
    if said.window is not None:
        found.window_from, found.window_to = said.window.from_, said.window.to
    found.in_full, found.otif = int(said.in_full), int(said.ok)
    found.cases, found.moved, found.cases_ok = said.cases, said.moved, said.timely
    return found


def _place(found: Otif | OtifLine, row: Fulfilment, said: Verdict | LineVerdict) -> None:
    """Set what an order and its lines have alike."""
    found.rep, found.territory, found.carrier = row.rep, row.territory, row.carrier
    found.outcome, found.cause, found.days_late = said.outcome, said.cause, said.days_late
    if said.outcome:
        setattr(found, said.outcome, 1)
    found.overdue = int(said.overdue)
    found.right_place, found.wrong_place = int(said.right_place is True), int(said.right_place is False)
    if said.window is not None:
        found.day = last_day(said.window)
        found.month = found.day.isoformat()[:7]


VIEWS = (OtifOrder, LateMove, Otif, OtifLine)
ANSWERS = (Computed(Otif, otif, always=True), Computed(OtifLine, otif_lines, always=True))
