"""Questions about another time: how much was known, and the moment that the events bearing on one make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from api.bearing import Folded, bearing
from api.problems import Problem
from api.query import Query
from api.stage0 import EVENTS, SAID, Index, TooManyError, accepted_by, serves_index
from api.views import Reader, View
from api.whose import whose
from domain.calendar import EPOCH, from_microseconds, microseconds
from domain.catalogue import Catalogue
from domain.envelope import Payload, Recorded
from domain.identifiers import NO_DEALER, escape
from infra.database import LIVE, Position, now_us
from infra.materialising import CLOCKS_APART_MAX, before_all_facts, before_the_first, to_come
from infra.past import Past
from infra.positions import INDEX
from projections.projection import Projection

#: What a question can name so that fewer events bear on it.
NARROWING = ("dealer", "location", "rep", "territory", "promotion")
_APART_US = microseconds(EPOCH + CLOCKS_APART_MAX)


class Replaying(Struct, frozen=True):
    """What is needed to fold events again."""

    catalogue: Catalogue
    projections: Mapping[str, Projection]

    @contextmanager
    def moment(self, reader: Reader, view: View, query: Query) -> Iterator[Reader]:
        """The moment a question is about: the live one, or one made of the events that bear on it."""
        if query.known_at is None and query.valid_at is None and not query.without:
            yield reader
            return
        with self.past(reader, view, query) as (past, events, there):
            for event in events:
                past.take(event)
            past.write()
            yield there

    @contextmanager
    def past(
        self, reader: Reader, view: View, query: Query
    ) -> Iterator[tuple[Past, Iterator[Recorded[Payload]], Reader]]:
        """An empty past, the events that bear on a question, and how to read what the one makes of the other."""
        names = view.projections | view.tree if query.under is not None else view.projections
        if not view.explained:
            reason = f"{view.name} says what arrived and what became of it: there is nothing to fold again"
            raise Problem("cannot_be_answered", reason, [(_past_by(query), reason)])
        if reader.tried:
            reason = (
                f"{', '.join(reader.tried)} was put in here and is in no event: nothing can be folded again"
            )
            raise Problem("cannot_be_answered", reason, [(_past_by(query), reason)])
        known = known_sequence(reader, query.known_at)
        begun(reader, query.valid_at, known)
        projections = [self.projections[name] for name in sorted(names - {INDEX})]
        folded = Folded(projections, query.valid_at, view.across, odd=INDEX in names)
        past = Past(folded.projections, query.valid_at)
        there = Reader(past.connection, [Position(name, "past", LIVE, known) for name in names])
        try:
            yield past, self._events(reader, view, query, folded, known), there
        finally:
            past.close()

    def _events(
        self, reader: Reader, view: View, query: Query, folded: Folded, known: int
    ) -> Iterator[Recorded[Payload]]:
        """Raises a cannot_be_answered problem where they are too many."""
        index = self.index(reader, known, query.without)
        try:
            yield from bearing(index, folded, whose(index, query, folded.kinds))
        except TooManyError as error:
            reason = f"{error}: {_instead(view, query, known)}"
            raise Problem("cannot_be_answered", reason, [(_past_by(query), reason)]) from None

    def index(self, reader: Reader, known: int, without: Sequence[int] = (), most: int = 0) -> Index:
        """The events up to a sequence, but for some, each of which must be an accepted one."""
        if without:
            _refuse_unknown(reader.connection, accepted_by(known), without)
        return Index(reader, known, frozenset(without), self.read, most)

    def read(self, sequence: int, recorded_us: int, family: str, dealer: str, body: str) -> Recorded[Payload]:
        """An accepted event, from its row."""
        subject = f"channel.{family}.{escape(dealer) if dealer else NO_DEALER}"
        return self.catalogue.read(sequence, recorded_us * 1000, subject, body.encode())


def recorded_events(
    replaying: Replaying, reader: Reader, sequences: Sequence[int]
) -> Iterator[Recorded[Payload]]:
    """The accepted events at these sequences, in order."""
    column = EVENTS.c
    for begin in range(0, len(sequences), 1000):
        where = (column.status == "accepted", column.sequence.in_(sequences[begin : begin + 1000]))
        for found in reader.connection.execute(SAID.where(*where).order_by(column.sequence)):
            yield replaying.read(*found)


def known_sequence(reader: Reader, known_at: int | datetime | None) -> int:
    """The last sequence of the log that was there at an instant, or that is named; without either, the present one.

    Raises a cannot_be_answered problem for what lies before the book begins, beyond where it is, or in the future.
    """
    reached = max((p.sequence for p in reader.positions if serves_index(p)), default=0)
    if known_at is None:
        return reached
    first, last = _recorded(reader.connection, 1, upwards=True), _recorded(reader.connection, reached)
    if first is None or last is None:
        raise _out_of_reach(before_the_first(None))
    if isinstance(known_at, int):
        if not 1 <= known_at <= reached:
            raise _out_of_reach(f"the book goes from sequence 1 to {reached}")
        return known_at
    wanted, low, high = microseconds(known_at), 0, reached
    if first[1] > wanted:
        raise _out_of_reach(before_the_first(first[1]))
    if wanted > max(last[1], now_us() + _APART_US):
        raise _out_of_reach(to_come(known_at))
    while low < high:
        middle = (low + high + 1) // 2
        found = _recorded(reader.connection, middle)
        if found is None or found[1] <= wanted:
            low = middle
        else:
            high = middle - 1
    return low


def _instead(view: View, query: Query, known: int) -> str:
    """What to ask for instead of what takes too much."""
    fewer = [name for name in NARROWING if name in view.fields and name not in query.filters]
    said = [f"name {' or '.join(fewer)}"] if fewer else []
    if not query.without:
        valid_at = f" --valid-at {query.valid_at.isoformat()}" if query.valid_at is not None else ""
        made = f"qudao replay --known-at {known}{valid_at} --into sqlite:///past.db"
        said.append(f"make the moment, and ask it: {made}")
    return ", or ".join(said) or "leave it out"


def _past_by(query: Query) -> str:
    """The parameter by which a question is about another time."""
    if query.known_at is not None:
        return "known_at"
    return "without" if query.without else "valid_at"


def _refuse_unknown(
    connection: sa.Connection, taken: sa.ColumnElement[bool], sequences: Sequence[int]
) -> None:
    """Raise a bad_parameter problem where one of the sequences is no accepted event's."""
    column = EVENTS.c
    found = connection.execute(sa.select(column.sequence).where(taken, column.sequence.in_(sequences)))
    if missing := sorted(set(sequences) - {sequence for (sequence,) in found}):
        reason = f"no event is accepted at {', '.join(map(str, missing))}, as far as it is known"
        raise Problem("bad_parameter", reason, [("without", reason)])


