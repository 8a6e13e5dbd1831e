"""Rows as PostgreSQL reads them fastest: an array for each column, in the text that its arrays have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from infra.tables import POSTGRESQL_TYPES

_NUMBERS = ("integer", "decimal", "instant")


def unnested(kinds: Iterable[str]) -> str:
    """SQL that makes rows again of the parameters that `arrays` gives."""
    types = [POSTGRESQL_TYPES.get(kind, "text") for kind in kinds]
    return f"unnest({', '.join([f'%s::{type}[]' for type in types])})"


def arrays(kinds: Iterable[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Rows, of which there is one at least, as one parameter for each column.

    The driver would look at every value to find out its type; a column's kind says it of all of them.
    """
    return [_array(kind, values) for kind, values in zip(kinds, zip(*rows, strict=True), strict=True)]


def _array(kind: str, values: tuple[Any, ...]) -> str:
    if kind == "boolean":
        said = ",".join(["NULL" if value is None else "t" if value else "f" for value in values])
    elif kind not in _NUMBERS:
        said = ",".join(map(_text, values))
    elif None in values:
        said = ",".join(["NULL" if value is None else str(value) for value in values])
    else:
        said = str(list(values))[1:-1]  # one call for all of them
    return f"{{{said}}}"


def _text(value: str | None) -> str:
    if value is None:
        return "NULL"
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
