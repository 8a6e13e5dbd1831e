"""Commands: what a person decides, judged by what is known, and stored as a decision if nobody was faster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.handlers import HTTPRouteHandler, post
from msgspec import Struct

from api import bodies
from api.accepting import JSON
from api.asking import Freshness, now
from api.index import Index
from api.link import Link
from api.moment import Moment
from api.problems import AnyRequest, Decision, Problem
from api.query import Query
from api.reading import Opened, reached
from api.stage0 import EVENTS
from api.unfolding import Dependence, Unfolding
from api.views import Reader, View, token
from domain.assessment import (
    LATE_MAX,
    AssessmentPublished,
    CardFilled,
    LateFact,
    PublishAssessment,
    Published,
    RefusedError,
    decide,
    moved,
    restated,
)
from domain.catalogue import BY_PAYLOAD, Catalogue, Rejected
from domain.identifiers import flaw
from domain.numbers import ZERO, plain
from domain.periods import no_period, period_of
from infra.append import AppendUnknownError, Outgoing, message_id
from infra.decisions import SOURCE, OvertakenError, append_decision, last_decision
from projections.assessments import Assessment, assessments
from projections.published_assessments import PublishedAssessment, row_of

COMMAND, INVALID = "publish-assessment", "invalid_command"
ATTEMPTS_MAX = 10
BETWEEN_MAX = 100
IDS = ("id", "dealer", "by", "policy", "assessment", "supersedes")
VIEWS = ("assessments", "published_assessments", "events")  # what a decision looks at


class Decided(Struct, frozen=True):
    """A decision that is in the log; `duplicate`: by an earlier sending of the same command.

    `address` is its row, to be asked with `min_sequence=` of its sequence; `seen` is what was decided upon, as it
    was known.
    """

    status: Literal["accepted", "duplicate"]
    sequence: int
    source: str
    id: str
    type: str
    address: str
    seen: str
    decision: AssessmentPublished


class State(Struct, frozen=True):
    """What a decision is made of: how far the log was known, and what is to be stored."""

    decided: Decided | None  # by an earlier sending
    outgoing: Outgoing | None = None
    decision: AssessmentPublished | None = None


class Commands:
    """Decides one command at a time; another process may decide beside it, so each is stored only if it stands."""

    def __init__(
        self,
        catalogue: Catalogue,
        opened: Opened,
        index: Index,
        link: Link,
        views: Mapping[str, View],
        freshness: Freshness,
    ) -> None:
        self._catalogue = catalogue
        self._opened = opened
        self._index = index
        self._link = link
        self._views = [views[name] for name in VIEWS]
        self._freshness = freshness
        self._deciding = asyncio.Lock()

    async def publish(self, command: PublishAssessment) -> Decided:
        """Publish an assessment; raises a problem where it is refused, with what was decided meanwhile."""
        id = command.id or message_id(COMMAND, "", msgspec.json.encode(command))
        there = (await self._link.state()).last_sequence  # what is acknowledged by now is decided upon
        since = await last_decision(self._link.client)
        if command.state_sequence is not None and command.state_sequence > there:
            reason = f"the log ends at {there}: nothing after it can have been looked at"
            raise Problem("refused", reason, [("state_sequence", reason)], source=SOURCE, id=id)
        if command.state_sequence is not None:
            since = min(since, command.state_sequence)
        async with self._deciding:
            for _ in range(ATTEMPTS_MAX):
                last = await last_decision(self._link.client)
                for view in self._views:
                    await self._freshness.wait(view, Query(min_sequence=max(last, there)))
                state = await asyncio.to_thread(self._decide, command, id, now(), since)
                if state.decided is not None:
                    return state.decided
                assert state.outgoing is not None
                assert state.decision is not None
                try:
                    receipt = await append_decision(self._link.client, state.outgoing, last)
                except (OvertakenError, AppendUnknownError):
                    continue  # what became of it stands among the decisions, which are read again
                return decided("accepted", receipt.sequence, id, state.decision)
        detail = f"{ATTEMPTS_MAX} times another decision was stored first: send the same command again"
        raise Problem("overtaken", detail, source=SOURCE, id=id)

    def _decide(self, command: PublishAssessment, id: str, at: datetime, since: int) -> State:
        with self._opened.reader() as reader:
            if (earlier := self._earlier(command, id)) is not None:
                return State(earlier)
            try:
                decision = self._decision(reader, command, id, at)
            except RefusedError as error:
                reasons = [(error.field, str(error))]
                between = list(_between(reader, since))
                raise Problem(
                    error.code, str(error), reasons, source=SOURCE, id=id, between=between
                ) from None
        envelope = BY_PAYLOAD[AssessmentPublished].envelope(
            specversion="1.0",
            id=id,
            source=SOURCE,
            subject=decision.assessment,
            time=at,
            datacontenttype="application/json",
            actor=command.by,
            data=decision,
        )
        body = msgspec.json.encode(envelope)
        try:
            self._catalogue.decode(body)  # what cannot be read again must not be decided
        except Rejected as rejected:
            raise Problem("refused", f"it cannot be written: {rejected}", source=SOURCE, id=id) from None
        subject = self._catalogue.subject_for(envelope)
        return State(None, Outgoing(subject, body, message_id(SOURCE, id, body)), decision)

    def _earlier(self, command: PublishAssessment, id: str) -> Decided | None:
        held = self._index.held([(SOURCE, id)]).get((SOURCE, id))
        if held is None:
            return None
        event = self._catalogue.decode(held.body)
        data = event.data
        if not isinstance(data, AssessmentPublished) or not _same_command(command, data, event.actor or ""):
            reason = f"another command was sent under this id, and decided at sequence {held.sequence}"
            raise Problem("conflict", reason, [("id", reason)], source=SOURCE, id=id, sequence=held.sequence)
        return decided("duplicate", held.sequence, id, data)

    def _decision(
        self, reader: Reader, command: PublishAssessment, id: str, at: datetime
    ) -> AssessmentPublished:
        known = min(reached(view, Query(), reader.positions) or 0 for view in self._views)
        cutoff = known if command.cutoff_sequence is None else command.cutoff_sequence
        if not 1 <= cutoff <= known:
            raise RefusedError("cutoff_sequence", f"the book goes from sequence 1 to {known}")
        found = Moment(reader.connection, ("dealer",)).select(PublishedAssessment, dealer=[command.dealer])
        published = [msgspec.convert(row, Published, from_attributes=True) for row in found]
        old = restated(command, published)
        if old is not None and cutoff < old.cutoff_sequence:
            reason = f"{old.assessment} knew more: it was published as known at {old.cutoff_sequence}"
            raise RefusedError("cutoff_sequence", reason)
        asked = Query(
            filters={"dealer": [command.dealer], "period": [command.period]},
            known_at=cutoff,
            valid_at=at if old is None else old.at,
        )
        late: list[LateFact] = []
        # What is published first has no late facts: it is walked to its cut-off.
        since, policy = (cutoff, "") if old is None else (old.cutoff_sequence, old.policy)
        view = self._views[0]
        with self._opened.replaying.past(reader, view, asked) as (past, events, there):
            depends = Dependence(view, (), asked)
            walk = Unfolding(past, events, depends, lambda: _card(there, asked, policy, depends), since)
            for event, _, before, row in walk.steps():
                fact = LateFact(
                    sequence=event.sequence,
                    event=f"{event.event.source}#{event.event.id}",
                    type=event.type,
                    score=plain((row.score or ZERO) - (before.score or ZERO)),
                    moved=moved(before.criteria, row.criteria),
                )
                same = (before.grade, before.deductions, before.version) == (
                    row.grade,
                    row.deductions,
                    row.version,
                )
                if fact.moved or fact.score or not same:
                    late.append(fact)
                if len(late) > LATE_MAX:
                    reason = f"more than {LATE_MAX} facts became known since: restate it up to here first"
                    raise RefusedError("cutoff_sequence", f"{reason}: cutoff_sequence={event.sequence - 1}")
            cards = [_filled(one) for one in _cards(there, asked)]
        return decide(
            command, id=id, now=at, state_sequence=known, published=published, cards=cards, because=late
        )


def _cards(there: Reader, asked: Query) -> list[Assessment]:
    assert asked.valid_at is not None
    return list(assessments(Moment(there.connection, ("dealer",)), asked.valid_at, asked.filters))


def _card(there: Reader, asked: Query, policy: str, depends: Dependence) -> Assessment:
    """The dealer's card under a policy; an empty one where it has none. What it looked at is left in `depends`."""
    assert asked.valid_at is not None
    [dealer], [period] = asked.filters["dealer"], asked.filters["period"]
    moment = Moment(there.connection, ("dealer",))
    found = list(assessments(moment, asked.valid_at, {**asked.filters, "policy": [policy]}))
    depends.reads = moment.reads
    return found[0] if found else Assessment(str(dealer), str(period), policy)


