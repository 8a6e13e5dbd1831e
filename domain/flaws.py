"""What is wrong with the JSON of an event, and where: types, rules, ids, members that nobody knows."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from domain.envelope import Envelope
from domain.identifiers import ID_BYTES_MAX, flaw


class Reason(Struct, frozen=True):
    """One thing that is wrong, and where: `field` is a path from the event's root."""

    field: str
    reason: str


def flaws(kind: Any, raw: Any, path: str) -> Iterator[Reason]:
    """Find every field of decoded JSON that does not fit a type, each under its own path."""
    struct, item = _shape(kind, raw)
    if struct is not None and isinstance(raw, dict):
        missing = False
        for field in msgspec.structs.fields(struct):
            where = f"{path}.{field.encode_name}" if path else field.encode_name
            if field.encode_name in raw:
                yield from flaws(field.type, raw[field.encode_name], where)
            elif field.required:
                missing = True
                yield Reason(where, "is missing")
        if not missing:
            yield from _post_init_flaw(struct, raw, path)
    elif item is not None and isinstance(raw, list):
        for number, value in enumerate(raw):
            yield from flaws(item, value, f"{path}[{number}]")
        if not raw:
            yield from _leaf_flaw(kind, raw, path)
    else:
        yield from _leaf_flaw(kind, raw, path)


