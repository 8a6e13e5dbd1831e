"""Which accepted events bear on what is asked: all that can write to the rows of some dealers, or of some places."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.stage0 import EVENTS, SAID, DocumentKey, Index, among, kept, naming
from api.whose import TARGET, Whose
from domain.calendar import microseconds
from domain.catalogue import BY_PAYLOAD, TYPES
from domain.corrections import EventVoided
from domain.dealers import DealerMerged
from domain.deliveries import DeliveryDispatched
from domain.envelope import Payload, Recorded
from domain.identifiers import digest
from domain.orders import OrderPlaced
from domain.plans import LocationRegistered
from projections.documents import document_key
from projections.projection import Projection
from projections.replay import Replay
from projections.rows import MemoryRows

AT_ONCE = 100
MERGED, DISPATCHED = BY_PAYLOAD[DealerMerged].name, BY_PAYLOAD[DeliveryDispatched].name
VOID, DEALER, ORDER, DELIVERY, LOCATION = [
    BY_PAYLOAD[one].document
    for one in (EventVoided, DealerMerged, OrderPlaced, DeliveryDispatched, LocationRegistered)
]


class Folded(Struct, frozen=True):
    """What folds the events: the projections, and what else a view makes of them.

    `across` are the kinds whose documents bear on rows of the view whosever they are; with `odd`, the dealers' own
    events count that nothing folds, because they may be flagged. With `valid_at`, what was not true by then changes
    nothing.
    """

    projections: Sequence[Projection]
    valid_at: datetime | None = None
    across: frozenset[str] = frozenset()
    odd: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset[str]().union(*[one.kinds for one in self.projections])

    @property
    def by_name(self) -> frozenset[str]:
        return frozenset[str]().union(*[one.by_name for one in self.projections])

    @property
    def general(self) -> frozenset[str]:
        """The kinds whose documents, where they are of nobody, may bear on anybody."""
        return frozenset[str]().union(*[one.kinds - one.by_name for one in self.projections])


def bearing(index: Index, folded: Folded, whose: Whose) -> list[Recorded[Payload]]:
    """The events that are folded into the rows of some, in the order of the log. Raises TooManyError.

    They are the dealers' own, the master data of nobody, and the documents of others that name one of them or of
    their places; always with everything that was said of a document, and all that withdraws it. So their number does
    not grow with what others do elsewhere.
    """
    column = EVENTS.c
    where: sa.ColumnElement[bool] = column.kind.in_([*sorted(folded.kinds), VOID])
    if not whose.everybody:
        dealers = whose.dealers or whose.places
        own = column.dealer.in_(sorted(dealers))
        if whose.places:
            named, kinds = whose.places, folded.kinds
        else:
            named, kinds = dealers | ever_registered(index, dealers) | whose.targets, folded.by_name
        found = _of_nobody(index, folded.general) | _of_kinds(index, folded.across)
        found |= of_others(index, dealers, named, kinds | (folded.kinds & {DEALER}))
        # A dealer's place may bear the id of another dealer, whose own documents are about it without naming it.
        alike = column.kind.in_(sorted(kinds)), column.dealer.in_(sorted(named - dealers))
        found |= index.statements(index.documents(*alike))
        found |= _a_delivery(index, folded.valid_at) if DELIVERY in folded.kinds else set()
        found |= index.statements(one for one in whose.documents if one[0] in folded.kinds)
        where = sa.or_(
            own if folded.odd else sa.and_(own, where), among(index.reader, index.with_voids(found))
        )
    elif folded.odd:
        where = sa.true()
    return [index.read(*row) for row in index.few(SAID.where(where).order_by(column.sequence))]


def ever_registered(index: Index, dealers: Iterable[str]) -> set[str]:
    """The places that were ever said to be the dealers' own."""
    where = (EVENTS.c.dealer.in_(sorted(dealers)), EVENTS.c.kind == LOCATION)
    return {location for _, _, location in index.documents(*where)}


def _of_nobody(index: Index, kinds: Collection[str]) -> set[int]:
    """What may bear on anybody: products, territories, policies."""
    types = [
        entry.name for entry in TYPES.values() if entry.document in kinds and _can_be_of_nobody(entry.payload)
    ]
    return index.sequences(EVENTS.c.type.in_(types), EVENTS.c.dealer == "") if types else set()


@cache
def _can_be_of_nobody(payload: type[Payload]) -> bool:
    return all(field.name != "dealer" or not field.required for field in msgspec.structs.fields(payload))


def _of_kinds(index: Index, kinds: Collection[str]) -> set[int]:
    types = [entry.name for entry in TYPES.values() if entry.document in kinds]
    return index.sequences(EVENTS.c.type.in_(types)) if types else set()


