"""On time, in full, at the right place (`domain.md` §3.7): what a rule says of the course of an order.

There is no standard definition, so the rule is data. Unknown is not late: without a window, or with nothing
arrived and the window still open, a line is neither on time nor late. Under `dispatched` only what left is judged,
and by the window's end alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from domain.calendar import Window, in_zone, shifted
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
    ok: bool = False  # on time, in full, and not at a wrong place


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
    if at is None and not (course.came if rule.measure == "arrived" else course.sent):
        return _untouched(course, rule)
    return together(judge_lines(course, rule, at))


def _untouched(course: Course, rule: Rule) -> Verdict:
    """What `together(judge_lines(…))` says while nothing has moved, which is of every other event of an order."""
    if course.withdrawn or not course.asked:
        return Verdict()
    found = Verdict("not_shipped", lines=len(course.asked))
    found.cases = sum([asked.quantity for asked in course.asked], ZERO)
    if _is_common(course):
        found.window = window_of(course, course.asked[0], rule.basis, None)
    else:
        lines = judge_lines(course, rule)
        found.window = together(lines).window
    return found


def together(lines: Sequence[LineVerdict]) -> Verdict:
    """The verdict on an order from those on its lines: it is on time, in full and right where all of them are."""
    found = Verdict(lines=len(lines))
    if not lines:
        return found
    window, cases, cases_ok = lines[0].window, ZERO, ZERO
    on_time = in_full = ok = 0
    for line in lines:
        cases += line.cases
        cases_ok += line.timely
        in_full += line.in_full
        on_time += line.outcome == "on_time"
        ok += line.ok
        if line.window is not window and line.window is not None:
            window = line.window if window is None or line.window.to > window.to else window
    found.window, found.cases, found.cases_ok = window, cases, cases_ok
    found.lines_on_time, found.lines_in_full, found.lines_ok = on_time, in_full, ok
    places = {line.right_place for line in lines}
    found.right_place = _place(places)
    found.in_full, found.ok = in_full == found.lines, ok == found.lines
    if on_time == found.lines:
        found.outcome = "on_time"
    else:
        outcomes = {line.outcome for line in lines}
        found.outcome = next(outcome for outcome in _WORST_FIRST if outcome in outcomes)
        found.overdue = any(line.overdue for line in lines)
        found.days_late = max([line.days_late for line in lines])
    if not found.ok:
        found.cause = min([line.cause for line in lines if line.cause], key=CAUSES.index, default="")
    return found


def _place(places: Collection[bool | None]) -> bool | None:
    return False if False in places else None if None in places else True


_WORST_FIRST: tuple[Outcome, ...] = ("late", "not_shipped", "early", "no_window", "on_time")


def judge_lines(course: Course, rule: Rule, at: datetime | None = None) -> list[LineVerdict]:
    """The verdict on every product of an order that something is still, or was, expected of."""
    is_arrival = rule.measure == "arrived"
    spoilt: set[str] = set()
    left = _loaded(course)
    moved = _taken(course, spoilt) if is_arrival else left
    grace = timedelta(minutes=rule.grace_minutes)
    common = _is_common(course) and course.asked
    window = window_of(course, course.asked[0], rule.basis, None) if common else None
    found = []
    for asked in course.asked:
        sku, expected = asked.sku, asked.quantity
        gone = left.get(sku, ())
        steps = moved.get(sku, ())
        if not common:
            first_left = min([step[0] for step in gone]) if gone else None
            window = window_of(course, asked, rule.basis, first_left)
        if steps:
            line = _judge_steps(steps, sku, expected, window, rule, grace, course.withdrawn)
        elif course.withdrawn:
            continue
        else:
            line = LineVerdict(sku, expected, window=window)
            line.overdue = at is not None and window is not None and at >= shifted(window.to, grace)
        if not line.ok and (line.outcome != "not_shipped" or line.overdue):
            line.cause = _cause(course, rule, line, gone, sku in spoilt)
        found.append(line)
    return found


def _is_common(course: Course) -> bool:
    """Whether one window holds for all lines, whenever goods left: nothing was stated twice or for a line."""
    if len(course.promised) > 1 or len(course.requested) > 1:
        return False
    return not any(asked.promised or asked.requested for asked in course.asked)


def _loaded(course: Course) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for load in course.sent:
        for sku, quantity in load.lines:
            if quantity:
                found.setdefault(sku, []).append((load.at, quantity, None))
    return found


def _taken(course: Course, spoilt: set[str]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for receipt in course.came:
        place = right_place(course, receipt)
        for taken in receipt.lines:
            if taken.accepted:
                found.setdefault(taken.sku, []).append((receipt.at, taken.accepted, place))
            if taken.spoilt:
                spoilt.add(taken.sku)
    return found


def right_place(course: Course, receipt: Came) -> bool | None:
    """Whether a receipt was where the order wanted it, or where its delivery went if the order does not say."""
    if receipt.place is None:
        return None
    return same_place(course.ship_to or _destination(course.sent, receipt.delivery), receipt.place)


def _destination(sent: Sequence[Sent], delivery: str) -> Place | None:
    return next((Place(id=load.to) for load in sent if load.to and load.delivery == delivery), None)


def _judge_steps(
    steps: Sequence[Step],
    sku: str,
    expected: Decimal,
    window: Window | None,
    rule: Rule,
    grace: timedelta,
    withdrawn: bool,
) -> LineVerdict:
    """The verdict on a line of which something has moved."""
    if len(steps) == 1:
        [(first, moved, place)] = steps
        last = first
    else:
        moved = sum([step[1] for step in steps], ZERO)
        place = _place({step[2] for step in steps})
        first, last = min([step[0] for step in steps]), max([step[0] for step in steps])
    if withdrawn and moved < expected:
        expected = moved  # what the dealer no longer wants is not missing
    enough = expected if not rule.tolerance_under else (_ONE - rule.tolerance_under) * expected
    most = expected if not rule.tolerance_over else (_ONE + rule.tolerance_over) * expected
    in_full = enough <= moved <= most
    line = LineVerdict(sku, expected, moved, ZERO, window, "no_window", in_full, place)
    if window is None:
        return line
    opens, closes = (
        (shifted(window.from_, -grace), shifted(window.to, grace)) if grace else (window.from_, window.to)
    )
    # Goods have to leave before they can arrive: leaving before the window opens is not too early.
    is_early = rule.measure == "arrived" and first < opens
    if last < closes and not is_early:
        line.outcome, line.ok = "on_time", in_full and place is not False
        if place is not False:
            line.timely = moved if moved < expected else expected
            return line
    timely = [
        quantity
        for when, quantity, where in steps
        if when < closes and where is not False and (rule.measure == "dispatched" or when >= opens)
    ]
    line.timely = min(expected, sum(timely, ZERO))
    if (done := reached(steps, enough) or last) >= closes:
        line.outcome = "late"
        line.days_late = (in_zone(done, closes.tzinfo).date() - last_day(window)).days
    else:
        line.outcome = "early" if is_early else "on_time"
        line.ok = line.outcome == "on_time" and in_full and place is not False
    return line


def last_day(window: Window) -> date:
    """The business day on which a window closes."""
    return shifted(window.to, -timedelta.resolution).date()


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


def _cause(course: Course, rule: Rule, line: LineVerdict, left: Sequence[Step], spoilt: bool) -> str:
    """The first link of the chain that failed; nothing where none has."""
    enough = (_ONE - rule.tolerance_under) * line.cases
    gone = reached(left, enough)
    if line.window is not None and (line.outcome == "late" or line.overdue):
        closes = shifted(line.window.to, timedelta(minutes=rule.grace_minutes))
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
