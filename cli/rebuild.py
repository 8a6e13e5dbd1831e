"""`qudao rebuild`: projections built anew beside the ones that serve, and switched once they are level."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import time
from collections.abc import Mapping, Sequence

import msgspec

from cli.opening import open_database
from cli.progress import Telling
from cli.project import projector_of, refuse_unreachable
from infra.database import Database
from infra.lock import BusyError, ProjectorLock
from infra.rebuilding import RebuildError, ask_for_rebuild, index_sequence, still_building
from infra.retiring import drop_retired
from infra.settings import Settings
from projections.projection import Projection
from projections.registry import PROJECTIONS

LOOK_SECONDS = 0.2
TAKEN_UP_SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("projections", nargs="*", metavar="PROJECTION", help="which (default: all)")
    parser.add_argument(
        "--drop-retired",
        action="store_true",
        help="drop tables that serve no more at once, not after an hour",
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Return once everything asked for serves. Killed and asked again, it goes on where it was."""
    asked = named(arguments.projections)
    database = open_database(settings)
    try:
        wanted = ask_for_rebuild(database, asked)
        try:
            with ProjectorLock(database):
                _build_here(settings, database, wanted)
        except BusyError:
            _wait(database, wanted)
        dropped = drop_retired(database, 0) if arguments.drop_retired else []
    finally:
        database.close()
    if arguments.json:
        print(msgspec.json.encode({"rebuilt": wanted, "dropped": dropped}).decode())
    else:
        for name, version in wanted.items():
            print(f"{name} is rebuilt and serves as version {version}")
        for name in dropped:
            print(f"{name} is dropped")
    return 0


def named(names: Sequence[str]) -> list[Projection]:
    """The projections of these names, all where none is named. Raises RebuildError for a name not known."""
    known = {projection.name: projection for projection in PROJECTIONS}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise RebuildError(f"there is no projection {name!r}: {meant}")
    return [known[name] for name in names or known]


def _wait(database: Database, wanted: Mapping[str, str]) -> None:
    """A projector works on this database: it builds, this one watches."""
    telling = Telling()
    began = time.monotonic()
    while building := still_building(database, wanted):
        taken_up = any(p.sequence for p in building) or len(building) < len(wanted)
        if not taken_up and time.monotonic() - began > TAKEN_UP_SECONDS:
            raise RebuildError(
                f"the projector has not begun within {TAKEN_UP_SECONDS:g} s: it is stopped, or another version of the "
                "program. The request stands: restart the projector with this program"
            )
        last = index_sequence(database)
        telling(
            f"building {', '.join(p.projection for p in building)}", min(p.sequence for p in building), last
        )
        time.sleep(LOOK_SECONDS)


def _build_here(settings: Settings, database: Database, wanted: Mapping[str, str]) -> None:
    """No projector works on this database: be one until everything asked for serves."""
    projector = projector_of(settings, database)
    app = projector.app()

    async def until_built() -> None:
        await refuse_unreachable(settings)
        telling = Telling()
        running = asyncio.create_task(app.run())
        while not running.done():
            building = await asyncio.to_thread(still_building, database, wanted)
            if not building:
                app.exit()
                break
            telling("building", min(p.sequence for p in building), max(1, index_sequence(database)))
            await asyncio.sleep(LOOK_SECONDS)
        await running

    asyncio.run(until_built())
    if projector.failure is not None:
        raise projector.failure
    if still_building(database, wanted):
        raise KeyboardInterrupt  # told to stop before it was done
