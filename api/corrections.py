"""Which event corrects which: restatements, amendments and voids of one document, both ways, by sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from api.past import Replaying, recorded_events
from api.stage0 import kept
from api.views import Reader
from domain.corrections import EventVoided
from domain.envelope import Payload, Recorded
from domain.identifiers import digest
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
        for later, earlier in _links(replaying, reader, some, known):
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


def restated(statements: Iterable[Event]) -> Iterator[tuple[int, int]]:
    """Statements of one document, in the log's order: the later that speaks again of what an earlier one said."""
    last: dict[tuple[Any, ...], int] = {}
    first: int | None = None
    for one in statements:
        slot = slot_of(one)
        if (earlier := last.get(slot, first if one.type.endswith(AMENDING) else None)) is not None:
            yield one.sequence, earlier
        last[slot] = one.sequence
        first = one.sequence if first is None else first


def _reaches(void: Event, event: Event) -> bool:
    return (void.family, void.dealer) == (event.family, event.dealer)
