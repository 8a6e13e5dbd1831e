"""Whether the service can do what it promises, and if not, why, in sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler, get
from msgspec import Struct

from api.link import Link
from api.problems import AnyRequest, Problem
from api.reading import Opened
from domain.errors import QudaoError
from domain.gaps import Gap
from infra.database import BUILDING, LIVE, RETIRED, STOPPED, Position
from infra.monitoring import ServerState, faults_of
from infra.stream import StreamState

ASK_SECONDS = 3.0
LATE_SECONDS = 10.0


class LogHealth(Struct, frozen=True):
    """How the log stands."""

    reachable: bool
    store_id: str = ""
    last_sequence: int = 0
    contiguous: bool = False
    acknowledged_means: str = "unknown"
    durability: str = ""
    servers: tuple[ServerState, ...] = ()  # whose monitoring addresses are known


class ProjectionHealth(Struct, frozen=True):
    """How far one version of a projection is behind the log: in events, and by how long the first one waits."""

    projection: str
    version: str
    status: str
    sequence: int
    lag: int | None
    lag_seconds: float | None
    error: str


class Health(Struct, frozen=True):
    """The whole of it: `healthy` is false exactly where `faults` has a sentence."""

    healthy: bool
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    log: LogHealth
    projections: tuple[ProjectionHealth, ...]


async def health_of(link: Link, opened: Opened, wanted: Sequence[str]) -> Health:
    """Look at the log, the database and every position; `wanted` are the projections there should be."""
    faults: list[str] = []
    warnings: list[str] = []
    positions: list[Position] = []
    unread = ""
    try:
        positions = await asyncio.to_thread(opened.positions)
        if (moment := await asyncio.to_thread(opened.moment)) is not None:
            warnings.append(f"This is the book as it was {moment}.")
    except (QudaoError, Problem) as error:
        unread = f"The database cannot be read: {error}."
    state, log_health = await _log(link, opened.gaps, faults, warnings)
    faults += [unread] if unread else []
    serving = {p.projection for p in positions if p.status in (LIVE, STOPPED)}
    missing = sorted(set(wanted) - serving)
    if missing and not faults:
        faults.append(f"Not built yet: {', '.join(missing)}; is a projector running?")
    if state is not None:
        faults += _other_log(state, positions)
    for position in positions:
        if position.status == STOPPED:
            why = position.error.splitlines()[0] if position.error else "no reason given"
            faults.append(f"{position.projection} stopped after sequence {position.sequence}: {why}")
        elif position.error and position.status == LIVE:
            faults.append(
                f"The projector stopped after sequence {position.sequence}: {position.error.splitlines()[0]}"
            )
    last = state.last_sequence if state else None
    shown = [p for p in positions if p.status != RETIRED]
    waiting = await _waiting_seconds(link, {p.sequence for p in shown}, last)
    for position in shown:
        if position.status == LIVE and (seconds := waiting.get(position.sequence) or 0) > LATE_SECONDS:
            warnings.append(
                f"{position.projection} is {seconds:.0f} s behind the log; is a projector running?"
            )
    projections = [_projection(p, last, waiting.get(p.sequence)) for p in shown]
    return Health(not faults, tuple(faults), tuple(warnings), log_health, tuple(projections))


async def _waiting_seconds(link: Link, sequences: set[int], last: int | None) -> dict[int, float]:
    """For every sequence, how long the event after it has been in the log."""
    if last is None:
        return {}
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    found: dict[int, float] = {}
    for sequence in sequences:
        found[sequence] = 0.0
        if sequence < last:
            try:
                recorded_us = await link.recorded(sequence + 1)
            except QudaoError:
                return {}
            if recorded_us is not None:
                found[sequence] = round(max(0, now_us - recorded_us) / 1e6, 3)
    return found


async def _log(
    link: Link, gaps: Sequence[Gap], faults: list[str], warnings: list[str]
) -> tuple[StreamState | None, LogHealth]:
    if gaps:
        lost = ", ".join(map(str, gaps))
        warnings.append(f"The log lost what stood at {lost}: it was decided to go on without.")
    if link.absent:
        warnings.append("This service only reads: what the log has beyond this database it does not know.")
        return None, LogHealth(False)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            state = await link.state()
            means = await link.durability(state)
    except (QudaoError, TimeoutError) as error:
        faults.append(f"The log does not answer: {error or f'silent for {ASK_SECONDS:g} s'}.")
        return None, LogHealth(False)
    servers = await link.servers(state)
    lost_count = sum(gap.last - gap.first + 1 for gap in gaps)
    wrong, odd = faults_of(servers, state, lost_count)
    faults += [f"{fault}." for fault in wrong]
    warnings += [f"{warning}." for warning in odd]
    if not state.contiguous and state.missing > lost_count and not wrong:
        faults.append(
            f"The log has a hole: {state.messages} messages from {state.first_sequence} to {state.last_sequence}."
        )
    warnings += [f"The stream is not as it should be: {fault}." for fault in state.faults]
    if not means.kept:
        warnings.append(means.explanation)
    return state, LogHealth(
        True,
        state.store_id,
        state.last_sequence,
        state.contiguous,
        means.acknowledged_means,
        means.explanation,
        servers,
    )


def _other_log(state: StreamState, positions: Sequence[Position]) -> list[str]:
    faults = []
    for position in positions:
        if position.status not in (LIVE, STOPPED, BUILDING) or not position.store_id:
            continue
        if (position.store_id, position.stream_created) != (state.store_id, state.created):
            faults.append(
                f"{position.projection} was made from another log (store {position.store_id}), not from this one "
                f"(store {state.store_id}): connect to the right server, or build a new database."
            )
        elif position.sequence > state.last_sequence:
            faults.append(
                f"{position.projection} stands at {position.sequence}, but the log ends at {state.last_sequence}: "
                "the log was cut or restored from an older copy."
            )
    return faults


def _projection(position: Position, last: int | None, seconds: float | None) -> ProjectionHealth:
    lag = None if last is None else max(0, last - position.sequence)
    where = (position.projection, position.version, position.status, position.sequence)
    return ProjectionHealth(*where, lag, seconds, position.error)


def health_handler(link: Link, opened: Opened, wanted: Sequence[str]) -> HTTPRouteHandler:
    """GET /health: 200 where all is well, 503 where not, the same document either way."""

    @get("/health")
    async def health(request: AnyRequest) -> Response[bytes]:
        found = await health_of(link, opened, wanted)
        return Response(
            msgspec.json.encode(found),
            status_code=200 if found.healthy else 503,
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return health
