"""Taking events in: each is judged by itself, the good ones are appended, and every one gets its own answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from api.index import Held, Identity, Index
from api.link import Link
from api.metrics import Metrics
from api.problems import Problem, ProblemDocument
from domain.catalogue import BODY_BYTES_MAX, Catalogue, Rejected
from domain.corrections import EventVoided
from domain.envelope import Envelope
from domain.errors import QudaoError
from domain.flaws import unknown_members
from infra.append import Outgoing, Receipt, message_id
from infra.documents import same_content

Status = Literal["accepted", "duplicate", "invalid", "not_understood", "conflict", "retry"]
DECISIONS = "decisions"
TOGETHER_MAX = 1000  # events of several requests that are judged together


class Entry(Struct, frozen=True, gc=False):
    """What became of one event. `sequence` is its place in the log; of a conflict, the place of the holder."""

    status: Status
    sequence: int | None
    source: str
    id: str
    warnings: tuple[str, ...] = ()
    problem: ProblemDocument | None = None


class Sound(Struct, frozen=True, gc=False):
    """An event that is right by itself; `entry.warnings` name members its type does not know."""

    event: Envelope
    body: bytes
    warnings: tuple[str, ...]

    @property
    def identity(self) -> Identity:
        return self.event.source, self.event.id


class Sent(Struct):
    """An event of this request that goes to the log, and every event of the request under its identity."""

    sound: Sound
    outgoing: Outgoing
    places: list[tuple[int, Sound]]


class Asked(Struct, frozen=True):
    """The events of one request, and the answer that it waits for."""

    bodies: Sequence[bytes]
    family: str
    answer: asyncio.Future[list[Entry]]


class Intake:
    """The way in over HTTP: the same checks as the projector's, before anything is appended.

    Requests that come while others are judged are judged together: one look into the index for all of them, and
    one write. A request by itself waits for nobody.
    """

    def __init__(self, catalogue: Catalogue, index: Index, link: Link, metrics: Metrics) -> None:
        self._catalogue = catalogue
        self._index = index
        self._link = link
        self._metrics = metrics
        self._waiting: deque[Asked] = deque()
        self._judging: asyncio.Task[None] | None = None
        self._storing: set[asyncio.Task[None]] = set()

    async def take(self, bodies: Sequence[bytes], family: str = "") -> list[Entry]:
        """Judge and store events; the answer has one entry per event, in order.

        `family` is named where a type has several; a void goes where the event went that it withdraws.
        """
        asked = Asked(bodies, family, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._judging is None:
            self._judging = asyncio.create_task(self._judge_all())
        done = await asked.answer
        for status, count in Counter(entry.status for entry in done).items():
            self._metrics.events.labels(status).inc(count)
        return done

    async def _judge_all(self) -> None:
        try:
            while self._waiting:
                group = self._gather()
                try:
                    entries, sent = await asyncio.to_thread(self._judge, group)
                except Exception as error:  # each of them hears of it; who comes next is judged anew
                    _fail(group, error)
                    continue
                storing = asyncio.create_task(self._store(group, entries, sent))
                self._storing.add(storing)
                storing.add_done_callback(self._storing.discard)
        finally:
            self._judging = None

    def _gather(self) -> list[Asked]:
        group = [self._waiting.popleft()]
        count = len(group[0].bodies)
        while self._waiting and (count := count + len(self._waiting[0].bodies)) <= TOGETHER_MAX:
            group.append(self._waiting.popleft())
        return group

    async def _store(self, group: Sequence[Asked], entries: dict[int, Entry], sent: list[Sent]) -> None:
        try:
            outcomes = await self._append([one.outgoing for one in sent])
        except Exception as error:
            _fail(group, error)
            return
        for one, outcome in zip(sent, outcomes, strict=True):
            for place, sound in one.places:
                entries[place] = _entry(one.sound, sound, outcome)
        place = 0
        for asked in group:
            done = [entries[place + number] for number in range(len(asked.bodies))]
            place += len(asked.bodies)
            if not asked.answer.done():  # a caller that gave up
                asked.answer.set_result(done)

    def _judge(self, group: Sequence[Asked]) -> tuple[dict[int, Entry], list[Sent]]:
        """What is answered without the log, by place, and what goes to it."""
        bodies = [body for asked in group for body in asked.bodies]
        families = [asked.family for asked in group for _ in asked.bodies]
        looked = [self._look(body) for body in bodies]
        sound = [one for one in looked if isinstance(one, Sound)]
        named = [(d.source, d.id) for d in (one.event.data for one in sound) if isinstance(d, EventVoided)]
        held = self._index.held([*[one.identity for one in sound], *named])
        entries: dict[int, Entry] = {}
        sent: dict[Identity, Sent] = {}
        for place, one in enumerate(looked):
            if isinstance(one, Problem):
                entries[place] = _refused(one)
            elif one.identity in held:
                entries[place] = self._against(one, held[one.identity])
            elif one.identity in sent:
                sent[one.identity].places.append((place, one))
            else:
                outgoing = self._outgoing(one, families[place], held)
                if isinstance(outgoing, Problem):
                    entries[place] = _refused(outgoing)
                else:
                    sent[one.identity] = Sent(one, outgoing, [(place, one)])
        return entries, list(sent.values())

    def _look(self, body: bytes) -> Sound | Problem:
        if len(body) > BODY_BYTES_MAX:
            return too_large(len(body))
        try:
            event = self._catalogue.decode(body)
        except Rejected as rejected:
            source, identity = claimed(body)
            reasons = [(reason.field, reason.reason) for reason in rejected.reasons]
            detail = "; ".join(f"{field} {reason}" for field, reason in reasons[:3])
            return Problem(rejected.code, detail, reasons, source=source, id=identity)
        entry = self._catalogue.entry(event)
        raw = msgspec.json.decode(body)
        known = raw["type"] == entry.name  # the members of an older type are its own
        return Sound(event, body, tuple(unknown_members(entry.envelope, raw)) if known else ())

    def _against(self, sound: Sound, held: Held) -> Entry:
        """An event whose identity is taken: the same again, or a conflict."""
        try:
            same = same_content(self._catalogue.decode(held.body), sound.event)
        except Rejected:  # taken in by a program that knows more types than this one
            same = held.body == sound.body
        if same:
            return Entry("duplicate", held.sequence, *sound.identity, sound.warnings)
        return _conflict(sound, held.sequence)

    def _outgoing(self, sound: Sound, family: str, held: Mapping[Identity, Held]) -> Outgoing | Problem:
        entry = self._catalogue.entry(sound.event)
        data = sound.event.data
        if isinstance(data, EventVoided) and (target := held.get((data.source, data.id))) is not None:
            family = target.family
        open_to = [name for name in entry.families if name != DECISIONS]
        source, identity = sound.identity
        if not open_to or family == DECISIONS:
            reason = "only a command of this service publishes decisions and withdraws them"
            return Problem(
                "decision", f"{entry.name}: {reason}", [("type", reason)], source=source, id=identity
            )
        if family and family not in open_to:
            reason = f"{entry.name} belongs on {' or '.join(open_to)}, not on {family!r}"
            return Problem("invalid", reason, [("type", reason)], source=source, id=identity)
        subject = self._catalogue.subject_for(sound.event, family or open_to[0])
        return Outgoing(subject, sound.body, message_id(source, identity, sound.body))

    async def _append(self, outgoing: list[Outgoing]) -> Sequence[Receipt | QudaoError]:
        if not outgoing:
            return []
        began = time.perf_counter()
        try:
            receipts = await self._link.appender.append(outgoing)
        except QudaoError as error:
            return [error] * len(outgoing)
        self._metrics.appended(began)
        return receipts


def _fail(group: Sequence[Asked], error: Exception) -> None:
    for asked in group:
        if not asked.answer.done():
            asked.answer.set_exception(error)


def _entry(first: Sound, sound: Sound, outcome: Receipt | QudaoError) -> Entry:
    """The answer to an event that went to the log, or repeats or contradicts one of the same request."""
    if sound is not first and not same_content(first.event, sound.event):
        return _conflict(sound, outcome.sequence if isinstance(outcome, Receipt) else None)
    if isinstance(outcome, Receipt):
        again = outcome.duplicate or sound is not first
        return Entry("duplicate" if again else "accepted", outcome.sequence, *sound.identity, sound.warnings)
    source, identity = sound.identity
    detail = f"{outcome}: send the same event again, under the same id; it will not count twice"
    problem = Problem("log_away", detail, source=source, id=identity)
    return Entry("retry", None, source, identity, sound.warnings, problem.document)


def _conflict(sound: Sound, sequence: int | None) -> Entry:
    source, identity = sound.identity
    reason = "a change needs a new event id, for example document number and change number"
    where = f" at sequence {sequence}" if sequence else ""
    detail = f"{source}#{identity} was taken with other content{where}: {reason}"
    problem = Problem(
        "conflict", detail, [("id", reason)], source=source, id=identity, sequence=sequence or 0
    )
    return Entry("conflict", sequence, source, identity, sound.warnings, problem.document)


def _refused(problem: Problem) -> Entry:
    document = problem.document
    status: Status = "not_understood" if document.type.endswith("/not_understood") else "invalid"
    return Entry(status, None, document.source, document.id, (), document)


def too_large(size: int | None = None) -> Problem:
    """The problem of an event that the log would not take."""
    said = f"{size} bytes" if size else "more"
    return Problem(
        "event_too_large",
        f"the event has {said}, the log takes {BODY_BYTES_MAX} bytes",
        [("(body)", "put large content elsewhere and name its SHA-256 in `attachments`")],
    )


def claimed(body: bytes) -> Identity:
    """What an invalid body says of its source and id, as far as it can be read."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    if not isinstance(raw, dict):
        return "", ""
    source, identity = raw.get("source"), raw.get("id")
    return (
        source[:256] if isinstance(source, str) else "",
        identity[:256] if isinstance(identity, str) else "",
    )
