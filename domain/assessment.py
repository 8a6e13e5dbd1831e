"""Assessments as decisions (考核): a card is published as it was known, and restated where later facts move it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from domain.calendar import Instant, Window, business_day
from domain.cards import PARTS_MAX
from domain.catalogue import fact
from domain.envelope import Payload
from domain.errors import QudaoError
from domain.identifiers import Id
from domain.numbers import ZERO, exact_fields, plain
from domain.periods import Period, no_period, period_of
from domain.scoring import NO_GRADE, Deducted, Judged
from domain.texts import Code, Reference, Text

SEQUENCE_MAX = 2**63 - 1
LogSequence = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX, description="A sequence of the log.")]


LATE_MAX = 500  # facts that one restatement names: an event has its size


class AssessedPeriod(Window, frozen=True, kw_only=True, gc=False):
    """A year, quarter or month: 2026, 2026-Q1, 2026-03."""

    name: Code


class Moved(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """By how much one criterion was moved: what was found, what of, and the points earned."""

    code: Code
    part: Decimal = ZERO
    whole: Decimal = ZERO
    earned: Decimal = ZERO


class LateFact(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """An event that was not known when an assessment was published, and what it moved."""

    sequence: LogSequence
    event: Reference
    type: Code
    score: Annotated[Decimal, Meta(description="By how much it moved the score.")] | None = None
    moved: Annotated[tuple[Moved, ...], Meta(max_length=200)] = ()


@fact("assessment.published.v1", families=("decisions",))
class AssessmentPublished(Payload, frozen=True, kw_only=True):
    """A dealer is told its card, as it is at `valid_at` by what is known at `cutoff_sequence`."""

    assessment: Id
    dealer: Id
    period: AssessedPeriod
    policy: Id
    version: Id
    valid_at: Instant
    cutoff_sequence: LogSequence
    state_sequence: Annotated[
        int, Meta(ge=0, le=SEQUENCE_MAX, description="How far the log was known to who decided.")
    ]
    criteria: Annotated[tuple[Judged, ...], Meta(max_length=PARTS_MAX)]
    deductions: Annotated[tuple[Deducted, ...], Meta(max_length=PARTS_MAX)] = ()
    score: Decimal | None = None
    grade: Code
    coverage: Decimal
    supersedes: Id | None = None
    because: Annotated[tuple[LateFact, ...], Meta(max_length=LATE_MAX)] = ()
    reason: Text | None = None

    def __post_init__(self) -> None:
        exact_fields(self, "score", "coverage")
        for judged in self.criteria:
            exact_fields(judged, "points", "part", "whole", "earned")
        for deducted in self.deductions:
            exact_fields(deducted, "cases", "points")
        for late in self.because:
            exact_fields(late, "score")
            for part in late.moved:
                exact_fields(part, "part", "whole", "earned")


class PublishAssessment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Publish a dealer's card of a period as it is known now, or was by `cutoff_sequence`.

    `policy` is named where several cards rule; `supersedes` names the assessment that is restated. Sent again under
    the same `id` (left out: with the same content) it has no second effect. A refusal names the decisions made since
    `state_sequence` (left out: since the command came).
    """

    id: Id | None = None
    dealer: Id
    period: Annotated[Code, Meta(description="2026, 2026-Q1 or 2026-03")]
    by: Annotated[Id, Meta(description="Who decides.")]
    policy: Id | None = None
    assessment: Annotated[Id, Meta(description="Its id; left out, that of the command.")] | None = None
    supersedes: Id | None = None
    cutoff_sequence: LogSequence | None = None
    state_sequence: (
        Annotated[int, Meta(ge=0, description="The Qudao-Sequence of what was looked at.")] | None
    ) = None
    reason: Text | None = None


class Published(Struct, frozen=True):
    """What decisions know of one assessment that was published."""

    assessment: str
    period: str
    policy: str
    version: str
    at: datetime
    cutoff_sequence: int
    score: Decimal | None
    grade: str
    criteria: tuple[Judged, ...]
    deductions: tuple[Deducted, ...]
    superseded_by: str


class CardFilled(Struct, frozen=True):
    """A dealer's card by one policy at the moment that is decided upon."""

    policy: str
    version: str
    ruling: bool  # in force when the period ended
    score: Decimal | None
    grade: str
    coverage: Decimal
    criteria: tuple[Judged, ...]
    deductions: tuple[Deducted, ...]


