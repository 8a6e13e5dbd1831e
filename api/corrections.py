"""Which event corrects which, both ways, by sequence.

A restatement, an amendment or a void of a document; what is issued anew for what was withdrawn (`replaces`); and a
document that supersedes another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from api.past import Replaying, recorded_events
from api.stage0 import EVENT_NAMES, EVENTS, accepted_by, among, kept
from api.views import Reader
from domain.assessment import AssessmentPublished
from domain.corrections import EventVoided
from domain.envelope import Payload, Recorded
from domain.identifiers import digest
from domain.naming import REPLACED, SUPERSEDED
from projections.documents import document_key, slot_of

Event = Recorded[Payload]
AMENDING = (".amended.v1", ".revised.v1")
AT_ONCE = 500


class Corrections(Struct, frozen=True):
    """What events correct, and what corrects them, by sequence; only what is known by then."""

    corrects: dict[int, list[int]]
    corrected_by: dict[int, list[int]]


def corrections(replaying: Replaying, reader: Reader, events: Sequence[Event], known: int) -> Corrections:
    """The links of some accepted events to others up to a sequence."""
    found = Corrections({}, {})
    for begin in range(0, len(events), AT_ONCE):
        some = events[begin : begin + AT_ONCE]
        named = [one(reader, some, known) for one in (_replacing, _replaced, _superseding, _superseded)]
        for later, earlier in chain(_links(replaying, reader, some, known), *named):
            if later != earlier:
                found.corrects.setdefault(later, []).append(earlier)
                found.corrected_by.setdefault(earlier, []).append(later)
    for links in (found.corrects, found.corrected_by):
        links.update({sequence: sorted(set(linked)) for sequence, linked in links.items()})
    return found


def _links(
    replaying: Replaying, reader: Reader, events: Sequence[Event], known: int
) -> Iterator[tuple[int, int]]:
    said = [event for event in events if not isinstance(event.data, EventVoided)]
    documents = kept(reader, "documents", {digest(*document_key(e)) for e in said}, "statements")
    statements = [[one[0] for one in held if one[0] <= known] for (held,) in documents.values()]
    names = {e.sequence: digest(e.event.source, e.event.id) for e in events}
    named = {e.sequence: digest(e.data.source, e.data.id) for e in events if isinstance(e.data, EventVoided)}
    holders = kept(reader, "identities", {*names.values(), *named.values()}, "sequence", "voids")
    voids = [n for e in events for n in holders.get(names[e.sequence], (0, ()))[1]]
    targets = [holders[where][0] for where in named.values() if where in holders]
    sequences = {n for held in statements if len(held) > 1 for n in held}
    sequences |= {n for n in (*voids, *targets) if 0 < n <= known}
    there = {event.sequence: event for event in events}
    wanted = sorted(sequences - there.keys())
    there |= {event.sequence: event for event in recorded_events(replaying, reader, wanted)}
    for some in statements:
        if len(some) > 1:
            yield from restated([there[n] for n in sorted(some)])
    for event in events:
        for void in holders.get(names[event.sequence], (0, ()))[1]:
            if void in there and _reaches(there[void], event):
                yield void, event.sequence
        target = holders.get(named.get(event.sequence, 0), (0, ()))[0]
        if target in there and _reaches(event, there[target]):
            yield event.sequence, target


def _replacing(reader: Reader, events: Sequence[Event], known: int) -> Iterator[tuple[int, int]]:
    """Of these events those that replace one."""
    names = {e.sequence: [digest(*name) for name in _names(e.event.replaces or "")] for e in events}
    holders = kept(reader, "identities", {one for some in names.values() for one in some}, "sequence")
    about = _about(reader, {n for (n,) in holders.values() if 0 < n <= known})
    for event in events:
        found = [holders[one][0] for one in names[event.sequence] if one in holders]
        yield from ((event.sequence, n) for n in found if n in about and _may(_of(event), about[n]))


def _replaced(reader: Reader, events: Sequence[Event], known: int) -> Iterator[tuple[int, int]]:
    """Of these events those that one replaces."""
    by_name = {f"{e.event.source}#{e.event.id}": e for e in events}
    for name, later, _, *of in _naming(reader, REPLACED, by_name, known):
        if _may(tuple(of), _of(by_name[name])):
            yield later, by_name[name].sequence


def _superseding(reader: Reader, events: Sequence[Event], known: int) -> Iterator[tuple[int, int]]:
    """Of these events those whose document supersedes another."""
    older = {
        e.sequence: digest(*document_key(e)[:2], e.data.supersedes)
        for e in events
        if isinstance(e.data, AssessmentPublished) and e.data.supersedes is not None
    }
    documents = kept(reader, "documents", set(older.values()), "statements")
    for sequence, where in older.items():
        for (held,) in [documents[where]] if where in documents else []:
            yield from ((sequence, one[0]) for one in held if one[0] <= known)


def _superseded(reader: Reader, events: Sequence[Event], known: int) -> Iterator[tuple[int, int]]:
    """Of these events those whose document another supersedes."""
    by_document = {document_key(e): e for e in events}
    names = {name for _, _, name in by_document}
    for name, later, kind, _, dealer, _ in _naming(reader, SUPERSEDED, names, known):
        if (earlier := by_document.get((kind, dealer, name))) is not None:
            yield later, earlier.sequence


def _naming(reader: Reader, what: str, names: Iterable[str], known: int) -> Sequence[Any]:
    """The accepted events that name any of these: the name, and their sequence, kind, family, dealer and source."""
    column, named = EVENTS.c, EVENT_NAMES.c
    where = (named.sequence == column.sequence, named.what == what, named.name.in_(sorted(names)))
    columns = (named.name, column.sequence, column.kind, column.family, column.dealer, column.source)
    return reader.connection.execute(sa.select(*columns).where(*where, accepted_by(known))).all()


def _about(reader: Reader, sequences: Iterable[int]) -> dict[int, tuple[str, str, str]]:
    """Family, dealer and source of events."""
    column = EVENTS.c
    columns = (column.sequence, column.family, column.dealer, column.source)
    found = reader.connection.execute(sa.select(*columns).where(among(reader, sequences)))
    return {sequence: (family, dealer, source) for sequence, family, dealer, source in found}


def _of(event: Event) -> tuple[str, str, str]:
    return event.family, event.dealer, event.event.source


def _may(later: tuple[str, ...], earlier: tuple[str, ...]) -> bool:
    """Whether one may be issued anew for another: of the same family and dealer, as a void is, or by who sent it."""
    return later[:2] == earlier[:2] or later[2] == earlier[2]


def _names(said: str) -> Iterator[tuple[str, str]]:
    """What `source#id` may mean: either may have a # in it."""
    yield from ((said[:place], said[place + 1 :]) for place, one in enumerate(said) if one == "#")


def restated(statements: Iterable[Event]) -> Iterator[tuple[int, int]]:
    """Statements of one document, in the log's order: which speaks again of what another said, by claimed time."""
    standing: dict[tuple[Any, ...], Event] = {}
    first: Event | None = None
    for one in statements:
        slot = slot_of(one)
        other = standing.get(slot)
        if other is not None and one.time < other.time:  # told later, and older: the other stands
            yield other.sequence, one.sequence
            continue
        if other is None and one.type.endswith(AMENDING):
            other = first
        if other is not None:
            yield one.sequence, other.sequence
        standing[slot] = one
        first = one if first is None else first


def _reaches(void: Event, event: Event) -> bool:
    return (void.family, void.dealer) == (event.family, event.dealer)
