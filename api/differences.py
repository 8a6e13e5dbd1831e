"""What differs between two states of a row, down to the items of the lists in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import chain, count
from typing import Any, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from api.fields import Field, decimal_text
from domain.numbers import EXACT, ZERO, text

Items = dict[str, dict[str, Any]]  # by what names an item: its fields


class Difference(Struct, frozen=True):
    """One field before and after. `difference` of numbers: what is null counts as nothing.

    `parts` of a list: of each item that differs, under what names it, its fields that do.
    """

    before: Any
    after: Any
    difference: str | int | None = None
    parts: dict[str, dict[str, Difference]] | UnsetType = UNSET


def changes_of(
    fields: Iterable[Field], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Difference]:
    """The fields that differ between two rows as they are stored."""
    found = {}
    for field in fields:
        old, new = before.get(field.name), after.get(field.name)
        if old == new:
            continue
        difference: str | int | None = None
        if field.kind == "decimal":
            difference = decimal_text(int(new or 0) - int(old or 0))
        elif field.kind == "integer":
            difference = (new or 0) - (old or 0)
        parts = _parts(items_of(field, old), items_of(field, new)) if numbers_of(field) is not None else UNSET
        found[field.name] = Difference(told(field, old), told(field, new), difference, parts)
    return found


def told(field: Field, stored: Any) -> Any:
    """A stored value as it is answered."""
    return None if stored is None else field.show(stored)


def flat(changes: Mapping[str, Difference]) -> Iterator[tuple[str, Difference]]:
    """Every difference under its name; those of a list one by one, under the names that lead to them."""
    for name, change in changes.items():
        if change.parts is UNSET:
            yield name, change
            continue
        for item, fields in change.parts.items():
            yield from ((f"{name}.{item}.{part}", one) for part, one in fields.items())


@cache
def numbers_of(field: Field) -> Mapping[str, type] | None:
    """Of a list whose items have names and fields: which of the fields are numbers; None of any other field."""
    of = next(iter(get_args(field.type)), None) if get_origin(field.type) is tuple else None
    if not (isinstance(of, type) and issubclass(of, Struct)):
        return None
    return {name: kind for name, kind in _kinds(of) if kind in (Decimal, int)}


def items_of(field: Field, said: str | Raw | None) -> Items:
    """The items of a list, from its JSON: each under its first text (else its first field), and what it says beside.

    Where two are called the same, the later is told apart by a number.
    """
    found: Items = {}
    if (numbers := numbers_of(field)) is None or said is None:
        return found
    naming = _naming(get_args(field.type)[0])
    for one in msgspec.json.decode(bytes(said) if isinstance(said, Raw) else said):
        called = str(one.pop(naming, ""))
        numbered = (f"{called} #{number}" for number in count(2))
        name = next(free for free in chain([called], numbered) if free not in found)
        fields = {
            key: Decimal(v) if numbers.get(key) is Decimal and v is not None else v for key, v in one.items()
        }
        found[name] = fields
    return found


def said_of(value: Any) -> Any:
    """A value within an item as it is answered."""
    return text(value) if isinstance(value, Decimal) else value


def is_number(value: Any) -> bool:
    """Whether a value within an item can be summed."""
    return isinstance(value, Decimal | int) and not isinstance(value, bool)


def _naming(item: type[Struct]) -> str:
    kinds = _kinds(item)
    return next((name for name, kind in kinds if kind is str), kinds[0][0])


@cache
def _kinds(item: type[Struct]) -> Sequence[tuple[str, type]]:
    """The fields of an item as JSON names them, and whether each is a text, a number, or anything else."""
    described = msgspec.inspect.type_info(item)
    assert isinstance(described, msgspec.inspect.StructType)
    return [(one.encode_name, _kind(one.type)) for one in described.fields]


def _kind(of: msgspec.inspect.Type) -> type:
    if isinstance(of, msgspec.inspect.Metadata):
        return _kind(of.type)
    if isinstance(of, msgspec.inspect.UnionType):
        return next((kind for kind in map(_kind, of.types) if kind is not object), object)
    known: dict[type, type] = {
        msgspec.inspect.StrType: str,
        msgspec.inspect.DecimalType: Decimal,
        msgspec.inspect.IntType: int,
    }
    return known.get(type(of), object)


def _parts(before: Items, after: Items) -> dict[str, dict[str, Difference]]:
    found = {}
    for item in {**after, **before}:
        old, new = before.get(item, {}), after.get(item, {})
        differing = {}
        for name in {**new, **old}:
            was, becomes = old.get(name), new.get(name)
            if was != becomes or (name in old) != (name in new):
                differing[name] = Difference(said_of(was), said_of(becomes), _difference(was, becomes))
        if differing:
            found[item] = differing
    return found


def _difference(before: Any, after: Any) -> str | int | None:
    if not (is_number(before) or is_number(after)):
        return None
    if isinstance(before, Decimal) or isinstance(after, Decimal):
        return text(EXACT.subtract(after or ZERO, before or ZERO))
    return int((after or 0) - (before or 0))