def _filled(row: Assessment) -> CardFilled:
    return CardFilled(
        row.policy,
        row.version,
        not row.what_if,
        row.score,
        row.grade,
        row.coverage,
        row.criteria,
        row.deductions,
    )


def _same_command(command: PublishAssessment, data: AssessmentPublished, by: str) -> bool:
    """Whether a decision is what a command asked for; what the command left open is as it was found."""
    return (
        (command.dealer, command.period, command.by) == (data.dealer, data.period.name, by)
        and (command.supersedes, command.reason) == (data.supersedes, data.reason)
        and command.policy in (None, data.policy)
        and command.assessment in (None, data.assessment)
        and command.cutoff_sequence in (None, data.cutoff_sequence)
    )


def _between(reader: Reader, since: int) -> Iterator[Decision]:
    column = EVENTS.c
    statement = (
        sa.select(column.sequence, column.type, column.dealer, column.document)
        .where(column.sequence > since, column.family == "decisions", column.status == "accepted")
        .order_by(column.sequence)
        .limit(BETWEEN_MAX)
    )
    for found in reader.connection.execute(statement):
        yield Decision(*found)


def decided(
    status: Literal["accepted", "duplicate"], sequence: int, id: str, data: AssessmentPublished
) -> Decided:
    """The answer to a command that was done."""
    row = row_of(data.dealer, data.assessment, data)
    address = "/published_assessments/" + "/".join(map(token, (data.dealer, data.assessment)))
    return Decided(status, sequence, SOURCE, id, BY_PAYLOAD[type(data)].name, address, row.seen, data)


def command_handlers(commands: Commands) -> list[HTTPRouteHandler]:
    """POST /commands/publish-assessment."""

    @post(f"/commands/{COMMAND}", name="publish an assessment", status_code=201)
    async def publish(request: AnyRequest) -> Response[bytes]:
        if bodies.media_type(request) != JSON:
            raise Problem("unsupported_media_type", f"a command is {JSON}")
        body = await bodies.whole(request, bodies.COMMAND_BYTES_MAX)
        command = bodies.read(body, PublishAssessment, INVALID)
        _check(command)
        found = await commands.publish(command)
        status = 201 if found.status == "accepted" else 200
        headers = {"Location": found.address, "Qudao-Sequence": str(found.sequence)}
        return Response(msgspec.json.encode(found), media_type=JSON, status_code=status, headers=headers)

    return [publish]


def _check(command: PublishAssessment) -> None:
    """Refuse what no command can say, whatever is known."""
    given = {name: getattr(command, name) for name in IDS}
    wrong = [(name, found) for name, said in given.items() if said is not None and (found := flaw(said))]
    if period_of(command.period) is None:
        wrong.append(("period", no_period(command.period)))
    if wrong:
        raise Problem(INVALID, "; ".join(f"{name} {found}" for name, found in wrong), wrong)
