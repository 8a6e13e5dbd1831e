"""Fields of views: how a stored value is shown, how a filter is read, what a field is in JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from domain.calendar import EPOCH, from_microseconds, in_zone, microseconds
from domain.numbers import scaled
from infra.tables import Column

Stored = str | int | bool | None
Shown = str | int | bool | Raw | None

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_INTEGER = re.compile(r"-?\d{1,19}")
MILLION = 1_000_000
CURSOR_TYPES: dict[str, type] = {
    "text": str,
    "integer": int,
    "boolean": bool,
    "decimal": Decimal,
    "instant": int,
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "decimal": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "format": "decimal"},
    "instant": {"type": "string", "format": "date-time"},
    "day": {"type": "string", "format": "date"},
}


class Field(Struct, frozen=True):
    """One field of a view, by the kind of its column."""

    name: str
    kind: str
    nullable: bool
    type: Any

    @property
    def cursor_type(self) -> type:
        """What a cursor has of it; Decimal stands for a whole number that may be beyond 64 bits."""
        return CURSOR_TYPES.get(self.kind, str)

    @property
    def numeric(self) -> bool:
        """Whether it can be summed, and stands to the right in a table."""
        return self.kind in ("integer", "decimal")

    @property
    def show(self) -> Callable[[Any], Shown]:
        """What turns a stored value that is not null into its JSON value."""
        return _SHOW[self.kind]

    def read(self, said: str) -> Stored:
        """Read a value of a query or an address as it is stored. Raises ValueError saying what it must be."""
        if "\x00" in said:
            raise ValueError("must not contain NUL")
        return _READ[self.kind](said)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what `show` gives."""
        if self.kind == "json":
            schema = msgspec.json.schema(self.type, ref_template="#/components/schemas/{name}")
            return {name: value for name, value in schema.items() if name != "$defs"}
        schema = _SCHEMAS[self.kind]
        return {**schema, "type": [schema["type"], "null"]} if self.nullable else schema


def field_of(column: Column) -> Field:
    """The field that a column of a row type is."""
    return Field(column.name, column.kind, column.nullable, column.type)


def decimal_text(stored: int | str) -> str:
    """The canonical text of a stored decimal, as `numbers.text` writes it; a page has hundreds of them."""
    millionths = int(stored)
    whole, part = divmod(abs(millionths), MILLION)
    sign = "-" if millionths < 0 else ""
    return f"{sign}{whole}.{part:06}".rstrip("0") if part else f"{sign}{whole}"


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond where there are any."""
    found = in_zone(instant, UTC).isoformat()
    return found.replace("+00:00", "Z") if found.endswith("+00:00") else found


def stored_instant_text(stored: int) -> str:
    """The same of a stored instant."""
    return from_microseconds(stored).isoformat()[:-6] + "Z"


def read_instant(said: str, instead: str = "") -> datetime:
    """Read RFC 3339 with an offset; a `+` that a query made a space is a `+` again.

    Raises ValueError, which says what may be said `instead`, too.
    """
    said = said.replace(" ", "+")
    if not _INSTANT.fullmatch(said):
        raise ValueError(f"must be an instant such as 2026-05-01T08:00:00Z{instead}")
    try:
        instant = datetime.fromisoformat(said.upper())
        return EPOCH + (instant - EPOCH)  # in UTC, and within what UTC can say
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is no instant: {error}") from None


def read_integer(said: str) -> int:
    """Read a 64-bit integer. Raises ValueError."""
    if not _INTEGER.fullmatch(said) or not -(2**63) <= int(said) < 2**63:
        raise ValueError("must be a whole number of at most 64 bits")
    return int(said)


def _read_boolean(said: str) -> bool:
    if said not in ("true", "false"):
        raise ValueError("must be true or false")
    return said == "true"


def _read_decimal(said: str) -> int:
    try:
        return scaled(Decimal(said))
    except (ArithmeticError, ValueError):  # no number, not a finite one, or none that a figure can be
        raise ValueError("must be a decimal such as 12.50, below 10^22 and of 6 places at most") from None


def _read_day(said: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", said):
        raise ValueError("must be a day such as 2026-05-01")
    return date.fromisoformat(said).isoformat()


def _unfiltered(said: str) -> Stored:
    raise ValueError("cannot be filtered or sorted by")


_SHOW: dict[str, Callable[[Any], Shown]] = {
    "text": str,
    "integer": int,
    "boolean": bool,
    "decimal": decimal_text,
    "instant": stored_instant_text,
    "day": str,
    "json": lambda value: Raw(value.encode()),
}
_READ: dict[str, Callable[[str], Stored]] = {
    "text": str,
    "integer": read_integer,
    "boolean": _read_boolean,
    "decimal": _read_decimal,
    "instant": lambda said: microseconds(read_instant(said)),
    "day": _read_day,
    "json": _unfiltered,
}
