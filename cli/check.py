"""`qudao check`: fold the log from zero beside, compare with what is served: equal, or which rows."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import msgspec

from cli.columns import columns, shortened
from cli.opening import look_into_database
from cli.progress import Telling
from domain.event_types import CATALOGUE
from infra.checking import INTERNAL, Report, check, row_name, scratch_database
from infra.documents import ROWS
from infra.jetstream import connect
from infra.settings import Settings
from projections.registry import PROJECTIONS

PLACES = 40
STAGE_0 = {"gaps", *INTERNAL, *(row_name(row) for row in ROWS)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scratch", metavar="DIR", help="where to fold: about the size of the database")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Compare and say so; 0 where every row is what the log says, 1 where not."""
    with tempfile.TemporaryDirectory(prefix="qudao-check-", dir=arguments.scratch) as folder:
        report = asyncio.run(_check(settings, Path(folder)))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print("\n".join(lines_of(report)))
    return 0 if report.equal else 1


async def _check(settings: Settings, folder: Path) -> Report:
    live = look_into_database(settings)
    scratch = scratch_database(folder)
    try:
        client = await connect(settings.nats_url, "qudao check")
        try:
            return await check(client, live, scratch, CATALOGUE, PROJECTIONS, Telling())
        finally:
            await client.close()
    finally:
        scratch.close()
        live.close()


def lines_of(report: Report) -> list[str]:
    """The report for a person: a line a table, then the first rows that differ, then the verdict."""
    table = [
        (t.table, *(f"{figure:,}" for figure in (t.rows, t.changed, t.missing, t.extra)))
        for t in report.tables
    ]
    lines = columns(("table", "rows", "changed", "missing", "extra"), table, right=(1, 2, 3, 4))
    if report.differences:
        found = [
            tuple(
                shortened(_text(value), PLACES)
                for value in ("/".join(map(str, d.key)), d.field, d.live, d.refolded)
            )
            for d in report.differences
        ]
        names = [(d.table, *row) for d, row in zip(report.differences, found, strict=True)]
        lines += ["", *columns(("table", "key", "field", "is", "the log says"), names)]
    lines += [f"not compared: {reason}" for reason in report.not_compared]
    different = sum(t.different for t in report.tables)
    if report.equal:
        rows = sum(t.rows for t in report.tables)
        lines += ["", f"equal: {rows:,} rows are what the log says up to sequence {report.sequence:,}"]
    elif different:
        first = f"different: {different:,} rows are not what the log says up to sequence {report.sequence:,}"
        wrong = {t.table for t in report.tables if t.different}
        lines += ["", f"{first}; {'`qudao replay` makes the moment anew' if report.made else _advice(wrong)}"]
    return lines


def _advice(wrong: set[str]) -> str:
    if wrong & STAGE_0:
        return "the index itself is wrong: stop, move the database away and start again; it is built from the log"
    if all(name.startswith("view ") for name in wrong):
        return "the tables are right: start the projector again, which makes anew what is asked of them"
    named = [p.name for p in PROJECTIONS if wrong & {row_name(row) for row in p.rows}]
    return f"`qudao rebuild {' '.join(named)}` builds them anew"


def _text(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
