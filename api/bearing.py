"""Which accepted events bear on what is asked: all that can write to the rows of some dealers, or of some places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.query import Query
from api.views import Reader
from domain.catalogue import BY_PAYLOAD, TYPES
from domain.corrections import EventVoided
from domain.dealers import DealerMerged
from domain.deliveries import DeliveryDispatched
from domain.identifiers import digest
from domain.orders import OrderPlaced
from domain.plans import LocationRegistered
from infra.database import LIVE, STOPPED, Position
from infra.positions import INDEX
from infra.tables import POSTGRESQL, SQLITE
from projections.events import EventName, EventRow
from projections.projection import Projection

EVENTS_MAX = 20_000  # that are folded for one answer: about two seconds
MERGED, DISPATCHED = BY_PAYLOAD[DealerMerged].name, BY_PAYLOAD[DeliveryDispatched].name
VOID, DEALER, ORDER, DELIVERY, LOCATION = [
    BY_PAYLOAD[one].document
    for one in (EventVoided, DealerMerged, OrderPlaced, DeliveryDispatched, LocationRegistered)
]

EVENTS = sa.table("events", *[sa.column(name) for name in EventRow.__struct_fields__])
EVENT_NAMES = sa.table("event_names", *[sa.column(name) for name in EventName.__struct_fields__])
#: What an accepted event is read from.
SAID = sa.select(*[EVENTS.c[name] for name in ("sequence", "recorded", "family", "dealer", "body")])


class TooManyError(Exception):
    """More events bear on a question than are folded for one answer."""


class Scope(Struct, frozen=True):
    """Whose rows are asked for: those of dealers, or of places. Where neither is named: anybody's."""

    dealers: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()

    @classmethod
    def of(cls, query: Query) -> Scope:
        """By the filters of a query; rows of nobody may be anybody's doing."""
        dealers, places = [
            frozenset(map(str, query.filters.get(name, ()))) for name in ("dealer", "location")
        ]
        if "" in dealers or (not dealers and "" in places):
            return cls()
        return cls(dealers) if dealers else cls(places=places)


class BearingEvents:
    """The events up to a sequence that projections fold into the rows of a scope.

    They are the dealers' own, the master data of nobody, and the documents of others that name one of the places;
    always with everything that was said of a document, and all that withdraws it. So their number does not grow
    with what others do elsewhere.
    """

    def __init__(self, reader: Reader, projections: Sequence[Projection], scope: Scope, known: int) -> None:
        self._reader = reader
        self._taken = accepted_by(known)
        self._known = known
        self._kinds = frozenset[str]().union(*[one.kinds for one in projections])
        self._naming = frozenset[str]().union(*[one.naming for one in projections])
        self._of_all = frozenset[str]().union(*[one.kinds - one.naming for one in projections])
        self._dealers, self._places = scope.dealers, scope.places
        if self._places:
            self._naming = self._kinds
            self._dealers = self._places
        elif self._dealers:
            self._places = self._dealers | locations_of(reader, self._dealers, known)

    def rows(self, *, odd: bool) -> Sequence[Any]:
        """What these events are read from, in order. `odd`: of the dealers' own also those that nothing folds, for
        their flags.
        """
        statement = SAID.where(self._taken, *self._conditions(odd)).order_by(EVENTS.c.sequence)
        return self._few(statement)

    def _conditions(self, odd: bool) -> Iterator[sa.ColumnElement[bool]]:
        column = EVENTS.c
        folded = column.kind.in_([*sorted(self._kinds), VOID])
        if self._dealers:
            own = column.dealer.in_(sorted(self._dealers))
            others = self._with_voids(
                self._of_nobody() | self._of_others() | self._voided() | self._a_delivery()
            )
            bearing = [own if odd else sa.and_(own, folded), among(self._reader, others)]
            yield sa.or_(*bearing, *self._staying(), *self._delivering())
        elif not odd:
            yield folded

    def _of_nobody(self) -> set[int]:
        """What may bear on anybody: products, territories, policies."""
        types = [one.name for one in TYPES.values() if one.document in self._of_all and one.of_nobody]
        return self._sequences(EVENTS.c.type.in_(types), EVENTS.c.dealer == "") if types else set()

    def _of_others(self) -> set[int]:
        """Every statement of the documents of others, and of nobody, of which one names a place."""
        column = EVENTS.c
        others = column.dealer.not_in(sorted(self._dealers))
        where = (events_naming(self._places), column.kind.in_(sorted(self._naming)), others)
        documents = self._select([column.kind, column.dealer, column.document], *where)
        return self._statements(documents)

    def _voided(self) -> set[int]:
        """Events of others that voids of the dealers name: it is flagged that those withdraw what is not theirs."""
        where = (EVENTS.c.dealer.in_(sorted(self._dealers)), EVENTS.c.kind == VOID)
        named = [msgspec.json.decode(body)["data"] for (body,) in self._select([EVENTS.c.body], *where)]
        digests = {digest(data["source"], data["id"]) for data in named}
        return {sequence for (sequence,) in kept(self._reader, "identities", "sequence", digests).values()}

    def _a_delivery(self) -> set[int]:
        """One delivery of anybody's: whether a sale is an order or a delivery depends on there being any at all.

        The first that nothing withdraws; where all were withdrawn, all of them.
        """
        column = EVENTS.c
        said = sa.select(column.sequence, column.source, column.id, column.dealer, column.document)
        said = said.where(self._taken, column.type == DISPATCHED).order_by(column.sequence).limit(100)
        withdrawn: list[tuple[str, str, str]] = []
        reached = 0
        while DELIVERY in self._kinds:
            some = self._reader.connection.execute(said.where(column.sequence > reached)).fetchall()
            held = kept(self._reader, "identities", "voids", {digest(row.source, row.id) for row in some})
            for row in some:
                document, voids = (DELIVERY, row.dealer, row.document), held[digest(row.source, row.id)][0]
                if not any(void <= self._known for void in voids):
                    return self._statements([document])
                withdrawn.append(document)
            if not some:
                break
            reached = some[-1].sequence
        return self._statements(withdrawn)

    def _staying(self) -> Iterator[sa.ColumnElement[bool]]:
        """What is said of dealers that the asked ones were merged into: mergers are told of those that stay."""
        column = EVENTS.c
        where = (column.type == MERGED, events_naming(self._dealers))
        if remaining := {dealer for (dealer,) in self._select([column.dealer], *where)} - self._dealers:
            yield sa.and_(column.dealer.in_(sorted(remaining)), column.kind.in_((DEALER, VOID)))

    def _delivering(self) -> Iterator[sa.ColumnElement[bool]]:
        """What others deliver who ordered for one of the places: it takes off what is on order there, unnamed."""
        column = EVENTS.c
        if {ORDER, DELIVERY} <= self._naming:
            where = (column.kind == ORDER, events_naming(self._places))
            if ordering := {dealer for (dealer,) in self._select([column.dealer], *where)} - self._dealers:
                yield sa.and_(column.dealer.in_(sorted(ordering)), column.kind.in_((DELIVERY, VOID)))

    def _with_voids(self, sequences: set[int]) -> set[int]:
        """Events with the voids that name them, those that name these, and so on."""
        found: set[int] = set()
        while sequences:
            found |= sequences
            column = EVENTS.c
            names = self._select([column.source, column.id], among(self._reader, sequences))
            held = kept(self._reader, "identities", "voids", {digest(*name) for name in names})
            sequences = {void for (voids,) in held.values() for void in voids} - found
        return found

    def _statements(self, documents: Iterable[Sequence[str]]) -> set[int]:
        held = kept(self._reader, "documents", "statements", {digest(*document) for document in documents})
        return {sequence for (statements,) in held.values() for sequence, *_ in statements}

    def _sequences(self, *where: sa.ColumnElement[bool]) -> set[int]:
        return {sequence for (sequence,) in self._select([EVENTS.c.sequence], *where)}

    def _select(
        self, asked: Sequence[sa.ColumnElement[Any]], *where: sa.ColumnElement[bool]
    ) -> Sequence[Any]:
        return self._few(sa.select(*asked).where(self._taken, *where).distinct())

    def _few(self, statement: sa.Select[Any]) -> Sequence[Any]:
        found = self._reader.connection.execute(statement.limit(EVENTS_MAX + 1)).fetchall()
        if len(found) > EVENTS_MAX:
            raise TooManyError(f"more than {EVENTS_MAX} events bear on it")
        return found


