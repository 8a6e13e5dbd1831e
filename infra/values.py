"""One value of an event, from what the mapping gives for it to what the field's type wants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from domain.numbers import text
from infra.expressions import (
    Flaw,
    Resolve,
    Rows,
    Text,
    Unmappable,
    arithmetic,
    clock,
    reader,
    template,
)
from infra.mapping import Mapping, Valued, nearest, table_flaw, zone
from infra.shapes import LeafKind

Leaf = Callable[[Rows], object]  # None is left out
Moment = Callable[[Rows], datetime | None]
_TRUE = frozenset(("true", "t", "yes", "y", "1", "是"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "否"))


class Values:
    """Compiles values by the mapping's own ways with dates, numbers and aliases."""

    def __init__(self, mapping: Mapping, column: Resolve) -> None:
        self.mapping = mapping
        self.column = column
        self.numbers = mapping.numbers
        self._read_number = reader(mapping.numbers)

    def leaf(self, kind: LeafKind, given: object, name: str) -> Leaf:
        """A field's value: a text, a constant, or a table with `value`. Raises Flaw."""
        if not isinstance(given, dict):
            return self._converted(kind, self._raw(given), Valued(value=given), name)
        try:
            valued = msgspec.convert(given, Valued)
        except msgspec.ValidationError as error:
            raise Flaw(table_flaw(error).removeprefix("the top level: ")) from None
        if kind != "instant" and (valued.days or valued.format or valued.zone):
            raise Flaw("`days`, `format` and `zone` are for times")
        raw = self._raw(valued.value)
        if valued.map is not None:
            raw = self._mapped(raw, valued.map)
        found = self._converted(kind, raw, valued, name)
        if valued.or_ is None:
            return found
        other = self.leaf(kind, valued.or_, name)
        return lambda rows: value if (value := found(rows)) is not None else other(rows)

    def text(self, given: str) -> Text:
        """A key: a template, or arithmetic, whose canonical text makes 31.0 and 31 the same."""
        raw = self._raw(given)
        return lambda rows: _written(raw(rows))

    def moment(self, given: str) -> Moment:
        """A time to compare rows by."""
        read = clock(self.mapping.dates, zone(self.mapping.zone), 0)
        raw = template(given, self.column)
        return lambda rows: read(cell, given) if (cell := raw(rows)) else None

    def _raw(self, given: object) -> Leaf:
        match given:
            case str() if given.startswith("="):
                return arithmetic(given, self.column, self.numbers)
            case str():
                return template(given, self.column)
            case bool() | int() | Decimal() | date():
                return lambda rows: given
        raise Flaw(f"{given!r} is no value: a text, a number, true, false, a date, or a table with `value`")

    def _mapped(self, raw: Leaf, given: str | dict[str, Any]) -> Leaf:
        if isinstance(given, str):
            if given not in self.mapping.aliases:
                raise Flaw(f"no [aliases.{given}]. {nearest(given, self.mapping.aliases)}")
            name, words = f"[aliases.{given}]", self.mapping.aliases[given]
        else:
            name, words = "its `map`", given
        values = {word: self._raw(value) for word, value in words.items()}

        def look(rows: Rows) -> object:
            word = _written(raw(rows))
            if word == "":
                return ""
            if word not in values:
                raise Unmappable(f"a value is not in {name}", word)
            return values[word](rows)

        return look

    def _converted(self, kind: LeafKind, raw: Leaf, valued: Valued, name: str) -> Leaf:
        shown = valued.value if isinstance(valued.value, str) else name
        convert = self._converter(kind, valued, shown)

        def value(rows: Rows) -> object:
            found = raw(rows)
            return None if found is None or found == "" else convert(found)

        return value

    def _converter(self, kind: LeafKind, valued: Valued, shown: str) -> Callable[[object], object]:
        match kind:
            case "instant":
                formats = (valued.format,) if valued.format else self.mapping.dates
                local = zone(valued.zone or self.mapping.zone)
                read = clock(formats, local, valued.days)
                constant = clock(("iso",), local, valued.days)
                return lambda found: (
                    constant(found.isoformat(), shown) if isinstance(found, date) else read(str(found), shown)
                ).isoformat()
            case "decimal":
                return lambda found: text(self._number(found, shown))
            case "integer":
                return lambda found: _whole(self._number(found, shown), shown)
            case "boolean":
                return lambda found: found if isinstance(found, bool) else _truth(str(found), shown)
            case "text":
                return _written
        return lambda found: found if isinstance(found, bool | int) else _written(found)

    def _number(self, found: object, shown: str) -> Decimal:
        if isinstance(found, Decimal | int):
            return Decimal(found)
        return self._read_number(str(found), shown)


def _written(found: object) -> str:
    if found is None:
        return ""
    if isinstance(found, Decimal):
        return text(found)
    return found.isoformat() if isinstance(found, date | datetime) else str(found)


def _whole(value: Decimal, shown: str) -> int:
    if value != int(value):
        raise Unmappable(f"{shown} is not a whole number", text(value))
    return int(value)


def _truth(word: str, shown: str) -> bool:
    if word.lower() in _TRUE:
        return True
    if word.lower() in _FALSE:
        return False
    raise Unmappable(f"{shown} is neither true nor false", word)