def recorded_at(reader: Reader, sequence: int) -> datetime:
    """When the log took the message at a sequence, or the last before it."""
    found = _recorded(reader.connection, sequence)
    return from_microseconds(found[1] if found is not None else 0)


def begun(reader: Reader, valid_at: datetime | None, known: int) -> None:
    """Raise a cannot_be_answered problem for an instant before everything the book speaks of: any, of an empty one."""
    column, taken = EVENTS.c, accepted_by(known)
    if valid_at is None:
        return
    some = sa.select(column.sequence).where(taken, column.effective <= microseconds(valid_at)).limit(1)
    if reader.connection.execute(some).first() is not None:
        return
    first = reader.connection.execute(sa.select(sa.func.min(column.effective)).where(taken)).scalar()
    reason = before_all_facts(first)
    raise Problem("cannot_be_answered", reason, [("valid_at", reason)])


def _out_of_reach(reason: str) -> Problem:
    return Problem("cannot_be_answered", reason, [("known_at", reason)])


def _recorded(connection: sa.Connection, sequence: int, *, upwards: bool = False) -> tuple[int, int] | None:
    """Sequence and recorded instant of the message at a sequence, or of the nearest before (or after) it."""
    column = EVENTS.c
    statement = sa.select(column.sequence, column.recorded).limit(1)
    if upwards:
        statement = statement.where(column.sequence >= sequence).order_by(column.sequence)
    else:
        statement = statement.where(column.sequence <= sequence).order_by(column.sequence.desc())
    found = connection.execute(statement).first()
    return None if found is None else (found[0], found[1])