def accepted_by(known: int) -> sa.ColumnElement[bool]:
    """Which events are accepted, up to a sequence."""
    return sa.and_(EVENTS.c.status == "accepted", EVENTS.c.sequence <= known)


def locations_of(reader: Reader, dealers: Iterable[str], known: int) -> set[str]:
    """The places that are registered as the dealers' own."""
    where = (accepted_by(known), EVENTS.c.dealer.in_(sorted(dealers)), EVENTS.c.kind == LOCATION)
    return set(reader.connection.execute(sa.select(EVENTS.c.document).where(*where).distinct()).scalars())


def events_naming(ids: Iterable[str]) -> sa.ColumnElement[bool]:
    """Which events name any of these ids beside their own dealer."""
    named = sa.select(EVENT_NAMES.c.sequence).where(EVENT_NAMES.c.name.in_(sorted(ids)))
    return EVENTS.c.sequence.in_(named)


def among(reader: Reader, sequences: Iterable[int]) -> sa.ColumnElement[bool]:
    """Which events are at these sequences, however many they are."""
    each = {
        SQLITE: "value FROM json_each(:among)",
        POSTGRESQL: "CAST(CAST(value AS text) AS bigint) AS value FROM json_array_elements(CAST(:among AS json))",
    }
    given = sa.text(f"SELECT {each[reader.connection.dialect.name]}")
    given = given.bindparams(
        sa.bindparam("among", msgspec.json.encode(sorted(sequences)).decode(), unique=True)
    )
    return EVENTS.c.sequence.in_(given.columns(sa.column("value")))


def kept(reader: Reader, table: str, fields: str, digests: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """What stage 0 keeps under digests, in the version that serves; read from JSON where it is that."""
    names = fields.split(", ")
    [version] = [position.version for position in reader.positions if serves_index(position)]
    source = sa.table(f"{table}__{version}", *[sa.column(name) for name in ("digest", *names)])
    asked = sa.select(*[source.c[name] for name in ("digest", *names)])
    found = reader.connection.execute(asked.where(source.c.digest.in_(list(digests))))
    return {
        where: tuple([msgspec.json.decode(v or "[]") if isinstance(v, str) else v for v in values])
        for where, *values in found
    }


def serves_index(position: Position) -> bool:
    """Whether a position is that of the index which is read."""
    return position.projection == INDEX and position.status in (LIVE, STOPPED)
