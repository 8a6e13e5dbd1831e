"""Row types as database tables: columns, how a row is written and read, and the SQL of both dialects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from domain.calendar import EPOCH, from_microseconds, microseconds
from domain.numbers import ZERO, scaled, unscaled
from projections.rows import TABLES, Row, Table

SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Scaled(sa.types.TypeDecorator[Decimal]):
    """An exact decimal: millionths as a whole number; `infra.wide` has those beyond 64 bits in SQLite."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return sa.Numeric() if dialect.name == POSTGRESQL else super().load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else scaled(Decimal(value))

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else unscaled(int(value))


class Micros(sa.types.TypeDecorator[datetime]):
    """An instant: microseconds since 1970 UTC."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else from_microseconds(int(value))


class Text(sa.types.TypeDecorator[Any]):
    """A text, in the order of its bytes on every server, as folds, ranges and cursors have it."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return sa.Text(collation="C" if dialect.name == POSTGRESQL else None)


class Day(Text):
    """A business day as ISO text."""

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else value.isoformat()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else date.fromisoformat(value)


class Json(Text):
    """Anything else a row holds, as JSON text."""

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


# kind → (SQLAlchemy type, expression that writes a field `r.x`, reader of a stored value or None as it is)
_KINDS: dict[str, tuple[type[sa.types.TypeEngine[Any]], str, Callable[[Any], Any] | None]] = {
    "text": (Text, "{0}", None),
    "integer": (sa.BigInteger, "{0}", None),
    "boolean": (sa.Boolean, "{0}", bool),
    # Most figures of most rows are zero: sparing them the call is a third of writing a row.
    "decimal": (Scaled, "(scaled({0}) if {0} else 0)", lambda v: unscaled(int(v)) if v else ZERO),
    "instant": (Micros, "microseconds({0})", from_microseconds),
    "day": (Day, "{0}.isoformat()", date.fromisoformat),
    "json": (Json, "dumps({0})", msgspec.json.decode),
}
#: What PostgreSQL calls kinds of columns that are not text.
POSTGRESQL_TYPES = {"integer": "bigint", "decimal": "numeric", "instant": "bigint", "boolean": "boolean"}
_PYTHON = {str: "text", int: "integer", bool: "boolean", Decimal: "decimal", datetime: "instant", date: "day"}


class Column(Struct, frozen=True):
    """A field of a row as a column."""

    name: str
    kind: str
    nullable: bool
    type: Any


class Codec:
    """Writes rows of one type as values of the database, and reads them back."""

    def __init__(self, row: type[Row]) -> None:
        self.row = row
        self.table: Table = TABLES[row]
        self.columns = [_column(field.name, field.type) for field in msgspec.structs.fields(row)]
        self.key_width = len(self.table.key)
        self._key: Callable[[Row], Any] = attrgetter(*self.table.key)
        names = {"scaled": _scaled, "microseconds": _microseconds, "dumps": _dumps}
        # One generated function for a row type: a third of the time of a loop over converters.
        self.write: Callable[[Row], tuple[Any, ...]] = eval(
            f"lambda r: ({', '.join(_writer(c, f'r.{c.name}') for c in self.columns)},)", names
        )
        self.write_key: Callable[[tuple[Any, ...]], tuple[Any, ...]] = eval(
            "lambda k: ("
            + ", ".join(_writer(c, f"k[{i}]") for i, c in enumerate(self.columns[: self.key_width]))
            + ",)",
            names,
        )
        self._writers: list[Callable[[Any], Any]] = [
            eval(f"lambda v: {_writer(c, 'v')}", names) for c in self.columns
        ]
        self._places = {c.name: number for number, c in enumerate(self.columns)}
        self._readers = [(i, _reader(c)) for i, c in enumerate(self.columns) if _reader(c) is not None]

    def write_key_part(self, part: tuple[Any, ...]) -> list[Any]:
        """The first fields of a key as stored values."""
        return [write(value) for write, value in zip(self._writers, part, strict=False)]

    def write_field(self, name: str, value: Any) -> Any:
        """One field's value as it is stored; None stays None."""
        return None if value is None else self._writers[self._places[name]](value)

    def read_field(self, name: str, stored: Any) -> Any:
        """What a stored value of one field stands for."""
        reader = None if stored is None else _reader(self.columns[self._places[name]])
        return stored if reader is None else reader(stored)

    def read(self, values: Sequence[Any]) -> Row:
        held = list(values)
        for number, reader in self._readers:
            if held[number] is not None:
                assert reader is not None
                held[number] = reader(held[number])
        return self.row(*held)

    def defaults(self) -> tuple[Any, ...]:
        """What is stored of a row that says nothing, beside its key."""
        blank = {
            "text": "",
            "integer": 0,
            "boolean": False,
            "decimal": ZERO,
            "instant": EPOCH,
            "day": EPOCH.date(),
        }
        key = [blank.get(column.kind) for column in self.columns[: self.key_width]]
        return self.write(self.row(*key))[self.key_width :]

    def key(self, row: Row) -> tuple[Any, ...]:
        return self._key(row) if self.key_width > 1 else (self._key(row),)

    def schema(self, name: str, metadata: sa.MetaData) -> sa.Table:
        """The SQLAlchemy table of this row type under a physical name."""
        key = self.table.key
        return sa.Table(
            name,
            metadata,
            *[
                sa.Column(
                    c.name,
                    _KINDS[c.kind][0](),
                    primary_key=c.name in key,
                    nullable=c.nullable,
                    autoincrement=False,
                )
                for c in self.columns
            ],
            *[
                index
                for number, fields in enumerate(self.table.indexes)
                for index in self._indexes(f"{name}_{number}", fields)
            ],
            # A text key clusters the table; a sequence is the row id itself.
            sqlite_with_rowid=key == ("sequence",),
        )

    def _indexes(self, name: str, fields: Sequence[str]) -> Iterator[sa.Index]:
        """An index as each dialect has it: read backwards, the newest come first and what has no value last."""
        nullable = {column.name for column in self.columns if column.nullable}
        nulls_first: list[Any] = [
            sa.nulls_first(sa.literal_column(f'"{field}"')) if field in nullable else field
            for field in fields
        ]
        yield sa.Index(name, *fields).ddl_if(dialect=SQLITE)
        yield sa.Index(name, *nulls_first).ddl_if(dialect=POSTGRESQL)


@cache
def codec_of(row: type[Row]) -> Codec:
    """The codec of a row type, made once: what it generates costs a millisecond."""
    return Codec(row)


# Rows say the same again and again: a quantity of many lines, an instant of every row of one event.
_scaled = lru_cache(16_384)(scaled)
_microseconds = lru_cache(16_384)(microseconds)


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _column(name: str, annotation: Any) -> Column:
    nullable = False
    kind: Any = annotation
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    if get_origin(kind) in (Union, UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        nullable = len(options) < len(get_args(kind))
        kind = options[0] if len(options) == 1 else object
        while hasattr(kind, "__metadata__"):
            kind = kind.__origin__
    return Column(name, _PYTHON.get(kind, "json"), nullable, annotation)


def _writer(column: Column, value: str) -> str:
    expression = _KINDS[column.kind][1].format(value)
    if column.nullable and expression != value:
        return f"None if {value} is None else {expression}"
    return expression


def _reader(column: Column) -> Callable[[Any], Any] | None:
    if column.kind == "json":
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(column.type)
        return decoder.decode
    return _KINDS[column.kind][2]
