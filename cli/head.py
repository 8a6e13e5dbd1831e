"""`qudao head`: sign what the log is now, for somebody else to keep."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cli.opening import look_into_database
from infra.database import LIVE
from infra.heads import HeadError, read_key, sign
from infra.positions import INDEX
from infra.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="Ed25519 key; default: head.key in the data folder"
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the head of what is folded; the key is made where there is none yet."""
    database = look_into_database(settings)
    try:
        found = [p for p in database.positions() if p.projection == INDEX and p.status == LIVE and p.sequence]
    finally:
        database.close()
    if not found:
        raise HeadError("nothing is folded yet: there is nothing to sign")
    [position] = found
    key = read_key(arguments.key or Path(settings.data) / "head.key")
    now = datetime.now(UTC).replace(microsecond=0)
    head = sign(position.store_id, position.sequence, position.chain, now, key)
    print(msgspec.json.format(msgspec.json.encode(head), indent=1).decode())
    return 0
