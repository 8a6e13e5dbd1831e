"""Which dealers and places an event names: what an index of the log is asked for by."""

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

#: Members of data that name a dealer, a place or an outlet; and `id`, that of a place.
NAMES = frozenset(
    {
        *("dealer", "dealers", "merged", "parent", "predecessor", "seller", "funder", "owner"),
        *("from", "to", "location", "to_location", "outlet", "scope", "id"),
    }
)


def names(data: Struct) -> set[str]:
    """The texts that an event's data has under these members, however deep; free members (`x`) name nothing."""
    found: set[str] = set()
    level: list[Any] = [data]
    while level:  # not by calls: bodies of policies may be deep
        said = level.pop()
        if isinstance(said, Struct):
            for attribute, is_name in _bearing(type(said)):
                value = getattr(said, attribute)
                if is_name:
                    _add(value, found)
                elif value is not None:
                    level.append(value)
        elif isinstance(said, tuple | list):
            level.extend(said)
        elif isinstance(said, dict):
            for name, value in said.items():
                if name in NAMES:
                    _add(value, found)
                level.append(value)
    return found


def _add(value: Any, found: set[str]) -> None:
    if type(value) is str:
        found.add(value)
    elif isinstance(value, tuple | list):
        found.update([one for one in value if type(one) is str])


@cache
def _bearing(kind: type[Struct]) -> tuple[tuple[str, bool], ...]:
    """The fields of a Struct that name something (True), or have parts that may."""
    found = []
    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        if _is_name(field):
            found.append((field.name, True))
        elif field.encode_name != "x" and _has_parts(field.type):
            found.append((field.name, False))
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