def of_others(
    index: Index, dealers: Collection[str], places: Collection[str], kinds: Collection[str]
) -> set[int]:
    """What others, or nobody, said that bears on dealers or on places: whole documents, of these kinds."""
    found = _others_naming(index, dealers, places, kinds) | _voided(index, dealers)
    if DEALER in kinds:
        found |= _staying(index, dealers)
    if {ORDER, DELIVERY} <= set(kinds):
        found |= _delivered_for(index, dealers, places)
    return index.with_voids(found)


def _others_naming(
    index: Index, dealers: Collection[str], places: Collection[str], kinds: Collection[str]
) -> set[int]:
    """Documents of which a statement names one of the places, or a target found so."""
    column = EVENTS.c
    others = sa.and_(column.kind.in_(sorted(kinds)), column.dealer.not_in(sorted(dealers)))
    found, names = set[DocumentKey](), places
    while names:
        new = index.documents(others, naming(names)) - found
        found |= new
        names = {name for kind, _, name in new if kind == TARGET}  # its row sums what names it as a parent
    return index.statements(found)


def _voided(index: Index, dealers: Collection[str]) -> set[int]:
    """Events that voids of the dealers name: where they are others', it is flagged."""
    where = (EVENTS.c.dealer.in_(sorted(dealers)), EVENTS.c.kind == VOID)
    bodies = index.few(sa.select(EVENTS.c.body).where(*where))
    named = [msgspec.json.decode(body)["data"] for (body,) in bodies]
    digests = {digest(data["source"], data["id"]) for data in named}
    return {sequence for (sequence,) in kept(index.reader, "identities", digests, "sequence").values()}


def _staying(index: Index, dealers: Collection[str]) -> set[int]:
    """What is said of dealers that the asked ones were merged into: mergers are told of those that stay."""
    remaining = index.dealers(EVENTS.c.type == MERGED, naming(dealers))
    return index.sequences(EVENTS.c.dealer.in_(sorted(remaining)), EVENTS.c.kind == DEALER)


def _delivered_for(index: Index, dealers: Collection[str], places: Collection[str]) -> set[int]:
    """What was delivered of orders that name one of the places: it takes off what is on order there, unnamed."""
    column = EVENTS.c
    others = column.dealer.not_in(sorted(dealers))
    orders = {
        (dealer, name) for _, dealer, name in index.documents(column.kind == ORDER, naming(places), others)
    }
    ordering = sorted({dealer for dealer, _ in orders})
    delivered = (
        index.at(index.sequences(column.dealer.in_(ordering), column.kind == DELIVERY)) if ordering else []
    )
    of = {
        document_key(event)
        for event in delivered
        if (event.dealer, getattr(event.data, "order", None)) in orders
    }
    return index.statements(of)


def _a_delivery(index: Index, valid_at: datetime | None) -> set[int]:
    """Deliveries of anybody's, nearly always one: whether a sale is an order or a delivery depends on there being any.

    After each event of the log one of them had left with something if any delivery had: so they go on until one has
    that nothing took back, and none began before it did.
    """
    column, run = EVENTS.c, index.reader.connection.execute
    said = sa.select(column.sequence, column.dealer, column.document)
    said = said.where(index.taken, column.type == DISPATCHED).order_by(column.sequence)
    if valid_at is not None:
        said = said.where(column.effective <= microseconds(valid_at))
    found, reached, limit, enough = set[int](), 0, 1, sys.maxsize
    while some := run(said.where(column.sequence > reached).limit(limit)).fetchall():
        documents = dict[DocumentKey, int]()
        for sequence, dealer, name in some:
            documents.setdefault((DELIVERY, dealer, name), sequence)
        spans = _loaded(index.at(index.with_voids(index.statements(documents))), valid_at)
        for document, sequence in documents.items():
            if sequence > enough:
                return index.with_voids(found)
            if (span := spans.get(document)) is not None:
                found |= index.statements([document])
                since, stays = span
                enough = min(enough, since) if stays else enough
        reached, limit = some[-1].sequence, AT_ONCE
        if reached >= enough:
            break
    return index.with_voids(found)


def _loaded(
    said: Iterable[Recorded[Payload]], valid_at: datetime | None
) -> dict[DocumentKey, tuple[int, bool]]:
    """The deliveries that ever had left with something: since which sequence, and whether nothing took it back."""
    replay, found = Replay(MemoryRows(), valid_at), dict[DocumentKey, tuple[int, bool]]()
    for event in said:
        if (change := replay.take(event)) is None:
            continue
        sent = change.after.one(DeliveryDispatched) if change.after is not None else None
        loaded = sent is not None and any(line.quantity for line in sent.data.lines)
        if change.document.key in found:
            since, stays = found[change.document.key]
            found[change.document.key] = since, stays and loaded
        elif loaded:
            found[change.document.key] = event.sequence, True
    return found
