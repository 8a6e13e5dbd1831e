"""What an event names, which an index is asked by: dealers, places, representatives, territories, what it corrects."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    DictType,
    Field,
    ListType,
    Metadata,
    SetType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
)

from domain.envelope import Envelope
from domain.identifiers import ID_BYTES_MAX

OTHER, REP, TERRITORY, PROMOTION = "", "rep", "territory", "promotion"
REPLACED, SUPERSEDED = (
    "replaced",
    "superseded",
)  # an event as `source#id`, a document of the same dealer and kind

#: Members of data that name one of these, or something else: a dealer, a place (`id`), an outlet, a parent.
NAMES = {
    **dict.fromkeys(
        ("dealer", "dealers", "merged", "parent", "predecessor", "seller", "funder", "owner"), OTHER
    ),
    **dict.fromkeys(("from", "to", "location", "to_location", "outlet", "scope", "id"), OTHER),
    **{"rep": REP, "territory": TERRITORY, "territories": TERRITORY, "promotion": PROMOTION},
    "supersedes": SUPERSEDED,
}

Named = tuple[str, str]  # what it is, its id


def names(event: Envelope) -> set[Named]:
    """What an event replaces, and the texts its data has under these members, however deep.

    Free members (`x`) name nothing, and no text that is too long for an id does.
    """
    found: set[Named] = {(REPLACED, event.replaces)} if event.replaces is not None else set()
    level: list[Any] = [event.data]
    while level:  # not by calls: bodies of policies may be deep
        said = level.pop()
        if isinstance(said, Struct):
            for attribute, what in _bearing(type(said)):
                value = getattr(said, attribute)
                if what is not None:
                    _add(what, value, found)
                elif value is not None:
                    level.append(value)
        elif isinstance(said, tuple | list):
            level.extend(said)
        elif isinstance(said, dict):
            for name, value in said.items():
                if name in NAMES:
                    _add(NAMES[name], value, found)
                level.append(value)
    return found


def _add(what: str, value: Any, found: set[Named]) -> None:
    texts = value if isinstance(value, tuple | list) else (value,)
    found.update([(what, one) for one in texts if type(one) is str and len(one.encode()) <= ID_BYTES_MAX])


@cache
def _bearing(struct: type[Struct]) -> tuple[tuple[str, str | None], ...]:
    """The fields of a Struct that name something, and what, or (None) have parts that may."""
    found: list[tuple[str, str | None]] = []
    for field in msgspec.inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        if _is_name(field):
            found.append((field.name, NAMES[field.encode_name]))
        elif field.encode_name != "x" and _has_parts(field.type):
            found.append((field.name, None))
    return tuple(found)


def _is_name(field: Field) -> bool:
    return field.encode_name in NAMES and any(isinstance(one, StrType) for one in _flat(field.type))


def _has_parts(type: Type) -> bool:
    flat = _flat(type)
    return any(
        isinstance(one, DictType) or (isinstance(one, StructType) and _bearing(one.cls)) for one in flat
    )


def _flat(type: Type) -> list[Type]:
    """A type, those of its alternatives, and those of its items."""
    if isinstance(type, Metadata):
        return _flat(type.type)
    if isinstance(type, UnionType):
        return [one for alternative in type.types for one in _flat(alternative)]
    if isinstance(type, ListType | SetType | VarTupleType):
        return _flat(type.item_type)
    return [type]
