"""Sums in the database, exact however large: where its integers end at 64 bits, numbers are added in two halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from infra.tables import POSTGRESQL
from infra.wide import BITS, MASK

Parts = list[sa.ColumnElement[Any]]  # a number: itself, or its upper and its lower half


def halves(dialect: str, number: sa.ColumnElement[Any], kind: str) -> Parts:
    """A stored number as what can be added up without an overflow, and compared; only decimals are ever wide."""
    if dialect == POSTGRESQL:
        return [number]
    if kind != "decimal":
        return [number.op(">>")(BITS), number.op("&")(MASK)]
    wide = sa.func.typeof(number) == sa.literal_column("'text'")
    return [
        sa.case((wide, sa.func.high_half(number)), else_=number.op(">>")(BITS)),
        sa.case((wide, sa.func.low_half(number)), else_=number.op("&")(MASK)),
    ]


def parted(dialect: str, number: int) -> Parts:
    """A number to be compared with the parts of those that are stored."""
    parts = [number] if dialect == POSTGRESQL else [number >> BITS, number & MASK]
    return [sa.literal(part, sa.types.NullType()) for part in parts]  # the driver knows how large each is


def added(parts: Parts, where: sa.ColumnElement[bool] | None = None) -> Parts:
    """The sums of a number's parts, over all rows of a group or over some."""
    meant = parts if where is None else [sa.case((where, part), else_=0) for part in parts]
    return [sa.func.coalesce(sa.func.sum(part), 0) for part in meant]


def minus(these: Parts, those: Parts) -> Parts:
    """The difference of two sums."""
    return [this - that for this, that in zip(these, those, strict=True)]


def sorting(parts: Parts) -> Parts:
    """What a sum is sorted by: the lower half carries into the upper."""
    if len(parts) == 1:
        return parts
    high, low = parts
    return [high + low.op(">>")(BITS), low.op("&")(MASK)]


def joined(dialect: str, parts: Sequence[Any]) -> list[int]:
    """The numbers that the parts of a row are."""
    found = [int(part) for part in parts]
    if dialect == POSTGRESQL:
        return found
    return [(high << BITS) + low for high, low in zip(found[::2], found[1::2], strict=True)]
