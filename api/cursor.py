"""Where a page ended, as an opaque word: the order it was in, and the last row's place in that order."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal

import msgspec

from api.problems import Problem

Value = str | int | bool | None
# SQLite compares a decimal in halves, of which the upper has 64 bits.
_END: dict[type, int] = {int: 2**63, Decimal: 2**95}


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a page: `order` is the sort it was found by, `last` its values there, as stored."""

    order: str
    last: list[Value]


def write(cursor: Cursor) -> str:
    """The cursor as base64url without padding."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read(word: str, order: str, kinds: list[type]) -> Cursor:
    """Read back what `write` wrote for the same order; anything else is a bad_cursor problem."""
    try:
        raw = base64.b64decode(word.encode("ascii") + b"=" * (-len(word) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(raw, type=Cursor)
    except (binascii.Error, UnicodeError, msgspec.DecodeError, RecursionError):
        raise _bad("was not given by this service") from None
    if cursor.order != order:
        raise _bad(f"belongs to the order {cursor.order!r}, not to {order!r}")
    if len(cursor.last) != len(kinds) or not all(map(_fits, cursor.last, kinds)):
        raise _bad("was not given by this view")
    return cursor


def _fits(value: Value, kind: type) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    if isinstance(value, int):
        return kind in _END and -_END[kind] <= value < _END[kind]
    return kind is str and "\x00" not in value


def _bad(reason: str) -> Problem:
    return Problem("bad_cursor", f"cursor {reason}: begin again without it", [("cursor", reason)])
