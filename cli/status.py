"""`qudao status`: how far every projection is behind the log, and how the log stands."""

from __future__ import annotations

import argparse
import asyncio

import msgspec
from msgspec import Struct

from cli.columns import columns, grouped
from cli.opening import look_into_database
from cli.stream import lines_of as stream_lines
from domain.errors import QudaoError
from infra.database import RETIRED, STOPPED, Position, now_us
from infra.durability import Durability, durability
from infra.jetstream import connect
from infra.monitoring import faults_of, servers
from infra.settings import Settings
from infra.stream import StreamState, stream_state

BEHIND_SECONDS = 10.0


class ProjectionStatus(Struct, frozen=True):
    """One version of a projection; the lag is what the log has and it has not, in events and in seconds."""

    projection: str
    version: str
    status: str
    sequence: int
    lag: int | None
    lag_seconds: float | None
    error: str


class Status(Struct, frozen=True):
    """All of it; `faults` are reasons why the exit code is 1."""

    healthy: bool
    faults: tuple[str, ...]
    projections: tuple[ProjectionStatus, ...]
    stream: StreamState | None
    durability: Durability | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--behind",
        type=float,
        default=BEHIND_SECONDS,
        metavar="SECONDS",
        help=f"how long a projection may not have moved while there are events for it (default: {BEHIND_SECONDS:g})",
    )


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Say how it stands; 1 where something is stopped, away or behind."""
    faults: list[str] = []
    state, means = None, None
    try:
        state, means, on_servers = asyncio.run(_log(settings))
        faults += on_servers
        faults += [f"the stream is not as it should be: {fault}" for fault in state.faults]
    except QudaoError as error:
        faults.append(str(error))
    positions: list[Position] = []
    try:
        database = look_into_database(settings)
        positions = [p for p in database.positions() if p.status != RETIRED]
        database.close()
    except QudaoError as error:
        faults.append(str(error))
    found = status_of(positions, state, means, faults, arguments.behind, now_us())
    print(msgspec.json.encode(found).decode() if arguments.json else "\n".join(lines_of(found)))
    return 0 if found.healthy else 1


async def _log(settings: Settings) -> tuple[StreamState, Durability, list[str]]:
    client = await connect(settings.nats_url, "qudao status", patience_seconds=2)
    try:
        state = await stream_state(client)
        faults, _ = faults_of(await servers(settings.monitor_urls, state.created), state)
        return state, await durability(client, state, settings.monitor_urls), faults
    finally:
        await client.close()


def status_of(
    positions: list[Position],
    state: StreamState | None,
    means: Durability | None,
    faults: list[str],
    behind_seconds: float,
    now: int,
) -> Status:
    """Weigh positions against the log; a projection is behind where it has events to fold and does not move."""
    shown = []
    for p in positions:
        lag = max(0, state.last_sequence - p.sequence) if state is not None else None
        seconds = None if lag is None else round((now - p.updated) / 1e6, 1) if lag and p.updated else 0.0
        shown.append(ProjectionStatus(p.projection, p.version, p.status, p.sequence, lag, seconds, p.error))
        if p.status == STOPPED or p.error:
            why = p.error.splitlines()[0] if p.error else "no reason given"
            faults.append(f"{p.projection} stopped after sequence {p.sequence}: {why}")
        elif seconds is not None and seconds > behind_seconds:
            faults.append(
                f"{p.projection} is {lag:,} events behind and has not moved for {seconds:g} s: does a projector run?"
            )
        if state is not None and p.store_id and p.store_id != state.store_id:
            faults.append(f"{p.projection} was made from another log (store {p.store_id})")
        elif state is not None and p.sequence > state.last_sequence:
            faults.append(
                f"{p.projection} stands at {p.sequence}, but the log ends at {state.last_sequence}: it was cut"
            )
    return Status(not faults, tuple(faults), tuple(shown), state, means)


def lines_of(found: Status) -> list[str]:
    """The status for a person."""
    lines = []
    if found.stream is not None and found.durability is not None:
        lines += [*stream_lines(found.stream, found.durability), ""]
    if found.projections:
        rows = [
            (
                *(p.projection, p.version, p.status, grouped(p.sequence)),
                "?" if p.lag is None else grouped(p.lag),
                "?" if p.lag_seconds is None else f"{p.lag_seconds:g}",
            )
            for p in found.projections
        ]
        lines += columns(
            ("projection", "version", "status", "sequence", "lag", "lag seconds"), rows, right=(3, 4, 5)
        )
    lines += ["", "all is well"] if found.healthy else ["", *[f"not well: {fault}" for fault in found.faults]]
    return lines
