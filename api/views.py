"""What can be asked: one view for every name that row types are shown under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from api.fields import Field, Stored, field_of
from domain.identifiers import NO_DEALER, escape, unescape
from infra.database import Position
from infra.definitions import made_of
from infra.tables import codec_of
from projections.events import EventName, EventRow, Rejection
from projections.projection import Computed, Projection
from projections.rows import TABLES, Row

#: Names of the addresses that are no views; a view may not be called so.
FIXED_PATHS = (
    "asyncapi.json",
    "commands",
    "docs",
    "events",
    "health",
    "metrics",
    "openapi.json",
    "problems",
    "receipts",
    "schemas",
)


#: The table that says which territory is part of which, and the field by which a view says where.
TERRITORIES, TERRITORY, PARENT = "territories", "territory", "parent"


class Reader(Struct, frozen=True):
    """One moment of the database: its rows and its positions, in one read transaction.

    `tried` are policies that were put in, and are in no event.
    """

    connection: sa.Connection
    positions: Sequence[Position]
    tried: Sequence[str] = ()


class View(Struct, frozen=True):
    """One name people ask under: fields, key, and the projections whose positions it is as current as."""

    name: str
    title: str
    about: str
    row: type[Row]
    fields: Mapping[str, Field]
    key: tuple[str, ...]
    appears: str
    projections: frozenset[str]
    source: sa.FromClause
    computed: Computed | None = None
    period: str = ""  # the field that a range is asked by
    tree: frozenset[str] = (
        frozenset()
    )  # where it can be asked `under` a territory: whose positions that brings in
    across: frozenset[str] = (
        frozenset()
    )  # kinds of document that bear on rows of other dealers than their own
    coarser: View | None = None  # the same figures under fewer keys
    leads: Mapping[str, str] = {}  # the fields that name a row of another view, and which view

    @property
    def shown(self) -> list[Field]:
        return list(self.fields.values())

    @property
    def explained(self) -> bool:
        """Whether its rows are folded from events; those that list what arrived are not."""
        return self.row not in (EventRow, Rejection, EventName)

    @property
    def always_computed(self) -> bool:
        """Whether there is nothing stored to read."""
        return self.computed is not None and self.computed.always

    @property
    def follows(self) -> str:
        """The field that `after` speaks of: a key that is a sequence of the log, or nothing."""
        return "sequence" if self.key == ("sequence",) else ""

    def address(self, key: Iterable[Stored]) -> str:
        """The path of a row, from its key as stored."""
        return "/".join(("", self.name, *map(token, self.key_texts(key))))

    def key_texts(self, key: Iterable[Stored]) -> list[str]:
        fields = [self.fields[name] for name in self.key]
        return [str(field.show(value)) for field, value in zip(fields, key, strict=True)]


def token(said: str) -> str:
    """A key's text as one segment of an address; an empty one is `_`, as in the subjects of the log."""
    return escape(said) if said else NO_DEALER


def untoken(segment: str) -> str:
    """Read a segment back. Raises ValueError where `token` could not have written it."""
    return "" if segment == NO_DEALER else unescape(segment)


def views_of(projections: Sequence[Projection], others: Mapping[str, Iterable[type[Row]]]) -> dict[str, View]:
    """Every view by name, from projections and from `others`: name of a position → row types that go with it."""
    owners = {row: frozenset({p.name}) for p in projections for row in p.rows}
    owners |= {row: frozenset({name}) for name, rows in others.items() for row in rows}
    stored = dict(owners)
    for projection in projections:
        for row in projection.views:
            entry = TABLES[row]
            made = made_of(entry.name) if entry.sql else frozenset[str]()
            of = [owner for one, owner in stored.items() if TABLES[one].view in made]
            owners[row] = frozenset().union(*of) or frozenset({projection.name, *projection.reads})
    computed = {TABLES[way.row].view: way for p in projections for way in p.computed}
    named: dict[str, list[type[Row]]] = {}
    for row in owners:
        named.setdefault(TABLES[row].view, []).append(row)
    found = {
        name: _view(name, rows, frozenset().union(*[owners[row] for row in rows]), computed.get(name))
        for name, rows in sorted(named.items())
    }
    tree = found[TERRITORIES].projections if TERRITORIES in found else frozenset()
    for name, view in found.items():
        coarser = found.get(TABLES[view.row].coarser)
        under = tree if TERRITORY in view.fields else frozenset()
        leads = {
            field: other.name for other in found.values() for field in other.key if _names(field, other, view)
        }
        found[name] = msgspec.structs.replace(view, tree=under, coarser=coarser, leads=leads)
    return found


def plural(name: str) -> str:
    """What a view of such rows is called."""
    return name.removesuffix("y") + "ies" if name.endswith("y") else f"{name}s"


def _names(field: str, other: View, view: View) -> bool:
    """Whether a field of a view names rows of another, which is called after it."""
    called = other.name == plural(field) or (field, other.name) == ("sku", "products")
    if field == "target" and "kind" in view.fields:  # whatever a representative is assigned to
        return False
    return called and other.key == (field,) and other.name != view.name and field in view.fields


def _view(name: str, rows: list[type[Row]], owners: frozenset[str], computed: Computed | None) -> View:
    first, *more = rows
    fields = {column.name: field_of(column) for column in codec_of(first).columns}
    for row in more:
        if {column.name: field_of(column) for column in codec_of(row).columns} != fields:
            raise ValueError(
                f"{row.__name__} and {first.__name__} share the view {name} but not their fields"
            )
    shared = first if not more else first.__mro__[1]
    about = (shared.__doc__ or first.__doc__ or "").strip()
    entry = TABLES[first]
    ranged = entry.period and fields[entry.period].kind in ("day", "instant")
    return View(
        name=name,
        title=shared.__name__,
        about=about,
        row=first,
        fields=fields,
        key=entry.key,
        appears=entry.appears,
        projections=owners,
        source=sa.table(name, *[sa.column(field) for field in fields]),
        computed=computed,
        period=entry.period if ranged else "",
        across=frozenset().union(*[TABLES[row].across for row in rows]),
    )
