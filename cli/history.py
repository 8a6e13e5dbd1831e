"""`qudao history`: everything that concerns a dealer, to look at, to keep as lines, or to print."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cli.asking import Api
from cli.columns import columns, shortened
from cli.flags import flag
from domain.errors import QudaoError
from domain.identifiers import escape
from infra.settings import Settings

PUBLISHER_PLACES, DOCUMENT_PLACES, BECAME_PLACES = 16, 24, 60
HEAD = ("event", "happened", "recorded", "claimed", "recorded there", "by", "type", "document", "")
FLAGS = {name: f"--{flag(name)}" for name in ("known_at", "valid_at", "from", "to", "type", "status")}


class HistoryError(QudaoError):
    """The file cannot be written."""

    code = "history"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dealer", metavar="DEALER", help="the dealer's id")
    parser.add_argument("--known-at", metavar="MOMENT", help="as known at this instant, or at this sequence")
    parser.add_argument("--valid-at", metavar="INSTANT", help="what was true by this instant")
    parser.add_argument("--from", metavar="DAY", help="what happened from this day or instant on")
    parser.add_argument("--to", metavar="DAY", help="what happened before this day or instant")
    parser.add_argument("--type", metavar="TYPE", help="only events of this type")
    parser.add_argument("--status", metavar="STATUS", help="accepted, duplicate, conflict, invalid …")
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument("--ndjson", metavar="FILE", type=Path, help="keep it as lines of JSON")
    kept.add_argument("--html", metavar="FILE", type=Path, help="keep it as one file to read and print")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Ask the running service, and print or keep what it says."""
    query = {name: value for name in FLAGS if (value := getattr(arguments, name)) is not None}
    file, format = arguments.html or arguments.ndjson, "html" if arguments.html else "ndjson"
    path = f"/dealers/{escape(arguments.dealer)}/history"
    body = Api(settings.host, settings.port, FLAGS).body(path, **query, format=format)
    if file is not None:
        try:
            file.write_bytes(body)
        except OSError as error:
            raise HistoryError(f"{file} cannot be written: {error.strerror}") from None
        print(f"{file}: {len(body):,} bytes")
    elif arguments.json:
        print(body.decode(), end="")
    else:
        entries = [msgspec.json.decode(line) for line in body.splitlines()]
        print(*lines_of(entries), sep="\n")
    return 0


def lines_of(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """A history for a terminal: its clocks, who published what, and what became of it.

    When a publisher claims that it happened is told where it happened at another time, and when it was recorded there
    where it says so; a column that says nothing is left out.
    """
    rows = [
        (
            str(entry["sequence"]),
            *[_instant(entry[clock]) for clock in ("effective", "recorded")],
            _instant(entry["time"]) if entry["time"] != entry["effective"] else "",
            _instant(entry["recordedtime"]),
            shortened(", ".join(filter(None, (entry["source"], entry["actor"]))), PUBLISHER_PLACES),
            entry["type"],
            shortened(f"{entry['kind']} {entry['document']}", DOCUMENT_PLACES),
            _became(entry),
        )
        for entry in entries
    ]
    shown = [n for n in range(len(HEAD)) if n == 0 or any(row[n] for row in rows)]
    return columns([HEAD[n] for n in shown], [[row[n] for n in shown] for row in rows], right=(0,))


def _instant(said: str | None) -> str:
    """To the second, in UTC."""
    return f"{said[:19]}Z" if said else ""


def _became(entry: Mapping[str, Any]) -> str:
    said = [] if entry["status"] == "accepted" else [entry["status"].replace("_", " ")]
    said += [f"of {entry['of']}"] if said and entry["of"] else []
    said += [f"corrects {', '.join(map(str, entry['corrects']))}"] if entry["corrects"] else []
    said += [f"corrected by {', '.join(map(str, entry['corrected_by']))}"] if entry["corrected_by"] else []
    said += [f"{one['field']}: {one['reason']}" for one in entry["reasons"]]
    return shortened("; ".join(said), BECAME_PLACES)
