"""What a field of an event can hold, as far as a mapping file must know it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from msgspec import Struct

from infra.expressions import Flaw

LeafKind = Literal["text", "decimal", "integer", "boolean", "instant", "any"]
_LEAVES: dict[object, LeafKind] = {
    str: "text",
    Decimal: "decimal",
    int: "integer",
    bool: "boolean",
    datetime: "instant",
}


class Shape(Struct, frozen=True):
    """A list of `item`, an object of one of `structs`, free members of `values`, or else a leaf."""

    leaf: LeafKind = "any"
    item: Shape | None = None
    structs: tuple[type[Struct], ...] = ()
    values: Shape | None = None


def shape(kind: Any) -> Shape:
    """Read a type annotation of an event's Struct."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    origin = get_origin(kind)
    options = [option for option in get_args(kind) if option is not type(None)]
    if origin in (Union, UnionType):
        shapes = [shape(option) for option in options]
        if len(shapes) == 1:
            return shapes[0]
        return Shape(structs=tuple(struct for one in shapes for struct in one.structs))
    if origin in (tuple, list):
        return Shape(item=shape(options[0]))
    if origin is dict:
        return Shape(values=shape(options[1]))
    if origin is Literal:
        return Shape(leaf="text")
    if isinstance(kind, type) and issubclass(kind, Struct):
        return Shape(structs=(kind,))
    return Shape(leaf=_LEAVES.get(kind, "any"))


def struct_named(structs: tuple[type[Struct], ...], given: dict[str, Any]) -> type[Struct]:
    """Of several Structs the one whose tag the table gives. Raises Flaw, which names the tags."""
    if len(structs) == 1:
        return structs[0]
    tag_field = structs[0].__struct_config__.tag_field or "kind"
    for struct in structs:
        if struct.__struct_config__.tag == given.get(tag_field):
            return struct
    tags = ", ".join(str(struct.__struct_config__.tag) for struct in structs)
    raise Flaw(f"`{tag_field}` must be one of these words: {tags}")
