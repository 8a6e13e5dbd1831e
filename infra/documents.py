"""Stage 0: which events count, and what each document says before and after every one of them.

Nothing here is ever overwritten with something later: a document keeps all its statements and the sequences at
which each stopped or began again to stand. So its state at any past sequence can be read from the same rows,
and a projection that lags behind, or is rebuilt, needs no stage 0 of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from domain.calendar import AHEAD_MAX, microseconds
from domain.catalogue import Catalogue, Rejected
from domain.corrections import EventVoided
from domain.envelope import Envelope, Payload, Recorded
from domain.identifiers import NO_DEALER, digest, escape, unescape
from domain.naming import OTHER, names
from infra.cache import Cache
from infra.database import Database, Statement
from infra.definitions import physical
from infra.message import Message
from infra.tables import codec_of
from infra.upserts import Upsert
from projections.documents import Change, Document, document, document_key, true_by
from projections.events import EventFlag, EventName, EventRow, Rejection
from projections.flags import mark
from projections.rows import TABLES

ROWS = (EventRow, Rejection, EventName, EventFlag)
IDENTITIES_KEPT = 20_000
AHEAD_US = AHEAD_MAX // timedelta(microseconds=1)
_IDENTITY = (("digest", "integer"), ("sequence", "integer"), ("voids", "text"))
_DOCUMENT = (("digest", "integer"), ("statements", "text"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Identity(Struct, frozen=True, gc=False):
    """Who holds (source, id): the sequence of its first valid event, or 0, and of the voids that name it."""

    sequence: int
    voids: tuple[int, ...] = ()


class Entry(Struct, frozen=True, gc=False):
    """One statement of a document and the sequences at which it was withdrawn, restored, withdrawn …"""

    statement: Recorded[Payload]
    toggles: tuple[int, ...] = ()

    def stands_at(self, sequence: int) -> bool:
        return self.statement.sequence <= sequence and not sum(t <= sequence for t in self.toggles) % 2


class Judged(Struct, frozen=True, gc=False):
    """A valid event with what is asked of it more than once."""

    event: Recorded[Payload]
    identity: int
    key: tuple[str, str, str]
    where: int
    time_us: int


class Held(Struct, gc=False):
    """A document in memory: all its entries, and what they say now."""

    key: tuple[str, str, str]
    entries: list[Entry]
    current: Document | None
    size: int

    def at(self, sequence: int, valid_at: datetime | None = None) -> Document | None:
        standing = [e.statement for e in self.entries if e.stands_at(sequence)]
        return document(self.key, standing if valid_at is None else true_by(standing, valid_at))


class Documents:
    """The tables of one version of stage 0, as the projector that writes them sees them."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        version: str,
        bytes_max: int,
        valid_at: datetime | None = None,
    ) -> None:
        """With `valid_at`, what was not true by then changes nothing."""
        self._valid_at = valid_at
        self._database = database
        self._catalogue = catalogue
        self._bytes_max = bytes_max
        self._events = physical(EventRow, version)
        self._identities = f"identities__{version}"
        self._documents = f"documents__{version}"
        self._put_event, self._put_rejection, self._put_name = (
            Upsert(
                database.sql,
                physical(row, version),
                [(column.name, column.kind) for column in codec_of(row).columns],
                TABLES[row].key,
            )
            for row in (EventRow, Rejection, EventName)
        )
        self._put_identity = Upsert(database.sql, self._identities, _IDENTITY, ("digest",))
        self._put_document = Upsert(database.sql, self._documents, _DOCUMENT, ("digest",))
        self._write_rejection = codec_of(Rejection).write
        self.flags = Cache(database, (EventFlag,), version, 10_000)
        self.drop()

    @staticmethod
    def create(database: Database, version: str) -> None:
        """Make the tables of one version, empty, where they are not there yet."""
        database.create(ROWS, version)
        with database.transaction() as run:
            run(
                f"CREATE TABLE IF NOT EXISTS identities__{version} "
                "(digest BIGINT PRIMARY KEY, sequence BIGINT NOT NULL, voids TEXT NOT NULL)".replace(
                    "BIGINT PRIMARY", "BIGINT PRIMARY" if database.sql.postgresql else "INTEGER PRIMARY"
                ),
                (),
            )
            run(
                f"CREATE TABLE IF NOT EXISTS documents__{version} "
                "(digest BIGINT PRIMARY KEY, statements TEXT NOT NULL)".replace(
                    "BIGINT PRIMARY", "BIGINT PRIMARY" if database.sql.postgresql else "INTEGER PRIMARY"
                ),
                (),
            )

    def drop(self) -> None:
        """Forget everything that is in memory."""
        self.flags.drop()
        self._known: dict[int, Identity] = {}
        self._held: dict[int, Held] = {}
        self._held_bytes = 0
        self._absent: set[int] = set()  # of this batch's documents, those that are new
        self._recent: dict[int, Recorded[Payload]] = {}  # events the database may not have yet
        self._event_rows: list[tuple[Any, ...]] = []
        self._rejection_rows: list[tuple[Any, ...]] = []
        self._name_rows: list[tuple[Any, ...]] = []
        self._new_identities: dict[int, Identity] = {}
        self._changed: dict[int, Held] = {}

    # the live way: from messages of the log

    def take_in(self, messages: Sequence[Message]) -> list[Change]:
        """Judge messages that follow each other in the log; what the valid ones change, in order."""
        judged: list[Judged | Rejected] = []
        self._absent.clear()
        identities: list[int] = []
        documents: list[int] = []
        read = self._catalogue.read
        for message in messages:
            try:
                event = read(message.sequence, message.recorded, message.subject, message.body)
            except Rejected as rejected:
                judged.append(rejected)
                continue
            envelope = event.event
            key = document_key(event)
            found = Judged(
                event, digest(envelope.source, envelope.id), key, digest(*key), microseconds(envelope.time)
            )
            judged.append(found)
            identities.append(found.identity)
            documents.append(found.where)
            if isinstance(event.data, EventVoided):
                identities.append(digest(event.data.source, event.data.id))
        self._load_identities(identities)
        self._load_documents(documents)
        changes = []
        for message, one in zip(messages, judged, strict=True):
            if isinstance(one, Rejected):
                self._reject(message, one)
            elif (change := self._accept(message, one)) is not None:
                changes.append(change)
        return changes

    def _accept(self, message: Message, judged: Judged) -> Change | None:
        event = judged.event
        known = self._identity(judged.identity)
        if known.sequence:
            self._repeat(message, judged, known.sequence)
            return None
        self._learn(judged.identity, Identity(event.sequence, known.voids))
        self._recent[event.sequence] = event
        for void in [self._event(sequence) for sequence in known.voids]:
            name = f"{event.event.source}#{event.event.id}"
            mark(self.flags, EventFlag, event, (void.dealer, "void_of_nothing", name), False)
            if (void.family, void.dealer) != (event.family, event.dealer):
                mark(self.flags, EventFlag, event, (void.dealer, "void_of_another_dealer", name), True)
        if judged.time_us - event.recorded_us > AHEAD_US:
            mark(self.flags, EventFlag, event, (event.dealer, "ahead_of_log", str(event.sequence)), True)
        if isinstance(event.data, EventVoided):
            target, change = self._void(event, event.data)
            self._row(message, judged, "accepted", target)
            return change
        self._row(message, judged, "accepted", 0)
        return self._state(message, judged, known.voids)

    def _state(self, message: Message, judged: Judged, voids: tuple[int, ...]) -> Change | None:
        event, key = judged.event, judged.key
        held = self._document(judged.where) or Held(key, [], None, 0)
        if held.key != key:
            raise RuntimeError(f"two documents share one digest: {held.key} and {key}")
        before = held.current
        if self._valid_at is None:
            earlier = before.statements if before is not None else ()
        else:  # what stands, whenever it is true
            earlier = _statements(held.at(event.sequence - 1))
        toggles = (voids[0],) if voids and not self._stands(event) else ()
        held.entries.append(Entry(event, toggles))
        held.size += len(message.body)
        self._held_bytes += len(message.body)
        self._held[judged.where] = self._changed[judged.where] = held
        if toggles:
            return None
        if self._valid_at is not None:
            held.current = held.at(event.sequence, self._valid_at)
            if _statements(before) == _statements(held.current):
                return None
        elif before is None:
            held.current = Document(*key, (event,))
        else:
            held.current = document(key, [*before.statements, event])
        first = next((s for s in earlier if s.type == event.type), None)
        if first is not None and first.event.source != event.event.source:
            flag = (event.dealer, "restated_by_another_source", f"{key[0]}/{key[2]}")
            mark(self.flags, EventFlag, event, flag, True)
        return Change(event, key[0], before, held.current)

    def _void(self, void: Recorded[Payload], data: EventVoided) -> tuple[int, Change | None]:
        """Withdraw what a void names: the sequence it names, and what that changes in the end."""
        named = digest(data.source, data.id)
        known = self._identity(named)
        self._learn(named, Identity(known.sequence, (*known.voids, void.sequence)))
        flag = (void.dealer, "void_of_nothing", f"{data.source}#{data.id}")
        if not known.sequence:
            mark(self.flags, EventFlag, void, flag, True)
            return 0, None
        target = self._event(known.sequence)
        if (target.family, target.dealer) != (void.family, void.dealer):
            mark(self.flags, EventFlag, void, (void.dealer, "void_of_another_dealer", flag[2]), True)
            return target.sequence, None
        root = self._root(target)
        if root is None:
            return target.sequence, None
        where = digest(*document_key(root))
        held = self._document(where)
        assert held is not None, "an accepted event has a document"
        number = next(n for n, e in enumerate(held.entries) if e.statement.sequence == root.sequence)
        entry = held.entries[number]
        if entry.stands_at(void.sequence) == self._stands(root):
            return target.sequence, None
        before = held.current
        held.entries[number] = Entry(entry.statement, (*entry.toggles, void.sequence))
        held.current = held.at(void.sequence, self._valid_at)
        self._changed[where] = held
        if self._valid_at is not None and _statements(before) == _statements(held.current):
            return target.sequence, None
        return target.sequence, Change(void, held.key[0], before, held.current)

    def _root(self, event: Recorded[Payload]) -> Recorded[Payload] | None:
        """The event that is no void at the end of a chain of voids, if it has arrived."""
        seen = set()
        while isinstance(event.data, EventVoided):
            if event.sequence in seen:
                return None
            seen.add(event.sequence)
            known = self._identity(digest(event.data.source, event.data.id))
            if not known.sequence:
                return None
            event = self._event(known.sequence)
        return event

    def _stands(self, event: Recorded[Payload]) -> bool:
        """Whether no standing void of the same family and dealer names the event, which is none itself.

        A void names one event, so what leads to this one is a tree, however deep: walked without recursion.
        """
        found, naming = [event], []
        for named in found:
            voids = [
                void
                for sequence in self._identity(digest(named.event.source, named.event.id)).voids
                if (void := self._event(sequence)).family == named.family and void.dealer == named.dealer
            ]
            naming.append([void.sequence for void in voids])
            found.extend(voids)
        standing: dict[int, bool] = {}
        for named, sequences in zip(reversed(found), reversed(naming), strict=True):
            standing[named.sequence] = not any(standing[sequence] for sequence in sequences)
        return standing[event.sequence]

    def _repeat(self, message: Message, judged: Judged, first: int) -> None:
        event = judged.event
        if same_content(self._event(first).event, event.event):
            self._row(message, judged, "duplicate", first)
            return
        self._row(message, judged, "conflict", first)
        reason = (
            f"{event.event.source}#{event.event.id} was taken with other content at sequence {first}: a change "
            "needs a new event id, for example document number and change number"
        )
        self._refuse(message, "conflict", event.event.source, event.event.id, first, [("id", reason)])

    def _reject(self, message: Message, rejected: Rejected) -> None:
        source, identity = _claimed(message.body)
        values = (message.sequence, rejected.code, message.recorded // 1000, *subject_said(message.subject))
        self._event_rows.append((*values, "", source, identity, "", "", None, None, 0, ""))
        reasons = [(reason.field, reason.reason) for reason in rejected.reasons]
        self._refuse(message, rejected.code, source, identity, 0, reasons)

    def _refuse(
        self, message: Message, code: str, source: str, identity: str, of: int, reasons: list[tuple[str, str]]
    ) -> None:
        told = msgspec.json.encode([{"field": field, "reason": reason} for field, reason in reasons]).decode()
        subject = _CONTROL.sub("\ufffd", message.subject)
        self._rejection_rows.append(
            (message.sequence, code, message.recorded // 1000, subject, source, identity, of, told)
        )

    def _row(self, message: Message, judged: Judged, status: str, of: int) -> None:
        event, (kind, dealer, name), time = judged.event, judged.key, judged.time_us
        envelope = event.event
        effective = time if event.effective is envelope.time else microseconds(event.effective)
        self._event_rows.append(
            (
                *(event.sequence, status, event.recorded_us, event.family, dealer, event.type),
                *(envelope.source, envelope.id, kind, name, time, effective, of, message.body.decode()),
            )
        )
        own = OTHER, dealer
        self._name_rows += [(named[1], named[0], event.sequence) for named in names(envelope) if named != own]

    def take(self, sequence: int) -> list[Statement]:
        """The statements that store all changes since the last call."""
        identities = [
            (key, i.sequence, _text(i.voids) if i.voids else "") for key, i in self._new_identities.items()
        ]
        documents = [
            (where, _text([(e.statement.sequence, *e.toggles) for e in held.entries]))
            for where, held in self._changed.items()
        ]
        statements = [
            *self._put_event.statements(self._event_rows),
            *self._put_rejection.statements(self._rejection_rows),
            *self._put_name.statements(self._name_rows),
            *self._put_identity.statements(identities),
            *self._put_document.statements(documents),
        ]
        self._event_rows, self._rejection_rows, self._name_rows = [], [], []
        self._new_identities, self._changed = {}, {}
        return statements + self.flags.take(sequence)

    def committed(self, sequence: int) -> None:
        """The database has everything up to a sequence: what is beyond the bounds can be given up."""
        self.flags.committed(sequence)
        if len(self._known) > IDENTITIES_KEPT:
            self._known = {
                key: i for key, i in self._known.items() if max(i.sequence, *i.voids, 0) > sequence
            }
        if len(self._recent) > IDENTITIES_KEPT // 10:
            self._recent = {n: event for n, event in self._recent.items() if n > sequence}
        for where in list(self._held) if self._held_bytes > self._bytes_max else ():
            held = self._held[where]
            if where not in self._changed and all(
                max(e.statement.sequence, *e.toggles, 0) <= sequence for e in held.entries
            ):
                del self._held[where]
                self._held_bytes -= held.size
                if self._held_bytes <= self._bytes_max * 3 // 4:
                    break

    # the second way: from stage 0's own rows, for projections that are behind

    def replay(self, after: int, until: int, limit: int) -> tuple[int, list[Change]]:
        """What the next accepted events changed, read from the index: the sequence reached, the changes.

        Everything up to `until` must be committed.
        """
        events = list(
            self._stored(f"sequence > ? AND sequence <= ? ORDER BY sequence LIMIT {limit}", (after, until))
        )
        reached = events[-1].sequence if len(events) == limit else until
        roots = {e.sequence: self._root(e) for e in events if isinstance(e.data, EventVoided)}
        spoken = [roots.get(e.sequence, e) for e in events]
        self._load_documents([digest(*document_key(e)) for e in spoken if e is not None])
        changes = []
        for event, about in zip(events, spoken, strict=True):
            if about is None:
                continue
            held = self._document(digest(*document_key(about)))
            assert held is not None, "an accepted event has a document"
            entry = next(e for e in held.entries if e.statement.sequence == about.sequence)
            if entry.stands_at(event.sequence) == (
                entry.stands_at(event.sequence - 1) if about is not event else False
            ):
                continue
            old, new = [held.at(number, self._valid_at) for number in (event.sequence - 1, event.sequence)]
            if self._valid_at is None or _statements(old) != _statements(new):
                changes.append(Change(event, held.key[0], old, new))
        return reached, changes

    # loading

    def _learn(self, where: int, identity: Identity) -> None:
        self._known[where] = self._new_identities[where] = identity

    def _identity(self, where: int) -> Identity:
        if where not in self._known:
            self._load_identities([where])
        return self._known[where]

    def _load_identities(self, wanted: Iterable[int]) -> None:
        known = self._known
        missing = {where for where in wanted if where and where not in known}
        if not missing:
            return
        nobody = Identity(0)
        known.update(dict.fromkeys(missing, nobody))
        for where, sequence, voids in self._database.rows(
            f"SELECT digest, sequence, voids FROM {self._identities} "
            f"WHERE digest IN ({self._database.sql.numbers})",
            (_text(list(missing)),),
        ):
            known[where] = Identity(sequence, tuple(msgspec.json.decode(voids)) if voids else ())

    def _document(self, where: int) -> Held | None:
        if where not in self._held and where not in self._absent:
            self._load_documents([where])
        return self._held.get(where)

    def _load_documents(self, wanted: Iterable[int]) -> None:
        missing = {where for where in wanted if where and where not in self._held}
        if not missing:
            return
        found = {
            where: msgspec.json.decode(statements, type=list[tuple[int, ...]])
            for where, statements in self._database.rows(
                f"SELECT digest, statements FROM {self._documents} "
                f"WHERE digest IN ({self._database.sql.numbers})",
                (_text(list(missing)),),
            )
        }
        events = self._load_events({sequence for held in found.values() for sequence, *_ in held})
        for where, statements in found.items():
            entries = [Entry(events[sequence], tuple(toggles)) for sequence, *toggles in statements]
            held = Held(document_key(entries[0].statement), entries, None, 600 * len(entries))
            held.current = held.at(2**63, self._valid_at)
            self._held[where] = held
            self._held_bytes += held.size
        self._absent |= missing - found.keys()

    def _event(self, sequence: int) -> Recorded[Payload]:
        return self._load_events({sequence})[sequence]

    def _load_events(self, sequences: set[int]) -> dict[int, Recorded[Payload]]:
        found = {n: self._recent[n] for n in sequences if n in self._recent}
        if missing := sequences - found.keys():
            where = f"sequence IN ({self._database.sql.numbers})"
            found.update((event.sequence, event) for event in self._stored(where, (_text(sorted(missing)),)))
        return found

    def _stored(self, where: str, parameters: Sequence[Any]) -> Iterator[Recorded[Payload]]:
        for sequence, recorded_us, family, dealer, body in self._database.rows(
            self._database.sql.marked(
                f"SELECT sequence, recorded, family, dealer, body FROM {self._events} "
                f"WHERE status = 'accepted' AND {where}"
            ),
            parameters,
        ):
            subject = f"channel.{family}.{escape(dealer) if dealer else NO_DEALER}"
            yield self._catalogue.read(sequence, recorded_us * 1000, subject, body.encode())


def _statements(of: Document | None) -> tuple[Recorded[Payload], ...]:
    return of.statements if of is not None else ()


def same_content(first: Envelope, second: Envelope) -> bool:
    """Whether two events of one identity say the same: type, time with its offset, subject and decoded data."""
    return (
        type(first) is type(second)
        and first.subject == second.subject
        and _comparable(first.time) == _comparable(second.time)
        and _comparable(first.data) == _comparable(second.data)
    )


def _comparable(value: Any) -> Any:
    """Decimals compare by value, instants with their offset."""
    return (
        msgspec.to_builtins(value, builtin_types=(Decimal,))
        if not isinstance(value, datetime)
        else value.isoformat()
    )


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _claimed(body: bytes) -> tuple[str, str]:
    """What an invalid message says of its source and id, as far as it can be read."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    said = (raw.get(name, "") if isinstance(raw, dict) else "" for name in ("source", "id"))
    source, identity = (
        _CONTROL.sub("\ufffd", value[:256]) if isinstance(value, str) else "" for value in said
    )
    return source, identity


def subject_said(subject: str) -> tuple[str, str]:
    """Family and dealer of a subject, which need not be well formed."""
    family, _, token = subject.removeprefix("channel.").partition(".")
    try:
        dealer = "" if token == NO_DEALER else unescape(token)
    except ValueError:
        dealer = token
    return _CONTROL.sub("\ufffd", family[:256]), _CONTROL.sub("\ufffd", dealer[:256])