def _leaf_flaw(kind: Any, raw: Any, path: str) -> Iterator[Reason]:
    try:
        msgspec.convert(raw, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        message, _, at = str(error).partition(" - at `")
        yield Reason(path + at.strip("$`"), message.replace("got `decimal`", "got `float`"))


def _post_init_flaw(struct: type[Struct], raw: dict[str, Any], path: str) -> Iterator[Reason]:
    """A rule of the Struct as a whole, where its fields by themselves are right."""
    if issubclass(struct, Envelope):
        return
    try:
        msgspec.convert(raw, struct)
    except (msgspec.ValidationError, RecursionError) as error:
        message, _, at = str(error).partition(" - at `")
        if not at and message.startswith("`"):
            field, _, rest = message[1:].partition("` ")
            yield Reason(f"{path}.{field}" if path else field, rest)


def _shape(kind: Any, raw: Any) -> tuple[type[Struct] | None, Any]:
    """What a type annotation holds: a Struct, or the items of a sequence, or neither.

    Of several Structs it is the one whose tag the JSON names.
    """
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        options = [found for option in get_args(kind) if (found := _shape(option, raw)) != (None, None)]
        if len(options) > 1:
            options = [(struct, None) for struct, _ in options if struct and _is_tagged(struct, raw)]
        if options:
            return options[0]
    elif origin in (tuple, list):
        return None, get_args(kind)[0]
    elif isinstance(kind, type) and issubclass(kind, Struct):
        return kind, None
    return None, None


def _is_tagged(struct: Any, raw: Any) -> bool:
    config = getattr(struct, "__struct_config__", None)
    return (
        config is not None
        and isinstance(raw, dict)
        and config.tag is not None
        and raw.get(config.tag_field) == config.tag
    )


#: Bytes of JSON that may be a control character, a surrogate, or the inside of a string that goes on.
_SUSPICIOUS = re.compile(rb'\x7f|\\(?:["bfnrt]|u00[01]|u007[fF]|u[dD][89a-fA-F])')


def ids_are_sound(body: bytes) -> bool:
    """Whether no string of a body could break the rules of ids, seen from its bytes alone: most can be."""
    if body.isascii() and b"\\" not in body and b"\x7f" not in body:
        return True
    return not _SUSPICIOUS.search(body) and max(map(len, body.split(b'"'))) <= ID_BYTES_MAX


def id_flaws(value: Struct, path: str) -> Iterator[Reason]:
    """Find every string in an event that no id may be: too many bytes, control characters."""
    for name, wire, is_id in _members(type(value)):
        found = getattr(value, name)
        if found:
            yield from _id_flaws_in(found, is_id, f"{path}.{wire}" if path else wire)


def _id_flaws_in(found: Any, is_id: bool, path: str) -> Iterator[Reason]:
    if isinstance(found, Struct):
        yield from id_flaws(found, path)
    elif isinstance(found, tuple):
        for number, item in enumerate(found):
            yield from _id_flaws_in(item, is_id, f"{path}[{number}]")
    elif isinstance(found, dict):
        for key, item in found.items():
            yield from _id_flaws_in(key, is_id, path)
            yield from _id_flaws_in(item, is_id, f"{path}.{key}")
    elif is_id and isinstance(found, str) and (reason := flaw(found)):
        yield Reason(path, reason)


def nul_flaws(event: Struct) -> Iterator[Reason]:
    """Find every text in an event that has a NUL, which PostgreSQL has no text for; free members (`x`) may."""
    level: list[tuple[str, Any]] = [("", event)]
    for path, value in level:  # not by calls: bodies of policies may be deep
        if isinstance(value, str):
            if "\x00" in value:
                yield Reason(path, "must not contain NUL")
        elif isinstance(value, tuple | list):
            level += [(f"{path}[{number}]", item) for number, item in enumerate(value)]
        elif isinstance(value, dict):
            level += [(path, name) for name in value]
            level += [(f"{path}.{name}", item) for name, item in value.items()]
        elif isinstance(value, Struct):
            members = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
            level += [
                (f"{path}.{wire}".lstrip("."), getattr(value, name)) for name, wire in members if wire != "x"
            ]


@functools.cache
def _members(struct: type[Struct]) -> tuple[tuple[str, str, bool], ...]:
    """Attribute, wire name and whether it holds ids, of the fields that ids can be in.

    Reflection at every event would cost a hundred times the decoding of a body that is not plain ASCII.
    """
    return tuple(
        (field.name, field.encode_name, _is_id(field.type))
        for field in msgspec.structs.fields(struct)
        if _is_id(field.type) or _holds_struct(field.type)
    )


def _holds_struct(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return True
    return any(
        _holds_struct(inner) for inner in (*get_args(kind), getattr(kind, "__origin__", None)) if inner
    )


def _is_id(kind: Any) -> bool:
    if any((meta.extra or {}).get("id") for meta in getattr(kind, "__metadata__", ())):
        return True
    return any(_is_id(inner) for inner in (*get_args(kind), getattr(kind, "__origin__", None)) if inner)


def unknown_members(kind: type[Struct], raw: Any) -> list[str]:
    """Name the members of a body that its type does not know, so that a misspelt field does not vanish."""
    return [path.removeprefix(".") for path in _struct_walk(kind)(raw)]


Walk = Callable[[Any], Sequence[str]]


def _walk(kind: Any) -> Walk | None:
    """What finds unknown members in the JSON of a type; None where the type has no members."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        walks = {option: walk for option in get_args(kind) if (walk := _walk(option)) is not None}
        if len(walks) < 2:
            return next(iter(walks.values()), None)
        return lambda raw: next((walk(raw) for option, walk in walks.items() if _is_tagged(option, raw)), ())
    if origin in (tuple, list):
        item = _walk(get_args(kind)[0])
        return None if item is None else functools.partial(_items, item)
    return _struct_walk(kind) if isinstance(kind, type) and issubclass(kind, Struct) else None


def _items(walk: Walk, raw: Any) -> Sequence[str]:
    if not isinstance(raw, list):
        return ()
    found: list[str] = []
    for number, value in enumerate(raw):
        if more := walk(value):
            found += [f"[{number}]{path}" for path in more]
    return found


@functools.cache
def _struct_walk(struct: type[Struct]) -> Walk:
    """Made once for a Struct: reflection costs 0.1 ms, and an event has a dozen of them."""
    walks = {field.encode_name: _walk(field.type) for field in msgspec.structs.fields(struct)}
    inner = [(name, walk) for name, walk in walks.items() if walk is not None]
    known = {*walks, struct.__struct_config__.tag_field}

    def walk(raw: Any) -> Sequence[str]:
        if not isinstance(raw, dict):
            return ()
        found = () if known.issuperset(raw) else tuple([f".{name}" for name in raw if name not in known])
        for name, within in inner:
            if name in raw and (more := within(raw[name])):
                found += tuple([f".{name}{path}" for path in more])
        return found

    return walk