class RefusedError(QudaoError):
    """The command cannot be done as things stand; `field` is what to change in it."""

    code = "refused"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def restated(command: PublishAssessment, published: Sequence[Published]) -> Published | None:
    """The assessment that a command restates; raises RefusedError where there is none such, or it is no more."""
    if command.supersedes is None:
        return None
    found = next((one for one in published if one.assessment == command.supersedes), None)
    if found is None:
        raise RefusedError("supersedes", f"{command.dealer} has no assessment {command.supersedes}")
    if found.period != command.period or command.policy not in (None, found.policy):
        raise RefusedError(
            "supersedes", f"{found.assessment} is of {found.period} under {found.policy}: restate it as that"
        )
    if found.superseded_by:
        raise RefusedError(
            "supersedes", f"{found.assessment} is superseded by {found.superseded_by}: restate that one"
        )
    return found


def decide(
    command: PublishAssessment,
    *,
    id: str,
    now: datetime,
    state_sequence: int,
    published: Sequence[Published],
    cards: Sequence[CardFilled],
    because: Iterable[LateFact] = (),
) -> AssessmentPublished:
    """The assessment to publish. `cards` are the dealer's at `now`, or at the instant of what is restated.

    Raises RefusedError: the period is not over, no card or several, published already, or nothing differs.
    """
    period = _over(command, now)
    old = restated(command, published)
    card = _card(command, old, cards)
    for one in published:
        if one.assessment == (command.assessment or id):
            raise RefusedError("assessment", f"{one.assessment} is published already: give another id")
        if old is None and (one.period, one.policy) == (period.name, card.policy) and not one.superseded_by:
            raise RefusedError(
                "supersedes",
                f"{one.period} under {one.policy} is published as {one.assessment}: restate it, naming it here",
            )
    if old is not None and _same(old, card):
        raise RefusedError("supersedes", f"nothing that became known since moves {old.assessment}")
    return AssessmentPublished(
        assessment=command.assessment or id,
        dealer=command.dealer,
        period=AssessedPeriod(
            name=period.name,
            from_=datetime.combine(period.from_day, time(), UTC),
            to=datetime.combine(period.to_day, time(), UTC),
        ),
        policy=card.policy,
        version=card.version,
        valid_at=now if old is None else old.at,
        cutoff_sequence=state_sequence if command.cutoff_sequence is None else command.cutoff_sequence,
        state_sequence=state_sequence,
        criteria=card.criteria,
        deductions=card.deductions,
        score=card.score,
        grade=card.grade,
        coverage=card.coverage,
        supersedes=command.supersedes,
        because=tuple(because),
        reason=command.reason,
    )


def _over(command: PublishAssessment, now: datetime) -> Period:
    period = period_of(command.period)
    if period is None:
        raise RefusedError("period", no_period(command.period))
    if business_day(now) < period.to_day:
        raise RefusedError("period", f"{period.name} goes on until {period.to_day}: it can be published then")
    return period


def _card(command: PublishAssessment, old: Published | None, cards: Sequence[CardFilled]) -> CardFilled:
    if old is not None and not cards:  # nothing is left to be judged: that is what the restatement says
        return CardFilled(old.policy, old.version, True, None, NO_GRADE, ZERO, (), ())
    wanted = old.policy if old is not None else command.policy
    found = [card for card in cards if card.ruling and wanted in (None, card.policy)]
    if not found:
        there = ", ".join(card.policy for card in cards if card.ruling)
        raise RefusedError(
            "policy" if there else "dealer",
            f"{wanted} does not rule {command.period}; there are: {there}"
            if there
            else f"nothing is known of {command.dealer} in {command.period}: there is no card to publish",
        )
    if len(found) > 1:
        raise RefusedError("policy", f"name one of {', '.join(card.policy for card in found)}")
    return found[0]


def _same(old: Published, card: CardFilled) -> bool:
    """Whether a card says what was published."""
    return (old.version, old.score, old.grade, old.criteria, old.deductions) == (
        card.version,
        card.score,
        card.grade,
        card.criteria,
        card.deductions,
    )


def moved(before: Iterable[Judged], after: Iterable[Judged]) -> tuple[Moved, ...]:
    """How the criteria of one card differ; what is null counts as nothing, as in every explanation."""
    held, now = [{one.code: one for one in judged} for judged in (before, after)]
    found = []
    for code, some in {**now, **held}.items():  # a card that is gone has none
        nothing = Judged(code, some.figure, some.points)
        old, new = held.get(code, nothing), now.get(code, nothing)
        one = Moved(
            code=code,
            part=plain((new.part or ZERO) - (old.part or ZERO)),
            whole=plain((new.whole or ZERO) - (old.whole or ZERO)),
            earned=plain((new.earned or ZERO) - (old.earned or ZERO)),
        )
        if one.part or one.whole or one.earned:
            found.append(one)
    return tuple(found)
