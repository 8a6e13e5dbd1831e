"""Two tables that should say the same, walked through together in key order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import asdict

from domain.numbers import text
from infra.sql import quoted
from infra.tables import SQLITE, Codec, codec_of
from infra.wide import whole
from projections.rows import Row

SHOWN_MAX = 20
FETCHED = 1000


class Difference(Struct, frozen=True):
    """One field that is not what the log says; a row that is only on one side has no field."""

    table: str
    key: tuple[Any, ...]
    field: str
    live: Any
    refolded: Any


class Compared(Struct):
    """One table: its rows, and how many of them differ."""

    table: str
    rows: int = 0
    changed: int = 0  # in both, not alike
    missing: int = 0  # the log has it, the live table has not
    extra: int = 0  # the live table has it, the log has not

    @property
    def different(self) -> int:
        return self.changed + self.missing + self.extra


class Columns(Struct, frozen=True):
    """A table as it is compared: its columns, the first of which are its key."""

    names: tuple[str, ...]
    key_width: int
    texts: tuple[bool, ...]
    codec: Codec | None = None

    def shown(self, values: Sequence[Any]) -> list[Any]:
        """A row's values as people know them: decimals, instants; as stored where they cannot be read."""
        if self.codec is None:
            return list(values)
        try:
            row = asdict(self.codec.read(values))
        except (ValueError, TypeError, ArithmeticError, msgspec.MsgspecError):
            return list(values)
        return [_shown(row[name]) for name in self.names]


def _shown(value: object) -> Any:
    return text(value) if isinstance(value, Decimal) else msgspec.to_builtins(value)


def columns_of(row: type[Row]) -> Columns:
    codec = codec_of(row)
    key = codec.columns[: codec.key_width]
    return Columns(
        tuple(c.name for c in codec.columns), len(key), tuple(c.kind in ("text", "day") for c in key), codec
    )


def stored_rows(
    connection: sa.Connection, dialect: str, table: str, columns: Columns
) -> Iterator[tuple[Any, ...]]:
    """Stored values in key order, which is the same in both dialects: texts by their bytes."""
    bytewise = "" if dialect == SQLITE else ' COLLATE "C"'
    order = ", ".join(
        f'"{name}"{bytewise if text else ""}'
        for name, text in zip(columns.names, columns.texts, strict=False)
    )
    found = connection.exec_driver_sql(
        f"SELECT {quoted(columns.names)} FROM {table} ORDER BY {order}",
        execution_options={"yield_per": FETCHED},
    )
    for part in found.partitions(FETCHED):
        yield from map(tuple, part)


def _before(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether a key comes before another; SQLite keeps what does not fit a column as it is, and sorts it by kind."""
    try:
        return one < other  # type: ignore[operator, no-any-return]
    except TypeError:
        return [_by_kind(value) for value in one] < [_by_kind(value) for value in other]


def _by_kind(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    return (2, value) if isinstance(value, str) else (3, value) if isinstance(value, bytes) else (1, value)


def compare_table(
    name: str,
    live: Iterator[tuple[Any, ...]],
    refolded: Iterator[tuple[Any, ...]],
    columns: Columns,
    differences: list[Difference],
) -> Compared:
    """Walk through both in key order; nothing but one row of each is held."""
    width = columns.key_width
    found = Compared(name)
    left, right = next(live, None), next(refolded, None)
    while left is not None or right is not None:
        if right is None or (left is not None and _before(left[:width], right[:width])):
            assert left is not None
            found.rows += 1
            found.extra += 1
            _note(differences, name, columns, left, None)
            left = next(live, None)
        elif left is None or _before(right[:width], left[:width]):
            found.missing += 1
            _note(differences, name, columns, None, right)
            right = next(refolded, None)
        else:
            found.rows += 1
            # SQLite has large figures as texts.
            if left != right and [*map(whole, left)] != [*map(whole, right)]:
                found.changed += 1
                _note(differences, name, columns, left, right)
            left, right = next(live, None), next(refolded, None)
    return found


def _note(
    differences: list[Difference],
    table: str,
    columns: Columns,
    left: tuple[Any, ...] | None,
    right: tuple[Any, ...] | None,
) -> None:
    if len(differences) >= SHOWN_MAX:
        return
    live = columns.shown(left) if left is not None else None
    refolded = columns.shown(right) if right is not None else None
    key = tuple((live or refolded or [])[: columns.key_width])
    if live is None or refolded is None:
        rest = (live or refolded or [])[columns.key_width :]
        said = dict(zip(columns.names[columns.key_width :], rest, strict=True))
        differences.append(
            Difference(
                table, key, "", said if live is not None else None, said if refolded is not None else None
            )
        )
        return
    for name, mine, theirs, stored, other in zip(
        columns.names, live, refolded, left or (), right or (), strict=True
    ):
        if stored != other:
            differences.append(Difference(table, key, name, mine, theirs))
