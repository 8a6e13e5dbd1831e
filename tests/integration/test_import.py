"""Importing into a real log: once, again, and with rows that cannot be mapped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cli.main import main
from domain.event_types import CATALOGUE
from infra.append import Appender
from infra.connection import Connection
from infra.importing import ImportStoppedError, run_import
from infra.nats_server import NatsServer
from infra.stream import STREAM, stream_state

pytestmark = pytest.mark.integration

MAPPING = """
source = "wms"
zone = "Asia/Shanghai"
[[event]]
type = "stock.moved.v1"
file = "moves.csv"
id = "{no}"
time = "{day}"
data = { movement = "{no}", location = "WH", kind = "out", lines = [{ sku = "{sku}", quantity = "{pieces}" }] }
"""
ROWS = [f"M-{n},2026-03-{n % 28 + 1:02},COLA,{n}" for n in range(1234)]


def export(folder: Path, rows: list[str]) -> tuple[Path, Path]:
    (folder / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    (folder / "moves.csv").write_text("\n".join(["no,day,sku,pieces", *rows]), encoding="utf-8")
    return folder / "mapping.toml", folder


async def test_an_export_imported_twice_is_stored_once(stream: Connection, tmp_path: Path) -> None:
    mapping, folder = export(tmp_path, ROWS)
    first = await run_import(mapping, folder, Appender(stream), catalogue=CATALOGUE)
    again = await run_import(mapping, folder, Appender(stream), catalogue=CATALOGUE)

    assert (first.appended, first.duplicates, first.last_sequence) == (1234, 0, 1234)
    assert (again.appended, again.duplicates, again.unmapped) == (0, 1234, 0)
    assert (await stream_state(stream)).messages == 1234


async def test_an_import_that_was_cut_off_goes_on_where_it_stopped(
    stream: Connection, tmp_path: Path
) -> None:
    await run_import(*export(tmp_path, ROWS[:700]), Appender(stream), catalogue=CATALOGUE)
    rest = await run_import(*export(tmp_path, ROWS), Appender(stream), catalogue=CATALOGUE)

    assert (rest.appended, rest.duplicates) == (534, 700)


async def test_rows_in_another_order_are_duplicates_too(stream: Connection, tmp_path: Path) -> None:
    await run_import(*export(tmp_path, ROWS), Appender(stream), catalogue=CATALOGUE)
    again = await run_import(*export(tmp_path, ROWS[::-1]), Appender(stream), catalogue=CATALOGUE)

    assert (again.appended, again.duplicates) == (0, 1234)


async def test_a_row_that_cannot_be_mapped_is_reported_and_the_others_are_stored(
    stream: Connection, tmp_path: Path
) -> None:
    rows = [*ROWS[:10], "M-X,yesterday,COLA,1", *ROWS[10:20], "M-Y,2026-03-01,COLA,"]
    report = await run_import(*export(tmp_path, rows), Appender(stream), catalogue=CATALOGUE)

    assert (report.appended, report.unmapped) == (20, 2)
    assert [(missed.reason, missed.rows) for missed in report.events[0].unmapped] == [
        ("{day} is not a date written as iso", [12]),
        ("data.lines[].quantity is missing", [23]),
    ]


async def test_an_import_without_a_stream_says_what_to_do(stream: Connection, tmp_path: Path) -> None:
    await stream.request(f"$JS.API.STREAM.DELETE.{STREAM}")
    impatient = Appender(stream, patience_seconds=0.2)

    with pytest.raises(ImportStoppedError, match=r"stopped after 0 events: no stream .* again"):
        await run_import(*export(tmp_path, ROWS[:3]), impatient, catalogue=CATALOGUE)


async def test_the_command_reports_to_a_person_and_to_a_program(
    nats_server: NatsServer, stream: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping, folder = export(tmp_path, [*ROWS[:3], "M-X,yesterday,COLA,1"])
    command = ["import", str(mapping), str(folder), f"--nats={nats_server.url}"]

    assert await asyncio.to_thread(main, [*command, "--dry-run"]) == 1
    assert "3 events of wms can be made; none was sent" in capsys.readouterr().out
    assert (await stream_state(stream)).messages == 0

    assert await asyncio.to_thread(main, command) == 1
    said = capsys.readouterr().out
    assert "3 events of wms: 3 appended, 0 in the log already; last sequence 3" in said
    assert "1 × {day} is not a date written as iso (row 5, as 'yesterday')" in said

    export(tmp_path, ROWS[:3])
    assert await asyncio.to_thread(main, [*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["duplicates"] == 3

    (folder / "moves.csv").unlink()
    assert await asyncio.to_thread(main, command) == 2
    assert "there is no file" in capsys.readouterr().err
