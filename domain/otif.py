"""On time, in full, at the right place (`domain.md` §3.7): what a rule says of the course of an order.

There is no standard definition, so the rule is data. Unknown is not late: without a window, or with nothing
arrived and the window still open, a line is neither on time nor late.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from domain.calendar import Window
from domain.fulfilment import Asked, Came, Course, Sent, Stated, same_place
from domain.numbers import ZERO, Share, exact_fields
from domain.places import Place

Basis = Literal["requested", "promised_first", "promised_last"]
Measure = Literal["arrived", "dispatched"]
Level = Literal["order", "line", "case"]
Outcome = Literal["", "on_time", "late", "early", "not_shipped", "no_window"]
Step = tuple[datetime, Decimal, bool | None]  # when, how much, at the right place

_ONE = Decimal(1)
#: The chain in which a failure is looked for, and then what is no failure of the chain.
CAUSES = (
    "credit_hold",
    "no_stock",
    "late_dispatch",
    "transit",
    "wrong_place",
    "refused",
    "short",
    "early",
    "over",
    "unknown",
)


class Rule(Struct, frozen=True, kw_only=True):
    """The body of a policy of kind `otif`.

    A basis that an order does not state falls back to the promise next to it and at last to the request.
    """

    basis: Basis = "promised_last"
    measure: Measure = "arrived"
    level: Level = "order"
    tolerance_under: Share = ZERO
    tolerance_over: Share = ZERO
    grace_minutes: Annotated[int, Meta(ge=0, le=525_600)] = 0  # before and after the window

    def __post_init__(self) -> None:
        exact_fields(self, "tolerance_under", "tolerance_over", least=ZERO, most=_ONE)


DEFAULT, DISPATCHED = "otif-default", "otif-dispatched"
BUILT_IN: dict[str, Rule] = {DEFAULT: Rule(), DISPATCHED: Rule(measure="dispatched")}


class LineVerdict(Struct, gc=False):
    """What a rule says of one product of an order; quantities in the base unit, called cases."""

    sku: str
    cases: Decimal  # expected: ordered, and not withdrawn
    moved: Decimal = ZERO  # arrived or dispatched
    timely: Decimal = ZERO  # of it in the window and not at a wrong place, at most what was expected
    window: Window | None = None
    outcome: Outcome = "not_shipped"
    in_full: bool = False
    right_place: bool | None = None
    overdue: bool = False  # nothing came, and the window has closed
    days_late: int = 0
    cause: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome == "on_time" and self.in_full and self.right_place is not False


class Verdict(Struct, gc=False):
    """What a rule says of an order. An empty outcome: nothing was expected of it."""

    outcome: Outcome = ""
    in_full: bool = False
    right_place: bool | None = None
    ok: bool = False
    overdue: bool = False
    days_late: int = 0
    cause: str = ""
    window: Window | None = None  # the one that closes last
    lines: int = 0
    lines_on_time: int = 0
    lines_in_full: int = 0
    lines_ok: int = 0
    cases: Decimal = ZERO
    cases_ok: Decimal = ZERO


def rule_of(body: dict[str, Any]) -> Rule | None:
    """The rule that a published body states; None where it cannot be read, so that the one before stays."""
    try:
        return msgspec.convert(body, Rule, strict=False)
    except msgspec.ValidationError:
        return None


def judge(course: Course, rule: Rule, at: datetime | None = None) -> Verdict:
    """The verdict on an order. With `at`, lines of which nothing came fail once their window has closed."""
    return together(judge_lines(course, rule, at))


def together(lines: Sequence[LineVerdict]) -> Verdict:
    """The verdict on an order from those on its lines: it is on time, in full and right where all of them are."""
    found = Verdict(lines=len(lines))
    if not lines:
        return found
    outcomes, causes, places = set(), [], set()
    for line in lines:
        outcomes.add(line.outcome)
        places.add(line.right_place)
        found.cases += line.cases
        found.cases_ok += line.timely
        found.lines_in_full += line.in_full
        found.lines_on_time += line.outcome == "on_time"
        found.lines_ok += line.ok
        found.overdue = found.overdue or line.overdue
        if line.cause:
            causes.append(line.cause)
            found.days_late = max(found.days_late, line.days_late)
        if line.window is not None and (found.window is None or line.window.to > found.window.to):
            found.window = line.window
    found.outcome = next(o for o in _WORST_FIRST if o in outcomes)
    found.in_full = found.lines_in_full == found.lines
    found.right_place = False if False in places else None if None in places else True
    found.ok = found.lines_ok == found.lines
    found.cause = min(causes, key=CAUSES.index, default="")
    return found


_WORST_FIRST: tuple[Outcome, ...] = ("late", "not_shipped", "early", "no_window", "on_time")


def judge_lines(course: Course, rule: Rule, at: datetime | None = None) -> list[LineVerdict]:
    """The verdict on every product of an order that something is still, or was, expected of."""
    sent: dict[str, list[Step]] = {}
    for load in course.sent:
        for sku, quantity in load.lines:
            sent.setdefault(sku, []).append((load.at, quantity, None))
    came: dict[str, list[Step]] = {}
    spoilt: set[str] = set()
    for receipt in course.came:
        place = right_place(course, receipt)
        for taken in receipt.lines:
            if taken.accepted:
                came.setdefault(taken.sku, []).append((receipt.at, taken.accepted, place))
            if taken.spoilt:
                spoilt.add(taken.sku)
    found = []
    for asked in course.asked:
        left, arrived = sent.get(asked.sku, []), came.get(asked.sku, [])
        line = _judge_line(course, asked, rule, at, left, arrived)
        if line.cases:
            line.cause = _cause(course, rule, line, left, asked.sku in spoilt)
            found.append(line)
    return found


def right_place(course: Course, receipt: Came) -> bool | None:
    """Whether a receipt was where the order wanted it, or where its delivery went if the order does not say."""
    if receipt.place is None:
        return None
    return same_place(course.ship_to or _destination(course.sent, receipt.delivery), receipt.place)


def _destination(sent: Sequence[Sent], delivery: str) -> Place | None:
    return next((Place(id=load.to) for load in sent if load.to and load.delivery == delivery), None)


def _judge_line(
    course: Course, asked: Asked, rule: Rule, at: datetime | None, left: list[Step], arrived: list[Step]
) -> LineVerdict:
    steps = arrived if rule.measure == "arrived" else left
    moved = sum([step[1] for step in steps], ZERO) if len(steps) != 1 else steps[0][1]
    # What the dealer no longer wants is not missing.
    expected = min(asked.quantity, moved) if course.withdrawn else asked.quantity
    first_left = min([step[0] for step in left]) if left else None
    window = window_of(course, asked, rule.basis, first_left)
    line = LineVerdict(asked.sku, expected, moved, window=window)
    if arrived:
        places = {step[2] for step in arrived}
        line.right_place = False if False in places else None if None in places else True
    grace = timedelta(minutes=rule.grace_minutes)
    if not moved:
        line.overdue = at is not None and window is not None and at >= window.to + grace
        return line
    enough = expected if not rule.tolerance_under else (_ONE - rule.tolerance_under) * expected
    most = expected if not rule.tolerance_over else (_ONE + rule.tolerance_over) * expected
    line.in_full = enough <= moved <= most
    if window is None:
        line.outcome = "no_window"
        return line
    opens, closes = (window.from_ - grace, window.to + grace) if grace else (window.from_, window.to)
    timely = [quantity for when, quantity, place in steps if opens <= when < closes and place is not False]
    line.timely = min(expected, sum(timely, ZERO))
    done, first = reached(steps, enough) or max(steps)[0], min(steps)[0]
    if done >= closes:
        line.outcome = "late"
        line.days_late = (done.astimezone(closes.tzinfo).date() - last_day(window)).days
    else:
        line.outcome = "early" if first < opens else "on_time"
    return line


def last_day(window: Window) -> date:
    """The business day on which a window closes."""
    return (window.to - timedelta.resolution).date()


def reached(steps: Sequence[Step], enough: Decimal) -> datetime | None:
    """When so much had moved; None where it never did."""
    total = ZERO
    for when, quantity, _ in sorted(steps, key=_when) if len(steps) > 1 else steps:
        total += quantity
        if total >= enough:
            return when
    return None


def _when(step: Step) -> datetime:
    return step[0]


def window_of(course: Course, asked: Asked, basis: Basis, left: datetime | None) -> Window | None:
    """The window a line is held to.

    A promise made after goods have left does not count, whoever wanted it. A change by the dealer resets the
    first promise to the one given next, if it was given before goods left.
    """
    requested = _before(asked.requested or course.requested, left)
    promised = () if basis == "requested" else _before(asked.promised or course.promised, left)
    if not promised:
        return requested[-1].window if requested else None
    if basis == "promised_last":
        return promised[-1].window
    for change in reversed(course.changed):
        for promise in promised:
            if promise.at >= change:
                return promise.window
    return promised[0].window


def _before(stated: tuple[Stated, ...], left: datetime | None) -> tuple[Stated, ...]:
    """What was stated before goods left; the first statement holds in any case."""
    if left is None or len(stated) < 2:
        return stated
    return (stated[0], *[s for s in stated[1:] if s.at < left])


def _cause(course: Course, rule: Rule, line: LineVerdict, left: list[Step], spoilt: bool) -> str:
    """The first link of the chain that failed; nothing where nothing has failed yet."""
    if line.ok or (line.outcome == "not_shipped" and not line.overdue):
        return ""
    enough = (_ONE - rule.tolerance_under) * line.cases
    gone = reached(left, enough)
    if line.window is not None and (line.outcome == "late" or line.overdue):
        closes = line.window.to + timedelta(minutes=rule.grace_minutes)
        if gone is not None and gone < closes:
            return "transit"
        if (held := _held(course, closes, gone)) != "":
            return held
        return "late_dispatch" if left or line.overdue else "unknown"
    if line.right_place is False:
        return "wrong_place"
    if line.in_full or line.moved > line.cases:
        return "early" if line.outcome == "early" else "" if line.in_full else "over"
    if gone is None and any(held.reason == "stock" for held in course.held):
        return "no_stock"
    return "refused" if spoilt else "short"


def _held(course: Course, closes: datetime, gone: datetime | None) -> str:
    """The hold that kept goods back: begun before the window closed, and not released after they had left."""
    reasons = {
        held.reason
        for held in course.held
        if held.since < closes and (gone is None or (held.since <= gone and (held.until or gone) <= gone))
    }
    return "credit_hold" if "credit" in reasons else "no_stock" if "stock" in reasons else ""
