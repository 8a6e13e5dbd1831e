"""The mapping file: in which tables and keys it says how the rows of an export become events."""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct, field

from domain.errors import QudaoError
from domain.identifiers import Id
from infra.expressions import ISO, Flaw, Numbers

Sign = Annotated[str, Meta(min_length=1, max_length=1)]
FileName = Annotated[str, Meta(min_length=1)]


class MappingError(QudaoError):
    """The mapping file asks for something that cannot be; the message names file, table and key."""

    code = "mapping"


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class FileOptions(_Table, frozen=True, kw_only=True):
    """Where one file differs from the others. `columns` names them where the file has no header."""

    encoding: str | None = None
    delimiter: Sign | None = None
    columns: tuple[str, ...] = ()
    skip: Annotated[int, Meta(ge=0)] = 0  # lines before the header


class Join(_Table, frozen=True, kw_only=True):
    """For each row the row of another file whose `key` equals `on`.

    With `next_by` it is the first of them that is later, by that time, than the row itself.
    """

    file: FileName
    on: str
    key: str
    next_by: str | None = None
    optional: bool = False


class Valued(_Table, frozen=True, kw_only=True):
    """A value that needs more than a text: a value map, a fallback, a date's own form."""

    value: Any
    map: str | dict[str, Any] | None = None
    or_: Any = field(name="or", default=None)
    days: int = 0
    format: str | None = None
    zone: str | None = None


class EventMapping(_Table, frozen=True, kw_only=True):
    """One type of event, made of the rows of one file: one of each row, or one of each group of rows."""

    type: str
    file: FileName
    id: str
    time: Any
    where: dict[str, Any] = {}
    group: str | None = None
    join: dict[str, Join] = {}
    data: dict[str, Any]


class Mapping(_Table, frozen=True, kw_only=True):
    """How the CSV files of one folder become events of one source."""

    source: Id
    zone: str | None = None
    encoding: str = "utf-8-sig"
    delimiter: Sign = ","
    dates: Annotated[tuple[str, ...], Meta(min_length=1)] = (ISO,)
    numbers: Numbers = Numbers()
    empty: tuple[str, ...] = ()  # what stands for an empty cell, as NULL
    files: dict[str, FileOptions] = {}
    aliases: dict[str, dict[str, Any]] = {}
    event: Annotated[tuple[EventMapping, ...], Meta(min_length=1)]


def read_mapping(path: Path) -> Mapping:
    """Read a mapping file. Raises MappingError, which names file, table and key of what is wrong."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise MappingError(f"the mapping file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(f"{path} is not TOML: {error}") from error
    try:
        mapping = msgspec.convert(raw, Mapping)
    except msgspec.ValidationError as error:
        raise MappingError(f"{path}: {table_flaw(error)}") from None
    try:
        zone(mapping.zone)
    except Flaw as flaw:
        raise MappingError(f"{path}: zone: {flaw}") from None
    _encoding(mapping.encoding, f"{path}: encoding")
    for name, options in mapping.files.items():
        _encoding(options.encoding, f'{path}: [files."{name}"] encoding')
    return mapping


def zone(name: str | None) -> ZoneInfo | None:
    """The zone of that IANA name. Raises Flaw."""
    try:
        return ZoneInfo(name) if name is not None else None
    except (OSError, ValueError, LookupError):
        raise Flaw(f"{name!r} is no IANA time zone, as Asia/Shanghai is") from None


def table_flaw(error: msgspec.ValidationError) -> str:
    """Say a flaw of a table in the words of TOML."""
    message, _, at = str(error).partition(" - at `")
    where = at.rstrip("`").removeprefix("$")
    counted = re.sub(r"^\.event\[([0-9]+)\]", lambda found: f"[[event]] no. {int(found[1]) + 1}", where)
    place = counted.strip(".") or "the top level"
    if found := re.match(r"Object contains unknown field `(.*)`", message):
        return f"{place}: unknown key `{found[1]}`"
    if found := re.match(r"Object missing required field `(.*)`", message):
        return f"{place}: the key `{found[1]}` is missing"
    return f"{place}: {message}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Which of the known names is meant, if one is near, and which there are."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}There are: {', '.join(names)}"


def _encoding(name: str | None, where: str) -> None:
    try:
        codecs.lookup(name or "utf-8")
    except LookupError:
        raise MappingError(f"{where}: {name!r} is no encoding, as utf-8, gb18030 and latin-1 are") from None
