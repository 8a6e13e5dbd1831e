"""Tables as CSV that opens in a spreadsheet: UTF-8 with BOM, CRLF, and no cell that it would take for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from msgspec import Raw

from api.fields import Field, Shown

BOM = "\ufeff"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def sheet(fields: Sequence[Field], rows: Sequence[Mapping[str, Shown]]) -> bytes:
    """The rows under one line of field names."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([field.name for field in fields])
    for row in rows:
        writer.writerow([cell(field, row[field.name]) for field in fields])
    return (BOM + written.getvalue()).encode()


def cell(field: Field, value: Shown) -> str:
    """A value as a cell; a text that begins like a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    said = bytes(value).decode() if isinstance(value, Raw) else str(value)
    return "'" + said if field.kind in ("text", "json") and said.startswith(_FORMULA) else said
