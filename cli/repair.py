"""`qudao repair`: say what the log of this machine has lost, or put it back from a copy."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec
from msgspec import Struct

from cli.opening import look_into_database
from cli.progress import Telling
from domain.gaps import Gap
from infra.backup import read_manifest
from infra.database import Database, DatabaseError
from infra.jetstream import connect
from infra.nats_server import NatsServer
from infra.positions import INDEX
from infra.repairing import Looked, RepairError, look, repair
from infra.settings import Settings


class Damage(Struct, frozen=True):
    """What is lost of a log, and up to where it was folded."""

    last_sequence: int
    lost: tuple[Gap, ...]
    folded: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="copy", metavar="COPY", type=Path, help="a folder that `qudao backup` made"
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Say what is lost (1), or that nothing is (0); with a copy, put it back."""
    if settings.nats or not settings.nats_folder.is_dir():
        raise RepairError(
            f"there is no log of this machine's own under {settings.data}: a log on other servers is healed there, "
            "from its other copies"
        )
    binary = Path(settings.nats_server) if settings.nats_server else None
    database = _database(settings)
    try:
        if arguments.copy is None:
            return _tell(_damage(settings, binary, database), as_json=arguments.json)
        manifest = read_manifest(arguments.copy)
        done = repair(settings.nats_folder, arguments.copy, manifest, binary, database, Telling())
    finally:
        if database is not None:
            database.close()
    if arguments.json:
        said = {"back": done.back, "last_sequence": done.last_sequence, "kept": str(done.kept)}
        print(msgspec.json.encode(said).decode())
    else:
        print(f"repaired: {done.back:,} messages are back, the log is whole up to {done.last_sequence:,}")
        print(f"the damaged log is kept at {done.kept}")
        if done.database_cannot:
            print(
                f"the database cannot go on with it: {done.database_cannot}. Move it away: it is built from the log"
            )
    return 1 if done.database_cannot else 0


def _database(settings: Settings) -> Database | None:
    """The database that may be there."""
    try:
        look_into_database(settings).close()
    except DatabaseError:
        return None
    return Database(settings.database_url)


def _damage(settings: Settings, binary: Path | None, database: Database | None) -> Damage:
    with NatsServer.start(settings.nats_folder, binary=binary) as server:
        looked = asyncio.run(_look(server.url))
    folded = [
        p.sequence for p in (database.positions() if database is not None else []) if p.projection == INDEX
    ]
    return Damage(looked.state.last_sequence, looked.lost, max(folded, default=0))


async def _look(url: str) -> Looked:
    client = await connect(url, "qudao repair")
    try:
        return await look(client, Telling())
    finally:
        await client.close()


def _tell(found: Damage, *, as_json: bool) -> int:
    cut = found.folded > found.last_sequence
    if as_json:
        print(msgspec.json.encode(found).decode())
    elif not found.lost and not cut:
        print(f"whole: {found.last_sequence:,} messages can be read")
    else:
        for gap in found.lost:
            print(f"lost: {gap}")
        if cut:
            print(f"lost: {Gap(found.last_sequence + 1, found.folded)}, the end of it, which was folded")
        print("with a copy:     qudao repair --from COPY, with nothing running")
        if found.lost and not cut:
            first = found.lost[0]
            print(
                f"without any:     qudao up, and beside it qudao accept-gap {first.first} {first.last} --reason TEXT"
            )
    return 1 if found.lost or cut else 0
