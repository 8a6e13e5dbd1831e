"""Which messages concern a dealer: its own, those of nobody with it in scope, and those of others that name it.

A dealer is named by its own id and by those of the places that it registered.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.bearing import LOCATION, of_others
from api.past import Replaying
from api.stage0 import EVENTS, accepted_by, among, kept, naming
from api.views import Reader
from domain.catalogue import Catalogue
from domain.identifiers import digest

Concern = Literal["own", "scope", "names"]

#: Fields of events that leave out all whom they do not name, where an event of nobody has them.
NARROWING = frozenset({"dealer", "dealers", "location", "to_location"})


class Concerning(Struct, frozen=True):
    """Where a dealer's history is in the index, which of it others published, and the dealer's places."""

    where: sa.ColumnElement[bool]
    others: frozenset[int]
    places: frozenset[str]

    def why(self, dealer: str, sequence: int) -> Concern:
        """Why a message is in the history: `dealer` is its own."""
        if sequence in self.others:
            return "names"
        return "own" if dealer else "scope"


def concerning(replaying: Replaying, reader: Reader, dealer: str, known: int) -> Concerning:
    """The messages up to a sequence that concern a dealer."""
    column = EVENTS.c
    places = frozenset({dealer, *registered(reader, dealer, known)})
    index = replaying.index(reader, known, most=sys.maxsize - 1)
    kinds = {entry.document for entry in replaying.catalogue.types.values()}
    bearing = among(reader, of_others(index, [dealer], places, kinds))
    others = sa.select(column.sequence).where(column.dealer.not_in([dealer, ""]), column.sequence <= known)
    named = frozenset(reader.connection.execute(others.where(sa.or_(naming(places), bearing))).scalars())
    left_out = list(_left_out(reader, replaying.catalogue, places, known))
    general = sa.and_(column.dealer == "", column.kind != "", sa.not_(among(reader, left_out)))
    concerned = sa.or_(column.dealer == dealer, general, among(reader, named))
    return Concerning(sa.and_(column.sequence <= known, concerned), named, places)


def registered(reader: Reader, dealer: str, known: int) -> list[str]:
    """The places that stand registered as a dealer's own at a sequence."""
    column = EVENTS.c
    where = (accepted_by(known), column.dealer == dealer, column.kind == LOCATION)
    documents = reader.connection.execute(sa.select(column.document).where(*where).distinct()).scalars().all()
    digests = {digest(LOCATION, dealer, name): name for name in documents}
    return sorted(
        digests[where]
        for where, (statements,) in kept(reader, "documents", digests, "statements").items()
        if any(said <= known and not sum(t <= known for t in toggles) % 2 for said, *toggles in statements)
    )


def _left_out(reader: Reader, catalogue: Catalogue, places: frozenset[str], known: int) -> Iterator[int]:
    """Messages of nobody about documents that only ever were about other dealers, and their voids."""
    column = EVENTS.c
    scoped = [name for name, entry in catalogue.types.items() if _scoped(entry.payload)]
    general = sa.and_(column.sequence <= known, column.dealer == "")
    said = sa.select(column.kind, column.document, column.body).where(general, column.type.in_(scoped))
    inside: dict[tuple[str, str], bool] = {}
    for kind, document, body in reader.connection.execute(said):
        narrowed = _narrowed(body)
        within = not narrowed or bool(places & narrowed)
        inside[kind, document] = inside.get((kind, document), False) or within
    others = {document for document, within in inside.items() if not within}
    gone: set[int] = set()
    kinds = sorted({kind for kind, _ in others})
    told = sa.select(column.sequence, column.kind, column.document).where(general, column.kind.in_(kinds))
    gone |= {sequence for sequence, *document in reader.connection.execute(told) if tuple(document) in others}
    yield from gone
    voids = sa.select(column.sequence, column.of).where(general, column.of != 0)
    yield from [sequence for sequence, of in reader.connection.execute(voids) if of in gone]


def _scoped(payload: type) -> bool:
    return bool({"scope", *NARROWING} & set(getattr(payload, "__struct_fields__", ())))


def _narrowed(body: str) -> set[str]:
    """The dealers and places that an event's data is narrowed to, however deep that says so."""
    found: set[str] = set()
    level: list[Any] = [msgspec.json.decode(body).get("data")] if body else []
    while level:
        one = level.pop()
        if isinstance(one, list):
            level.extend(one)
        elif isinstance(one, dict):
            for name, value in one.items():
                if name == "x":
                    continue
                if name in NARROWING:
                    said = value if isinstance(value, list) else [value]
                    found |= {text for text in said if isinstance(text, str)}
                level.append(value)
    return found
