"""`qudao accept-gap`: decide that the book goes on without messages that are lost."""

from __future__ import annotations

import argparse
import asyncio
import getpass
from datetime import UTC, datetime

import msgspec

from domain.gaps import Gap
from infra.append import Receipt
from infra.decisions import accept_gap
from infra.jetstream import connect
from infra.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The gap, and why."""
    parser.add_argument("first", metavar="FROM", type=int, help="the first sequence that is lost")
    parser.add_argument("last", metavar="TO", type=int, help="the last one")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why: it stands in the log for ever")
    parser.add_argument(
        "--by", metavar="NAME", default=getpass.getuser(), help="who decides (default: this user)"
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Decide it, and say what to do then."""
    gap = Gap(arguments.first, arguments.last)
    receipt = asyncio.run(_accept(settings, gap, arguments.reason, arguments.by))
    if arguments.json:
        print(msgspec.json.encode({"gap": gap, "sequence": receipt.sequence}).decode())
        return 0
    print(
        f"decided at sequence {receipt.sequence}: the book goes on without {gap}; every later answer says so"
    )
    print("now: start again what stopped there; a database that had folded what is lost is to be built anew")
    return 0


async def _accept(settings: Settings, gap: Gap, reason: str, by: str) -> Receipt:
    client = await connect(settings.nats_url, "qudao accept-gap")
    try:
        return await accept_gap(client, gap, reason, by, datetime.now(UTC))
    finally:
        await client.close()
