"""Trying another policy on real periods, or leaving events out: who would be assessed otherwise, and by how much."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.handlers import HTTPRouteHandler, post
from msgspec import Meta, Struct

from api import bodies
from api.accepting import JSON
from api.asking import now
from api.known import unknown
from api.moment import Moment
from api.past import known_sequence
from api.problems import AnyRequest, Problem
from api.query import Query
from api.reading import Opened, reached
from api.stage0 import EVENT_NAMES, EVENTS, accepted_by
from api.views import Reader, View
from domain.calendar import EPOCH, Instant
from domain.cards import Card, nonsense
from domain.identifiers import Id
from domain.naming import OTHER
from domain.numbers import ZERO, plain
from domain.periods import Period, no_period, period_of
from domain.policies import ASSESSMENT, Policy
from domain.scoring import Deducted, Judged
from domain.texts import Code
from projections.assessments import Assessment, Ruling, cards_of, filled
from projections.policies import published

TRIED = "tried"  # the name of a card that is sent along
CARDS_MAX = 10_000
SIMULATE = "/assessments/simulate"
INVALID = "invalid_simulation"


class Simulation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to try: `card` (the body of a policy of kind `assessment`) or the `policy` of a name, on whole periods.

    `without` leaves events out, by sequence: what would these dealers' cards be if they had never been? `known_at` and
    `valid_at` try it on what was known, or true, then.
    """

    periods: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=60)]
    card: Card | None = None
    policy: Id | None = None
    dealers: Annotated[tuple[Id, ...], Meta(max_length=1000)] = ()
    without: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(max_length=1000)] = ()
    known_at: int | Instant | None = None
    valid_at: Instant | None = None


class Verdict(Struct, frozen=True):
    """A card as far as it is compared."""

    policy: str
    version: str
    score: Decimal | None
    grade: str
    coverage: Decimal
    criteria: tuple[Judged, ...]
    deductions: tuple[Deducted, ...]


class Compared(Struct, frozen=True):
    """A dealer's card as it is and as it would be. `difference`: of the scores, where there are both."""

    dealer: str
    name: str
    period: str
    now: Verdict
    then: Verdict
    difference: Decimal | None
    grade_changes: bool


class GradeCount(Struct, frozen=True):
    """How many cards have a grade, and would have it."""

    grade: str
    now: int
    then: int


class Simulated(Struct, frozen=True):
    """Every card that was compared, those that would change most first."""

    sequence: int
    at: datetime
    compared: int
    better: int
    worse: int
    grade_changes: int
    grades: tuple[GradeCount, ...]
    cards: tuple[Compared, ...]


def simulate(opened: Opened, view: View, asked: Simulation, at: datetime) -> Simulated:
    """Fill in the cards that rule and the ones to try, for the same dealers and periods."""
    periods = _periods(asked)
    query = opened.meant(
        Query(
            filters={"dealer": list(asked.dealers)} if asked.dealers else {},
            known_at=asked.known_at,
            valid_at=asked.valid_at,
        )
    )
    at = query.valid_at or at
    with opened.reader() as reader:
        known = known_sequence(reader, query.known_at)
        named = [asked.policy] if asked.policy is not None else []
        wrong = [("policy", reason) for reason in unknown(reader, ASSESSMENT, named).values()]
        if wrong := [*wrong, *_nobodies(reader, asked.dealers, known)]:
            raise _invalid(wrong)
    with opened.asked(view, query) as there:
        sequence = reached(view, query, there.positions) or 0
        found = list(_filled(there, view, query, periods, at, None))
        tried = [] if asked.without else list(_filled(there, view, query, periods, at, asked))
    if asked.without:
        with opened.asked(view, msgspec.structs.replace(query, without=asked.without)) as there:
            tried = list(_filled(there, view, query, periods, at, asked))
    # One card is tried beside all that rule; where none is, each is held to itself.
    itself = asked.card is None and asked.policy is None
    then = {(row.dealer, row.period, row.policy if itself else ""): row for row in tried}
    keys = [(row.dealer, row.period, row.policy if itself else "") for row in found]
    pairs = [(row, then.get(key, _no_card(row))) for row, key in zip(found, keys, strict=True)]
    before = set(keys)
    pairs += [(_no_card(row), row) for key, row in then.items() if key not in before]
    return _together([_compared(*pair) for pair in pairs], sequence, at)


def _no_card(row: Assessment) -> Assessment:
    """What there is in place of a card that is not there before, or after."""
    return Assessment(row.dealer, row.period, "", name=row.name)


