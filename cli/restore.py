"""`qudao restore`: put a copy of the log back where none is, prove it, and let the database go on with it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.progress import Telling
from cli.trouble import make_folder
from infra.backup import BackupError, Manifest, adopt, links_of, read_manifest, restore, sync_all
from infra.database import Database
from infra.jetstream import connect
from infra.nats_server import NatsServer
from infra.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder of the copy")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Put the log back; 1 where the database there is not of it and must be moved away."""
    manifest = read_manifest(arguments.folder)
    with _server(settings) as url:
        why = asyncio.run(_restore(settings, url, arguments.folder, manifest))
    print(
        f"the log of store {manifest.store_id} is back: {manifest.last_sequence:,} events, proved by their chain"
    )
    if why:
        print(f"the database cannot go on with it: {why}. Move it away and start: it is built from the log")
    return 1 if why else 0


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    """The server named, else this machine's own for as long as it takes."""
    if settings.nats:
        yield settings.nats
        return
    make_folder(Path(settings.data))
    binary = Path(settings.nats_server) if settings.nats_server else None
    # Syncing every write would take half a second for each 128 KiB; all of it is synced in the end.
    with NatsServer.start(settings.nats_folder, binary=binary, sync_always=False) as server:
        yield server.url
    sync_all(settings.nats_folder)


async def _restore(settings: Settings, url: str, folder: Path, manifest: Manifest) -> str:
    database = _database(settings)
    client = await connect(url, "qudao restore")
    try:
        state = await restore(client, folder, manifest, Telling())
        wanted = {p.sequence for p in database.positions()} if database is not None else set()
        last = manifest.last_sequence
        links = await links_of(client, last, {last, *wanted}, Telling())
        if last and links[last][1] != manifest.chain:
            raise BackupError("what was put back is not the log that was copied: its chain is another one")
        return adopt(database, manifest, state, links) if database is not None else ""
    finally:
        await client.close()
        if database is not None:
            database.close()


def _database(settings: Settings) -> Database | None:
    """The database that may be there from before."""
    url = settings.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return None
    return Database(url)
