"""A dealer's history: every message that concerns it, what each corrects and changed, and what was not taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Raw, Struct

from api import cursor
from api.bearing import Folded, bearing
from api.concerning import Concern, Concerning, concerning
from api.corrections import Corrections, corrections
from api.differences import Difference, changes_of
from api.fields import field_of, read_instant
from api.past import Replaying, begun, known_sequence
from api.problems import FieldProblem
from api.query import Query
from api.reading import Opened
from api.selecting import conditions
from api.stage0 import EVENTS, REJECTIONS, TooManyError, serves_index
from api.views import Reader, View
from api.whose import Whose
from domain.calendar import microseconds
from domain.envelope import ACTOR_MAX
from domain.identifiers import flaw
from infra.past import Past, Touched
from infra.tables import codec_of
from projections.events import EventRow
from projections.rows import TABLES

ORDER = "sequence"
_EVENT = codec_of(EventRow)


class Changed(Struct, frozen=True):
    """One stored row of the dealer that an event changed, and its fields before and after."""

    view: str
    key: dict[str, Any]
    fields: dict[str, Difference]


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One message of a dealer's history.

    Its clocks: `effective` is when it happened, `recorded` when the log took it; its publisher claims that it happened
    at `time`, and that it was recorded there at `recordedtime`. `concern` says why it is here: the dealer's own, of
    nobody and with the dealer in its scope, or of another dealer and naming this one or a place of its. `of` is the
    sequence of the first holder of its identity, where it is a duplicate or a conflict. `changed` is null where more
    events bear on the dealer than are folded for one answer; `event` is null where a message cannot be read, and in a
    service that has no log, where it was not taken.
    """

    sequence: int
    status: str
    concern: Concern
    effective: datetime | None
    recorded: datetime | None
    time: datetime | None
    recordedtime: datetime | None
    source: str
    id: str
    actor: str | None
    family: str
    dealer: str
    type: str
    kind: str
    document: str
    of: int
    corrects: tuple[int, ...]
    corrected_by: tuple[int, ...]
    reasons: tuple[FieldProblem, ...]
    attachments: tuple[dict[str, Any], ...]
    changed: tuple[Changed, ...] | None
    event: Raw | None


class History(Struct, frozen=True):
    """A page of a history, how to go on, and which log it was read from."""

    items: tuple[HistoryEntry, ...]
    next: str | None
    sequence: int
    at: datetime
    store_id: str
    head_sequence: int
    head: str


class _Said(Struct):
    """What an entry shows of an event as it was sent."""

    type: Any = None
    recordedtime: Any = None
    actor: Any = None
    data: Any = None


def read_history(
    opened: Opened, view: View, dealer: str, query: Query, limit: int, now: datetime
) -> History | None:
    """A page of at most `limit` messages of the log, by sequence; None where nothing is said of such a dealer.

    `view` is that of events, by which the query was read. With `valid_at`, what happened by then, and what withdraws
    it; where a message cannot be read, the log's clock stands for all three.
    """
    with opened.reader() as reader:
        known = known_sequence(reader, query.known_at)
        begun(reader, query.valid_at, known)
        concerned = concerning(opened.replaying, reader, dealer, known)
        if not _there(reader, dealer, concerned, known):
            return None
        found = _page(reader, view, concerned, query, limit, now)
        following = None
        if len(found) > limit:
            found = found[:limit]
            following = cursor.write(cursor.Cursor(ORDER, [found[-1].sequence]))
        sequences = [row.sequence for row in found]
        events = [
            opened.replaying.read(*_stored(row), row.family, row.dealer, row.body)
            for row in found
            if row.status == "accepted"
        ]
        links = corrections(opened.replaying, reader, events, known)
        changed = _changed(opened.replaying, reader, dealer, concerned, query, sequences)
        reasons = _reasons(reader, [row.sequence for row in found if row.status != "accepted"])
        items = [_entry(row, concerned, links, reasons, changed) for row in found]
        [position] = [p for p in reader.positions if serves_index(p)]
    at = query.valid_at or now
    return History(tuple(items), following, known, at, position.store_id, position.sequence, position.chain)


def _stored(row: EventRow) -> tuple[int, int]:
    assert row.recorded is not None, "the log's own clock is always there"
    return row.sequence, microseconds(row.recorded)


def _there(reader: Reader, dealer: str, concerned: Concerning, known: int) -> bool:
    own = sa.select(EVENTS.c.sequence).where(EVENTS.c.dealer == dealer, EVENTS.c.sequence <= known).limit(1)
    return bool(concerned.others) or reader.connection.execute(own).first() is not None


