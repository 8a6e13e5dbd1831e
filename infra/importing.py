"""Importing an export: every row becomes part of an event in the log, or is named in the report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from domain.catalogue import Catalogue, Rejected
from domain.errors import QudaoError
from domain.identifiers import digest
from infra.append import Outgoing, Receipt, message_id
from infra.assembly import EventPlan, compile_mapping
from infra.exports import Export, Index
from infra.expressions import Cells, Rows, Unmappable
from infra.mapping import read_mapping

BATCH_MAX = 500
GROUP_ROWS_MAX = 10_000  # an event of more would be far too large for the log
REASONS_MAX = 100
ROWS_SHOWN = 5
OTHER = "(other reasons)"


class ImportStoppedError(QudaoError):
    """The log did not take all events of an import."""

    code = "import_stopped"


class Log(Protocol):
    """Where events are stored: `infra.append.Appender`."""

    async def append(self, messages: list[Outgoing]) -> list[Receipt]:
        """Store the events, or raise."""


class Unmapped(Struct):
    """Events that could not be made, for one reason: how many, the first rows, and the first one's case."""

    reason: str
    count: int
    rows: list[int]  # as a spreadsheet counts them: the header is row 1
    sample: str


class EventReport(Struct):
    """What became of the rows of one `[[event]]`."""

    type: str
    file: str
    rows: int = 0
    left_out: int = 0  # by `where`
    made: int = 0
    repeated: int = 0  # rows that say the very same event again
    unmapped: list[Unmapped] = []

    def miss(self, reason: Unmappable, row: int) -> None:
        """Count an event that was not made."""
        known = next((found for found in self.unmapped if found.reason == reason.reason), None)
        if known is None:
            full = len(self.unmapped) >= REASONS_MAX
            known = next((found for found in self.unmapped if found.reason == OTHER), None) if full else None
        if known is None:
            named = OTHER if len(self.unmapped) >= REASONS_MAX else reason.reason
            known = Unmapped(named, 0, [], reason.sample)
            self.unmapped.append(known)
        known.count += 1
        if len(known.rows) < ROWS_SHOWN:
            known.rows.append(row)


class Report(Struct):
    """What became of an export. `duplicates` stood in the log's duplicate window already.

    Older ones are stored again and counted here as appended; the projector knows them by their identity.
    """

    source: str
    events: list[EventReport]
    appended: int = 0
    duplicates: int = 0
    last_sequence: int = 0

    @property
    def unmapped(self) -> int:
        """How many events could not be made."""
        return sum(found.count for event in self.events for found in event.unmapped)


class Import:
    """One import, compiled: iterate over `outgoing` and read `report`."""

    def __init__(self, mapping: Path, folder: Path, catalogue: Catalogue) -> None:
        read = read_mapping(mapping)
        self._export = Export(read, folder)
        self._plans = compile_mapping(read, mapping, self._export.headers(), catalogue)
        self._catalogue = catalogue
        self._bodies: dict[int, int] = {}
        self.report = Report(
            read.source, [EventReport(plan.entry.name, plan.table.file) for plan in self._plans]
        )

    def outgoing(self) -> Iterator[Outgoing]:
        """Every event of the export, valid and once, in the order of the mapping and its files.

        Memory: the joined files' wanted columns, about 100 bytes an event for its identity, and of a grouped
        file another 100 bytes a group and the rows of those groups whose last row has not come yet.
        """
        for plan, report in zip(self._plans, self.report.events, strict=True):
            for numbers, group in _groups(plan, self._export, report):
                try:
                    identity, body = plan.body(group)
                    event = self._valid(body)
                    fresh = self._fresh(identity, body)
                except Unmappable as reason:
                    report.miss(reason, self._culprit(plan, numbers, group))
                    continue
                if fresh:
                    report.made += 1
                    yield Outgoing(event, body, message_id(plan.source, identity, body))
                else:
                    report.repeated += 1

    def _valid(self, body: bytes) -> str:
        """The subject of a valid event."""
        try:
            return self._catalogue.subject_for(self._catalogue.decode(body))
        except Rejected as rejected:
            told = next((r for r in rejected.reasons if r.field.startswith("data")), rejected.reasons[0])
            field = re.sub(r"\[[0-9]+\]", "[]", told.field)
            general = re.split(r", got |: (?=-?[0-9])", told.reason)[0]
            raise Unmappable(f"{field} {general}", told.reason) from None

    def _fresh(self, identity: str, body: bytes) -> bool:
        """Say whether the event is new in this import; raise where its id is another's."""
        found, key = hash(body), digest(identity)
        fresh = key not in self._bodies
        if self._bodies.setdefault(key, found) != found:
            raise Unmappable("the id is that of another event of this import", identity)
        return fresh

    def _culprit(self, plan: EventPlan, numbers: list[int], group: list[Rows]) -> int:
        """The first row that could not be an event by itself, else the first of its group."""
        for number, rows in zip(numbers, group, strict=True):
            try:
                self._valid(plan.body([rows])[1])
            except Unmappable:
                return number
        return numbers[0]


