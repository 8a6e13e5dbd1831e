"""`qudao verify`: read the whole log again and hold it to what was folded, and to a head kept elsewhere."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec

from cli.opening import look_into_database
from cli.progress import Telling
from domain.event_types import CATALOGUE
from infra.database import DatabaseError
from infra.heads import Head, read_head
from infra.jetstream import connect
from infra.settings import Settings
from infra.verifying import Verified, verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", metavar="FILE", type=Path, help="a head that `qudao head` printed earlier")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """0 where the log is whole and what it was, 1 where not: the first message known to be wrong comes first."""
    head = read_head(arguments.head) if arguments.head is not None else None
    found = asyncio.run(_verify(settings, head))
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        print(*lines_of(found), sep="\n")
    return 1 if found.findings else 0


async def _verify(settings: Settings, head: Head | None) -> Verified:
    try:
        database = look_into_database(settings)
    except DatabaseError:
        if head is None:
            raise  # there is nothing to hold the log to
        database = None
    client = await connect(settings.nats_url, "qudao verify")
    try:
        return await verify(client, database, head, CATALOGUE, Telling())
    finally:
        await client.close()
        if database is not None:
            database.close()


def lines_of(found: Verified) -> list[str]:
    """The verdict for a person, and what it was come to by: a head with the key that signed it."""
    said = [f"wrong at {one.sequence:,}: {one.reason}" for one in found.findings] or [
        f"whole: {found.sequence:,} messages of store {found.store_id}, chain {found.chain}"
    ]
    return [*said, f"held to {'; '.join(found.checked) or 'nothing'}"]