def _page(
    reader: Reader, view: View, concerned: Concerning, query: Query, limit: int, now: datetime
) -> list[EventRow]:
    column = EVENTS.c
    happened = sa.func.coalesce(column.effective, column.recorded)
    where = [
        concerned.where,
        *conditions(
            view,
            msgspec.structs.replace(query, range=type(query.range)()),
            now,
            reader.connection.dialect.name,
        ),
    ]
    since, until = query.range.stored()
    if since is not None:
        where.append(happened >= since)
    if until is not None:
        where.append(happened < until)
    if query.valid_at is not None:
        true = happened <= microseconds(query.valid_at)
        withdrawn = sa.select(column.sequence).where(concerned.where, true)
        where.append(sa.or_(true, sa.and_(column.status == "accepted", column.of.in_(withdrawn))))
    if query.cursor:
        where.append(column.sequence > cursor.read(query.cursor, ORDER, [int]).last[0])
    statement = sa.select(EVENTS).where(*where).order_by(column.sequence).limit(limit + 1)
    rows = [_EVENT.read(values) for values in reader.connection.execute(statement)]
    return [row for row in rows if isinstance(row, EventRow)]


def _entry(
    row: EventRow,
    concerned: Concerning,
    links: Corrections,
    reasons: Mapping[int, tuple[FieldProblem, ...]],
    changed: Mapping[int, tuple[Changed, ...]] | None,
) -> HistoryEntry:
    names = set(HistoryEntry.__struct_fields__) & set(EventRow.__struct_fields__)
    entry = HistoryEntry(
        **{name: getattr(row, name) for name in names},
        concern=concerned.why(row.dealer, row.sequence),
        recordedtime=None,
        actor=None,
        corrects=tuple(links.corrects.get(row.sequence, ())),
        corrected_by=tuple(links.corrected_by.get(row.sequence, ())),
        reasons=reasons.get(row.sequence, ()),
        attachments=(),
        changed=None if changed is None else changed.get(row.sequence, ()),
        event=None,
    )
    return with_event(entry, row.body.encode()) if row.body else entry


def with_event(entry: HistoryEntry, body: bytes) -> HistoryEntry:
    """The entry with what was sent; as it is where that cannot be read."""
    try:
        text = body.decode()  # the decoder passes over what it does not look at, whatever bytes it has
        said = msgspec.json.decode(text, type=_Said)
        event = Raw(msgspec.json.format(text, indent=-1).encode())  # in one line
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return entry
    files = said.data.get("attachments") if isinstance(said.data, dict) else None
    return msgspec.structs.replace(
        entry,
        type=entry.type or (said.type if isinstance(said.type, str) and flaw(said.type) is None else ""),
        recordedtime=_instant(said.recordedtime),
        actor=said.actor if isinstance(said.actor, str) and len(said.actor) <= ACTOR_MAX else None,
        attachments=tuple(one for one in files if isinstance(one, dict)) if isinstance(files, list) else (),
        event=event,
    )


def _instant(said: Any) -> datetime | None:
    """An instant that a message states; None where it is none."""
    try:
        return read_instant(said) if isinstance(said, str) else None
    except ValueError:
        return None


def _reasons(reader: Reader, sequences: Sequence[int]) -> dict[int, tuple[FieldProblem, ...]]:
    column = REJECTIONS.c
    found = {}
    for begin in range(0, len(sequences), 1000):
        wanted = column.sequence.in_(sequences[begin : begin + 1000])
        for sequence, said in reader.connection.execute(
            sa.select(column.sequence, column.reasons).where(wanted)
        ):
            found[sequence] = msgspec.json.decode(said, type=tuple[FieldProblem, ...])
    return found


def _changed(
    replaying: Replaying,
    reader: Reader,
    dealer: str,
    concerned: Concerning,
    query: Query,
    sequences: Sequence[int],
) -> dict[int, tuple[Changed, ...]] | None:
    """What the events of a page changed: one fold of all that bear on the dealer, up to the last of them.

    None where they are more than are folded for one answer.
    """
    if not sequences:
        return {}
    wanted, found = set(sequences), {}
    folded = Folded(list(replaying.projections.values()), query.valid_at, odd=True)
    index, whose = replaying.index(reader, sequences[-1]), Whose(frozenset({dealer}))
    past = Past(folded.projections, query.valid_at)
    try:
        for event in bearing(index, folded, whose):
            if event.sequence not in wanted:
                past.take(event)
                continue
            past.write()
            past.take(event)
            changes = _of_dealer(past.write(), dealer, concerned.places)
            found[event.sequence] = tuple(sorted(changes, key=lambda c: (c.view, *map(str, c.key.values()))))
    except TooManyError:
        return None
    finally:
        past.close()
    return found


def _of_dealer(touched: Iterable[Touched], dealer: str, places: frozenset[str]) -> Iterator[Changed]:
    """The rows of the dealer among those that were touched: of others' rows only a part was folded.

    A target is nobody's, and its dealer's where it names one.
    """
    for one in touched:
        entry, columns = TABLES[one.row], codec_of(one.row).columns
        key = dict(zip(entry.key, one.key, strict=True))
        fields = [field_of(column) for column in columns]
        own, rest = fields[: len(key)], fields[len(key) :]
        before = dict(zip([field.name for field in rest], one.before, strict=True))
        after = dict(zip([field.name for field in rest], one.after, strict=True))
        named = [values.get("dealer") for values in (key, before, after)]
        if dealer not in named and key.get("location") not in places:
            continue
        shown = {
            field.name: None if key[field.name] is None else field.show(key[field.name]) for field in own
        }
        yield Changed(entry.view, shown, changes_of(rest, before, after))
