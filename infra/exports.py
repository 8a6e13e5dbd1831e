"""The CSV files of an export: their columns, their rows, and rows of one looked up for another."""

from __future__ import annotations

import bisect
import csv
from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter
from pathlib import Path, PurePath
from typing import TextIO

from domain.calendar import EPOCH
from infra.assembly import JoinPlan, Table
from infra.expressions import Cells, Rows, Unmappable
from infra.mapping import FileOptions, Mapping, MappingError, nearest

DEFAULTS = FileOptions()
Row = tuple[int, Cells, Unmappable | None]


class Export:
    """The folder that a mapping is about."""

    def __init__(self, mapping: Mapping, folder: Path) -> None:
        self._mapping = mapping
        self._folder = folder
        self._empty = frozenset(mapping.empty)

    def headers(self) -> dict[str, list[str]]:
        """The columns of every file the mapping names. Raises MappingError where one is not there."""
        events = self._mapping.event
        files = [event.file for event in events]
        files += [join.file for event in events for join in event.join.values()]
        return {file: self._header(file) for file in dict.fromkeys(files)}

    def rows(self, table: Table) -> Iterator[Row]:
        """Each row's number, its wanted cells, and what is wrong with it.

        The header is row 1, as in a spreadsheet. A broken row comes with as many cells as could be read.
        """
        encoding = self._options(table.file).encoding or self._mapping.encoding
        wanted, width = table.wanted, len(table.header)
        with self._open(table.file) as lines:
            for number, cells, flaw in self._records(table.file, lines):
                if not any(cells) and flaw is None:
                    continue
                if len(cells) != width:
                    if flaw is None and (len(cells) < width or any(cells[width:])):
                        flaw = Unmappable(
                            f"the row has not as many cells as the header, {width}", str(len(cells))
                        )
                    cells = (cells + [""] * width)[:width]
                if flaw is None and not _decoded(cells):
                    flaw = Unmappable(f"the row is not {encoding}: set `encoding`")
                yield number, [self._cell(cells[index]) for index in wanted], flaw

    def index(self, plan: JoinPlan) -> Index:
        """Load a join's file: its wanted columns stay in memory."""
        return Index(plan, ([cells] for _, cells, flaw in self.rows(plan.table) if flaw is None))

    def _cell(self, cell: str) -> str:
        plain = cell.strip()  # exports of fixed-width columns pad their cells
        return "" if plain in self._empty else plain

    def _options(self, file: str) -> FileOptions:
        return self._mapping.files.get(file, DEFAULTS)

    def _header(self, file: str) -> list[str]:
        if given := self._options(file).columns:
            with self._open(file):
                return list(given)
        with self._open(file) as lines:
            found = next(self._reader(file, lines), None)
        if not found:
            raise MappingError(f"{self._folder / file} has no header: give its columns in [files.{file!r}]")
        return [name.strip() for name in found]

    def _records(self, file: str, lines: TextIO) -> Iterator[tuple[int, list[str], Unmappable | None]]:
        options = self._options(file)
        reader = self._reader(file, lines)
        number = options.skip
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, [], Unmappable("the row cannot be read as CSV", str(error))
                continue
            if number > options.skip + 1 or options.columns:
                yield number, cells, None

    def _reader(self, file: str, lines: TextIO) -> Iterator[list[str]]:
        options = self._options(file)
        for _ in range(options.skip):
            lines.readline()
        return csv.reader(lines, delimiter=options.delimiter or self._mapping.delimiter, strict=True)

    def _open(self, file: str) -> TextIO:
        path = self._folder / file
        if PurePath(file).is_absolute() or ".." in PurePath(file).parts:
            raise MappingError(f"the file {file!r} must lie in the folder of the export")
        encoding = self._options(file).encoding or self._mapping.encoding
        try:
            return path.open(encoding=encoding, errors="surrogateescape", newline="")
        except FileNotFoundError:
            files = sorted(found.name for found in self._folder.glob("*") if found.is_file())
            hint = nearest(file, files) if files else "That folder has no files"
            raise MappingError(f"there is no file {path}. {hint}") from None
        except OSError as error:
            raise MappingError(f"{path} cannot be read: {error.strerror}") from error


class Index:
    """A join's rows by their key."""

    def __init__(self, plan: JoinPlan, found: Iterator[list[Cells]]) -> None:
        self._plan = plan
        self._by_key: dict[str, list[tuple[datetime, Cells]]] = {}
        self._blank = [""] * len(plan.table.wanted)
        for rows in found:
            try:
                key = plan.key(rows)
                when = plan.own_time(rows) if plan.own_time else EPOCH
            except Unmappable:
                continue  # whoever needs this row will miss it, and say so
            same = self._by_key.setdefault(key, [])
            if key and when is not None and (when, rows[0]) not in same:
                same.append((when, rows[0]))
        for same in self._by_key.values():
            same.sort(key=itemgetter(0))

    def find(self, rows: Rows) -> Cells | Unmappable:
        """The row that belongs to this one, blank where an optional one is missing, or why there is none."""
        plan = self._plan
        try:
            key = plan.on(rows)
            same = self._by_key.get(key, [])
            if plan.row_time:
                same = _next(same, plan.row_time(rows))
        except Unmappable as reason:
            return reason
        if len(same) == 1:
            return same[0][1]
        where = f"join.{plan.name}: {plan.table.file} has"
        if same:
            return Unmappable(f"{where} several different rows for a key", key)
        if plan.optional:
            return self._blank
        return Unmappable(f"{where} no{' later' if plan.row_time else ''} row for a key", key)


def _next(same: list[tuple[datetime, Cells]], now: datetime | None) -> list[tuple[datetime, Cells]]:
    """The rows of the first time after `now`."""
    if now is None:
        return []
    at = bisect.bisect_right(same, now, key=itemgetter(0))
    return [entry for entry in same[at:] if entry[0] == same[at][0]]


def _decoded(cells: list[str]) -> bool:
    text = "".join(cells)
    return text.isascii() or not any("\udc80" <= sign <= "\udcff" for sign in text)
