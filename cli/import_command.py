"""`qudao import`: send the rows of CSV files as events, by a mapping file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from domain.event_types import CATALOGUE
from infra.append import Appender
from infra.importing import Report, Unmapped, run_import
from infra.jetstream import connect
from infra.settings import Settings

DONE, LEFT_OUT = 0, 1
HEADINGS = ("type", "file", "rows", "left out", "events", "repeated", "not made")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The mapping, the folder, and whether only to try."""
    parser.add_argument("mapping", metavar="MAPPING", type=Path, help="TOML file: docs/import.md says how")
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of the CSV files")
    parser.add_argument("--dry-run", action="store_true", help="make and check the events, send none")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Import and print the report; 1 where events could not be made, 0 where all were."""
    report = asyncio.run(_import(settings, arguments))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(readable(report, sent=not arguments.dry_run))
    return LEFT_OUT if report.unmapped else DONE


async def _import(settings: Settings, arguments: argparse.Namespace) -> Report:
    watched = sys.stderr.isatty() and not arguments.json
    progress = _show if watched else _silent
    mapping, folder = arguments.mapping, arguments.folder
    if arguments.dry_run:
        return await run_import(mapping, folder, None, catalogue=CATALOGUE, progress=progress)
    client = await connect(settings.nats_url, "qudao-import")
    try:
        return await run_import(mapping, folder, Appender(client), catalogue=CATALOGUE, progress=progress)
    finally:
        await client.close()


def readable(report: Report, *, sent: bool) -> str:
    """The report for a person: a line for each `[[event]]`, the sums, and what could not be made and why."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    for event in report.events:
        missed = sum(found.count for found in event.unmapped)
        figures = (event.rows, event.left_out, event.made, event.repeated, missed)
        rows.append((event.type, event.file, *(f"{figure:,}" for figure in figures)))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    signs = "<<" + ">" * (len(HEADINGS) - 2)
    lines = [
        "  ".join(f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=True))
        for row in rows
    ]
    made = sum(event.made for event in report.events)
    lines.append("")
    if sent:
        stored = f"{report.appended:,} appended, {report.duplicates:,} in the log already"
        lines.append(f"{made:,} events of {report.source}: {stored}; last sequence {report.last_sequence}")
    else:
        lines.append(f"{made:,} events of {report.source} can be made; none was sent")
    for event in report.events:
        if event.unmapped:
            lines += ["", f"not made of {event.file}, {event.type}:"]
            lines += [_line(found) for found in event.unmapped]
    return "\n".join(lines)


def _line(found: Unmapped) -> str:
    numbers = ", ".join(map(str, found.rows)) + (", …" if found.count > len(found.rows) else "")
    sample = f", as {found.sample!r}" if found.sample else ""
    return f"  {found.count:,} × {found.reason} (row {numbers}{sample})"


def _show(report: Report) -> None:
    made = sum(event.made for event in report.events)
    print(f"\r{made:,} events", end="", file=sys.stderr, flush=True)


def _silent(report: Report) -> None:
    pass