async def run_import(
    mapping: Path,
    folder: Path,
    appender: Log | None,
    *,
    catalogue: Catalogue,
    progress: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Append the events of an export; what is in the log already is not stored twice.

    Without an appender the events are only made and checked. Raises MappingError before anything is sent, and
    ImportStoppedError where the log does not take them: run it again.
    """
    running = Import(mapping, folder, catalogue)
    report = running.report
    batch: list[Outgoing] = []
    for event in running.outgoing():
        batch.append(event)
        if len(batch) == BATCH_MAX:
            await _append(batch, appender, report)
            progress(report)
            batch = []
    await _append(batch, appender, report)
    progress(report)
    return report


async def _append(batch: list[Outgoing], appender: Log | None, report: Report) -> None:
    if appender is None or not batch:
        return
    try:
        receipts = await appender.append(batch)
    except QudaoError as error:
        raise ImportStoppedError(
            f"stopped after {report.appended + report.duplicates} events: {error}. Run the same import again: "
            "what is stored already is not stored twice"
        ) from error
    for receipt in receipts:
        report.duplicates += receipt.duplicate
        report.appended += not receipt.duplicate
        report.last_sequence = max(report.last_sequence, receipt.sequence)


Numbered = tuple[list[int], list[Rows]]


def _groups(plan: EventPlan, export: Export, report: EventReport) -> Iterator[Numbered]:
    """The rows of each event with their numbers: a group comes as soon as its last row is read.

    A grouped file is read twice: first to know how many rows each group has.
    """
    indexes = [export.index(join) for join in plan.joins]
    left = _sizes(plan, export, indexes) if plan.group else Counter()
    waiting: dict[int, Numbered] = {}
    for number, cells, flaw in export.rows(plan.table):
        report.rows += 1
        found = _selected(plan, indexes, cells, flaw)
        if found is None:
            report.left_out += 1
            continue
        key, rows = found
        if plan.group is None:
            yield [number], [rows]
        elif isinstance(key, Unmappable):
            report.miss(key, number)
        else:
            numbers, group = waiting.setdefault(key, ([], []))
            if len(group) < GROUP_ROWS_MAX:
                numbers.append(number)
                group.append(rows)
            else:
                group[0] = [Unmappable(f"a group has more than {GROUP_ROWS_MAX} rows")]
            left[key] -= 1
            if not left[key]:
                del left[key]
                yield waiting.pop(key)


def _sizes(plan: EventPlan, export: Export, indexes: list[Index]) -> Counter[int]:
    sizes: Counter[int] = Counter()
    for _, cells, flaw in export.rows(plan.table):
        found = _selected(plan, indexes, cells, flaw)
        if found is not None and not isinstance(found[0], Unmappable):
            sizes[found[0]] += 1
    return sizes


def _selected(
    plan: EventPlan, indexes: list[Index], cells: Cells, flaw: Unmappable | None
) -> tuple[int | Unmappable, Rows] | None:
    """The row's group and the row with what is joined to it; None where `where` does not mean it.

    A broken row keeps its group, so that no document goes out without one of its rows.
    """
    rows: list[Cells | Unmappable] = [cells]
    for index in indexes:
        rows.append(index.find(rows))
    try:
        if not plan.where(rows):
            return None
    except Unmappable as reason:
        flaw = flaw or reason
    try:
        text = plan.group(rows) if plan.group else ""
        key: int | Unmappable = digest(text) if text else Unmappable("group is empty")
    except Unmappable as reason:
        key = reason
    if flaw is not None:
        rows[0] = flaw
    return key, rows
