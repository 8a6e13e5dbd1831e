"""`qudao backup`: a copy of the log, taken while it goes on."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec

from cli.progress import Telling
from infra.backup import Manifest, back_up
from infra.jetstream import connect
from infra.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder for the copy")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Take a copy and say what it holds."""
    manifest = asyncio.run(_back_up(settings, arguments.folder))
    if arguments.json:
        print(msgspec.json.encode(manifest).decode())
    else:
        print(
            f"{arguments.folder}: {manifest.last_sequence:,} events of store {manifest.store_id}, "
            f"{manifest.bytes:,} bytes; chain {manifest.chain}"
        )
    return 0


async def _back_up(settings: Settings, folder: Path) -> Manifest:
    client = await connect(settings.nats_url, "qudao backup")
    try:
        return await back_up(client, folder, Telling())
    finally:
        await client.close()