def _periods(asked: Simulation) -> list[Period]:
    """The periods that are named; raises a problem that names everything that is wrong with what is asked."""
    wrong: list[tuple[str, str]] = []
    if asked.card is None and asked.policy is None and not asked.without:
        wrong.append(("card", "or `policy`, or `without`, is missing: name what to try"))
    if asked.card is not None and asked.policy is not None:
        wrong.append(("policy", "leave it out where a `card` is sent: one at a time"))
    if asked.without and not asked.dealers:
        wrong.append(("dealers", "name those that events are left out for"))
    found = [period_of(name) for name in asked.periods]
    for number, (name, period) in enumerate(zip(asked.periods, found, strict=True)):
        if period is None:
            wrong.append((f"periods[{number}]", no_period(name)))
        elif period in found[:number]:
            wrong.append((f"periods[{number}]", f"{name} is named already"))
    if asked.card is not None:
        wrong += [(f"card.{flaw.field}", flaw.reason) for flaw in nonsense(asked.card)]
    if wrong:
        raise _invalid(wrong)
    return [period for period in found if period is not None]


def _nobodies(reader: Reader, dealers: Sequence[str], known: int) -> Iterator[tuple[str, str]]:
    """The dealers that are named and of which the book says nothing: no event is theirs, and none names them."""
    own = sa.select(EVENTS.c.dealer).where(accepted_by(known), EVENTS.c.dealer.in_(dealers)).distinct()
    named = (
        sa.select(EVENT_NAMES.c.name)
        .where(EVENT_NAMES.c.what == OTHER, EVENT_NAMES.c.name.in_(dealers))
        .distinct()
    )
    there = (
        {*reader.connection.execute(own).scalars(), *reader.connection.execute(named).scalars()}
        if dealers
        else set()
    )
    for number, dealer in enumerate(dealers):
        if dealer not in there:
            yield f"dealers[{number}]", f"the book knows of no dealer {dealer!r}: no event is of it"


def _invalid(wrong: Sequence[tuple[str, str]]) -> Problem:
    (field, reason), *more = wrong
    return Problem(INVALID, f"{field} {reason}" + (f"; and {len(more)} more" if more else ""), wrong)


def _filled(
    there: Reader, view: View, query: Query, periods: Iterable[Period], at: datetime, tried: Simulation | None
) -> Iterator[Assessment]:
    for period in periods:
        moment = Moment(there.connection, view.key)
        rulings = list(_rulings(published(moment), period, at, tried))
        yield from filled(moment, period, at, query.filters, rulings)


def _rulings(
    policies: Sequence[Policy], period: Period, at: datetime, tried: Simulation | None
) -> Iterable[Ruling]:
    """The cards that rule; the one to try instead."""
    if tried is None or (tried.card is None and tried.policy is None):
        return cards_of(policies, period, at, None)
    if tried.card is not None:
        return [(Policy(TRIED, ASSESSMENT, TRIED, EPOCH, {}), tried.card, True)]
    found = list(cards_of(policies, period, at, [str(tried.policy)]))
    if not found:
        reason = (
            f"has no version in force by {at.isoformat()}: /policies?policy={quote(str(tried.policy))} says when each "
            "takes effect, and which cannot be read"
        )
        raise _invalid([("policy", reason)])
    return found


def _compared(before: Assessment, after: Assessment) -> Compared:
    one, other = [msgspec.convert(row, Verdict, from_attributes=True) for row in (before, after)]
    both = one.score is not None and other.score is not None
    difference = plain((other.score or ZERO) - (one.score or ZERO)) if both else None
    return Compared(
        before.dealer, before.name, before.period, one, other, difference, one.grade != other.grade
    )


def _together(cards: list[Compared], sequence: int, at: datetime) -> Simulated:
    if len(cards) > CARDS_MAX:
        reason = f"{len(cards)} cards are more than {CARDS_MAX}: name fewer periods, or dealers"
        raise Problem("cannot_be_answered", reason, [("periods", reason)])
    now, then = Counter(card.now.grade for card in cards), Counter(card.then.grade for card in cards)
    grades = [GradeCount(grade, now[grade], then[grade]) for grade in sorted(now | then)]
    cards.sort(key=lambda c: (not c.grade_changes, -abs(c.difference or ZERO), c.period, c.dealer))
    differences = [card.difference for card in cards if card.difference is not None]
    return Simulated(
        sequence,
        at,
        len(cards),
        sum(difference > 0 for difference in differences),
        sum(difference < 0 for difference in differences),
        sum(card.grade_changes for card in cards),
        tuple(grades),
        tuple(cards),
    )


def simulation_handlers(opened: Opened, view: View) -> list[HTTPRouteHandler]:
    """POST /assessments/simulate."""

    @post(SIMULATE, name="simulate assessments", status_code=200)
    async def ask(request: AnyRequest) -> Response[bytes]:
        if bodies.media_type(request) != JSON:
            raise Problem("unsupported_media_type", f"a simulation is {JSON}")
        asked = bodies.read(await bodies.whole(request, bodies.COMMAND_BYTES_MAX), Simulation, INVALID)
        found = await asyncio.to_thread(simulate, opened, view, asked, now())
        headers = {"Qudao-Sequence": str(found.sequence), "Cache-Control": "no-store"}
        return Response(msgspec.json.encode(found), media_type=JSON, headers=headers)

    return [ask]
