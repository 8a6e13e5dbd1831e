"""Which messages concern a dealer: its own, those of nobody with it in scope, and those of others that name it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.past import EVENTS, events_naming
from api.views import Reader
from domain.catalogue import Catalogue
from infra.tables import POSTGRESQL, SQLITE

Concern = Literal["own", "scope", "names"]

#: Fields of events that say which dealer, or which place of a dealer.
NAMING = frozenset(
    {
        *("dealer", "dealers", "merged", "parent", "predecessor", "seller", "funder"),
        *("owner", "from", "to", "location", "to_location", "scope"),
    }
)
#: Of these, those that leave other dealers out where an event of nobody has them.
NARROWING = frozenset({"dealer", "dealers", "location", "to_location"})


class Concerning(Struct, frozen=True):
    """Where a dealer's history is in the index, and whose events name it."""

    where: sa.ColumnElement[bool]
    naming: frozenset[int]
    namers: frozenset[str]

    def why(self, dealer: str, sequence: int) -> Concern:
        """Why a message is in the history: `dealer` is its own."""
        if sequence in self.naming:
            return "names"
        return "own" if dealer else "scope"


def concerning(reader: Reader, catalogue: Catalogue, dealer: str, known: int) -> Concerning:
    """The messages up to a sequence that concern a dealer."""
    column = EVENTS.c
    naming, namers = set(), set()
    others = sa.and_(column.sequence <= known, column.dealer.not_in([dealer, ""]))
    said = sa.select(column.sequence, column.dealer, column.body).where(others, events_naming([dealer]))
    for sequence, namer, body in reader.connection.execute(said):
        if dealer in _named(body, NAMING):
            naming.add(sequence)
            namers.add(namer)
    left_out = list(_left_out(reader, catalogue, dealer, known))
    general = sa.and_(column.dealer == "", column.kind != "", sa.not_(_among(reader, left_out)))
    concerned = sa.or_(column.dealer == dealer, general, _among(reader, sorted(naming)))
    return Concerning(
        sa.and_(column.sequence <= known, concerned), frozenset(naming), frozenset(namers - {dealer})
    )


def _left_out(reader: Reader, catalogue: Catalogue, dealer: str, known: int) -> Iterator[int]:
    """Messages of nobody about documents that only ever were about other dealers, and their voids."""
    column = EVENTS.c
    scoped = [name for name, entry in catalogue.types.items() if _scoped(entry.payload)]
    general = sa.and_(column.sequence <= known, column.dealer == "")
    said = sa.select(column.kind, column.document, column.body).where(general, column.type.in_(scoped))
    inside: dict[tuple[str, str], bool] = {}
    for kind, document, body in reader.connection.execute(said):
        named = _named(body, NARROWING)
        inside[kind, document] = inside.get((kind, document), False) or not named or dealer in named
    others = {document for document, within in inside.items() if not within}
    gone: set[int] = set()
    kinds = sorted({kind for kind, _ in others})
    told = sa.select(column.sequence, column.kind, column.document).where(general, column.kind.in_(kinds))
    gone |= {sequence for sequence, *document in reader.connection.execute(told) if tuple(document) in others}
    yield from gone
    voids = sa.select(column.sequence, column.of).where(general, column.of != 0)
    yield from [sequence for sequence, of in reader.connection.execute(voids) if of in gone]


def _among(reader: Reader, sequences: list[int]) -> sa.ColumnElement[bool]:
    """The messages at these sequences, however many they are."""
    each = {
        SQLITE: "value FROM json_each(:among)",
        POSTGRESQL: "CAST(CAST(value AS text) AS bigint) AS value FROM json_array_elements(CAST(:among AS json))",
    }
    given = sa.text(f"SELECT {each[reader.connection.dialect.name]}")
    given = given.bindparams(sa.bindparam("among", msgspec.json.encode(sequences).decode(), unique=True))
    return EVENTS.c.sequence.in_(given.columns(sa.column("value")))


def _scoped(payload: type) -> bool:
    return bool({"scope", *NARROWING} & set(getattr(payload, "__struct_fields__", ())))


def _named(body: str, fields: frozenset[str]) -> set[str]:
    """The texts that an event's data has under any of these names, however deep."""
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
                if name in fields:
                    said = value if isinstance(value, list) else [value]
                    found |= {text for text in said if isinstance(text, str)}
                level.append(value)
    return found
