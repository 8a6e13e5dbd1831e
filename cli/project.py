"""`qudao project`: the projector alone, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
from functools import partial

from cli.opening import open_database
from cli.progress import Telling
from consumers.projector import Projector
from domain.event_types import CATALOGUE
from infra.database import Database
from infra.jetstream import connect
from infra.lock import ProjectorLock
from infra.retiring import GRACE_SECONDS, drop_retired
from infra.settings import Settings
from infra.stream import stream_state
from projections.registry import PROJECTIONS

log = logging.getLogger("qudao.project")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # settings say all there is to say


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Project until stopped. Raises what ended it where nobody asked it to end."""
    del arguments
    database = open_database(settings)
    try:
        with ProjectorLock(database):
            for name in drop_retired(database, GRACE_SECONDS):
                log.info("%s was replaced long enough ago: dropped", name)
            projector = projector_of(settings, database)
            asyncio.run(_run(settings, projector))
    finally:
        database.close()
    if projector.failure is not None:
        raise projector.failure
    return 0


def projector_of(settings: Settings, database: Database) -> Projector:
    """All projections of this program over one log and one database; long work is told on stderr."""
    return Projector(
        settings.nats_url,
        database,
        CATALOGUE,
        PROJECTIONS,
        batch_max=settings.batch_max,
        progress=partial(Telling(), "folded"),
    )


async def _run(settings: Settings, projector: Projector) -> None:
    await refuse_unreachable(settings)
    await projector.app().run()


async def refuse_unreachable(settings: Settings) -> None:
    """Later a log that is away is waited for; an address that does not work at the start is an error."""
    client = await connect(settings.nats_url, "qudao project")
    try:
        await stream_state(client)
    finally:
        await client.close()
