"""Policies are data: the built-in ones, and what the kinds that calculate need of their bodies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from domain.calendar import EPOCH
from domain.cards import Card, nonsense
from domain.flaws import Reason
from domain.otif import BUILT_IN as OTIF_RULES
from domain.otif import Rule
from domain.recognition import RecognitionError, recognition

ASSESSMENT, OTIF, RECOGNITION, CALENDAR = "assessment", "otif", "recognition", "calendar"
BUILT_IN_VERSION = "built-in"


class Policy(Struct, frozen=True):
    """One version of a rule; it holds from `effective` until the next version of the same policy does.

    `day` is the day it takes effect on by its own clock: what is judged by days asks for that.
    """

    policy: str
    kind: str
    version: str
    effective: datetime
    body: dict[str, Any]
    sequence: int = 0  # of the event that published it; 0: built in
    day: date = EPOCH.date()


class Calendar(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a policy of kind `calendar`: weekdays (1 Monday to 7 Sunday), days off, and days made up for them."""

    working_days: tuple[Annotated[int, Meta(ge=1, le=7)], ...] = (1, 2, 3, 4, 5)
    holidays: tuple[date, ...] = ()
    made_up: tuple[date, ...] = ()

    def works(self, day: date) -> bool:
        """Whether a day counts as a working day."""
        return day in self.made_up or (day.isoweekday() in self.working_days and day not in self.holidays)

    def count(self, from_: date, to: date) -> int:
        """Working days in [from_, to); none where it is empty. Whole weeks are not walked day by day."""
        if to <= from_:
            return 0
        weeks, rest = divmod((to - from_).days, 7)
        usual = set(self.working_days)
        found = weeks * len(usual)
        found += sum((from_ + timedelta(days=n)).isoweekday() in usual for n in range(rest))
        on = {day for day in self.made_up if from_ <= day < to}
        off = {day for day in self.holidays if from_ <= day < to} - on
        found += sum(day.isoweekday() not in usual for day in on)
        return found - sum(day.isoweekday() in usual for day in off)


_PEPSI_SHANGHAI = {  # domain.md §3.13, policy A: 上海百事 distributor card
    "criteria": [
        {"code": "on_time", "name": "準時送貨", "figure": "on_time", "points": 30, "way": "ratio"},
        {
            "code": "price",
            "name": "價格穩定",
            "figure": "price_breaches",
            "points": 20,
            "way": "count_down",
            "step": 10,
        },
        {
            "code": "region",
            "name": "不跨區",
            "figure": "diversions",
            "points": 20,
            "way": "count_down",
            "step": 10,
        },
        {
            "code": "stock",
            "name": "庫存品項",
            "figure": "skus_in_stock",
            "points": 20,
            "way": "ratio",
            "target": 12,
        },
        {
            "code": "payment",
            "name": "付款",
            "figure": "late_payments",
            "points": 10,
            "way": "count_down",
            "step": 5,
        },
    ],
}
_SECONDARY_QUARTERLY = {  # domain.md §3.13, policy B: quarterly card of secondary dealers
    "criteria": [
        {"code": "target", "name": "銷售指標", "figure": "target_attainment", "points": 50, "way": "ratio"},
        {
            "code": "main_product",
            "name": "主要產品",
            "figure": "main_product_attainment",
            "points": 20,
            "way": "ratio",
        },
        {
            "code": "order_changes",
            "name": "訂單變更率",
            "figure": "order_change_rate",
            "points": 10,
            "way": "band",
            "bands": [["0.06", 100], ["0.18", 80], ["0.30", 60]],
        },
        {
            "code": "forecast",
            "name": "預測誤差",
            "figure": "forecast_error",
            "points": 5,
            "way": "band",
            "bands": [["0.20", 100], ["0.50", 80], ["1", 60]],
        },
        {
            "code": "feedback",
            "name": "市場反饋",
            "figure": "manual",
            "points": 10,
            "way": "manual",
            "grades": {"優": 100, "良": 80, "中": 60, "差": 0},
        },
        {"code": "direct", "name": "直銷率", "figure": "manual", "points": 5, "way": "manual"},
    ],
    "deductions": [  # the car maker's scheme in the same place
        {"code": "price", "figure": "price_breaches", "each": 3, "most": 6},
        {"code": "region", "figure": "diversions", "each": 3, "most": 6},
        {"code": "complaints", "figure": "valid_complaints", "each": 3, "most": 6},
        {"code": "payment", "figure": "late_payments", "each": 2, "most": 6},
    ],
}

BUILT_IN: tuple[Policy, ...] = (
    Policy("pepsi-shanghai", ASSESSMENT, BUILT_IN_VERSION, EPOCH, _PEPSI_SHANGHAI),
    Policy("secondary-quarterly", ASSESSMENT, BUILT_IN_VERSION, EPOCH, _SECONDARY_QUARTERLY),
    Policy("calendar-default", CALENDAR, BUILT_IN_VERSION, EPOCH, msgspec.to_builtins(Calendar())),
    Policy("recognition-default", RECOGNITION, BUILT_IN_VERSION, EPOCH, {"counts": "default"}),
    *[
        Policy(name, OTIF, BUILT_IN_VERSION, EPOCH, msgspec.to_builtins(rule))
        for name, rule in OTIF_RULES.items()
    ],
)
DEFAULT_CARD = "pepsi-shanghai"


def in_force(
    policies: Iterable[Policy],
    kind: str,
    at: datetime,
    name: str | None = None,
    *,
    day: date | None = None,
) -> list[Policy]:
    """The versions in force at an instant, the newest first; built-in ones come last.

    With `day` those alone that had taken effect by that day: the last of what is judged. The first whose body can be
    read is the rule: one that cannot be read must not leave nobody with a rule.
    """
    found = [
        p
        for p in policies
        if p.kind == kind
        and p.effective <= at
        and (day is None or p.day <= day)
        and (name is None or p.policy == name)
    ]
    found += [p for p in BUILT_IN if p.kind == kind and (name is None or p.policy == name)]
    return sorted(found, key=lambda p: (p.sequence > 0, p.effective, p.sequence), reverse=True)


def calendar_of(policies: Iterable[Policy], at: datetime, day: date | None = None) -> Calendar:
    """The company calendar in force."""
    for policy in in_force(policies, CALENDAR, at, day=day):
        try:
            return msgspec.convert(policy.body, Calendar)
        except msgspec.ValidationError:
            continue
    return Calendar()


def card_of(policy: Policy) -> Card | None:
    """The card that a policy's body states; None where it cannot be read, or is of no use."""
    try:
        card = msgspec.convert(policy.body, Card, strict=False)
    except msgspec.ValidationError:
        return None
    return None if nonsense(card) else card


def unreadable(kind: str, body: dict[str, Any]) -> list[Reason]:
    """Why what calculates with a kind of policy passes a body over; nothing where it can be in force.

    Of a card every place that makes no sense is named; of what is of a wrong type, the first. Bodies of kinds that
    nothing calculates with are kept as they are.
    """
    try:
        match kind:
            case "assessment":
                return nonsense(msgspec.convert(body, Card, strict=False))
            case "otif":
                msgspec.convert(body, Rule, strict=False)
            case "calendar":
                msgspec.convert(body, Calendar)
            case "recognition" if body.get("counts") != "default":
                recognition(str(body.get("counts", "")))
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `")
        return [Reason(at.strip("$.`") or "body", message)]
    except RecognitionError as error:
        return [Reason("counts", str(error))]
    return []
