"""Repair of a damaged log on this machine: what is lost, and how a copy and what is left make one log again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from domain.chain import leaf
from domain.errors import QudaoError
from domain.gaps import Gap
from infra.backup import Manifest, adopt, links_of, restore, sync_all
from infra.connection import Connection
from infra.database import Database
from infra.decisions import accepted_gaps
from infra.jetstream import ask, connect
from infra.nats_server import Leaf, NatsServer
from infra.ports import free_port
from infra.reader import LogHoleError, Reader
from infra.stream import STREAM, StreamState, stream_state

T = TypeVar("T")

LEAF_BYTES = 32
ABSENT = bytes(LEAF_BYTES)
DAMAGED = "damaged"
NO_MIRROR_HAS = ("subjects", "allow_atomic", "duplicate_window")
SILENCE_SECONDS, LOOK_SECONDS = 10.0, 0.1

Progress = Callable[[str, int, int], None]


class RepairError(QudaoError):
    """The log cannot be repaired so; nothing was changed."""

    code = "repair"


class Looked(Struct, frozen=True):
    """What can be read of a log: its state, what is lost within it, and a leaf for each sequence."""

    state: StreamState
    lost: tuple[Gap, ...]
    leaves: bytearray

    def leaf(self, sequence: int) -> bytes:
        """That of one message; zeros where it cannot be read."""
        return bytes(self.leaves[(sequence - 1) * LEAF_BYTES : sequence * LEAF_BYTES])


class Repaired(Struct, frozen=True):
    """What was put back, where the damaged log is kept, and what keeps the database from going on, or nothing."""

    back: int
    last_sequence: int
    kept: Path
    database_cannot: str


async def look(client: Connection, progress: Progress) -> Looked:
    """Read all that can be read; what it was decided to go on without counts as whole."""
    state = await stream_state(client)
    gaps = await accepted_gaps(client)
    leaves = bytearray(LEAF_BYTES * state.last_sequence)
    lost: list[Gap] = []
    after = 0
    while after < state.last_sequence:
        try:
            async with Reader(client, after=after, until=state.last_sequence, gaps=gaps) as reader:
                async for batch in reader:
                    for message in batch:
                        after = message.sequence
                        mine = leaf(after, message.recorded, message.subject, message.body)
                        leaves[(after - 1) * LEAF_BYTES : after * LEAF_BYTES] = mine
                    progress("read", after, state.last_sequence)
        except LogHoleError as error:
            after = (error.found or state.last_sequence + 1) - 1
            lost.append(Gap(error.expected, after))
    return Looked(state, tuple(lost), leaves)


def repair(
    store: Path,
    copy: Path,
    manifest: Manifest,
    binary: Path | None,
    database: Database | None,
    progress: Progress,
) -> Repaired:
    """Make the log of a folder anew from a copy and what the damaged one has beyond it, and put it in its place.

    The copy is restored as a mirror of the damaged log, which goes on where the copy ends: so sequences and times stay
    what they were. The damaged log is kept beside. Raises RepairError, and leaves everything as it was, where the
    result would not be whole, or not hold all that can still be read.
    """
    mark = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    made, kept = [store.with_name(f"{store.name}.{name}-{mark}") for name in ("made", "damaged")]
    port = free_port()
    try:
        with (
            NatsServer.start(store, binary=binary, leaf=Leaf(DAMAGED, port)) as old,
            NatsServer.start(
                made, binary=binary, sync_always=False, leaf=Leaf("made", port, dials=True)
            ) as new,
        ):
            damaged = asyncio.run(_with(old.url, lambda client: look(client, progress)))
            if damaged.state.store_id != manifest.store_id:
                raise RepairError(
                    f"the copy is of another log, store {manifest.store_id}, not {damaged.state.store_id}"
                )
            asyncio.run(_with(new.url, lambda client: _make(client, copy, manifest, damaged.state, progress)))
        with NatsServer.start(made, binary=binary) as server:
            found = asyncio.run(_with(server.url, lambda client: look(client, progress)))
            _prove(damaged, found)
            why = asyncio.run(
                _with(server.url, lambda client: _adopt(client, database, manifest, found.state))
            )
        sync_all(made)
        store.rename(kept)
        made.rename(store)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    back = sum(found.leaf(n) != damaged.leaf(n) for n in range(1, damaged.state.last_sequence + 1))
    back += found.state.last_sequence - damaged.state.last_sequence
    return Repaired(back, found.state.last_sequence, kept, why)


async def _make(
    client: Connection, copy: Path, manifest: Manifest, damaged: StreamState, progress: Progress
) -> None:
    """Restore the copy as a mirror, wait for what the damaged log has beyond it, and make it a log of its own."""
    kept = {name: value for name, value in manifest.config.items() if name not in NO_MIRROR_HAS}
    mirror = {"name": STREAM, "external": {"api": f"$JS.{DAMAGED}.API", "deliver": ""}}
    state = await restore(client, copy, manifest, progress, {**kept, "mirror": mirror})
    reached, silent = state.last_sequence, 0.0
    while reached < damaged.last_sequence and silent < SILENCE_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        state = await stream_state(client)
        silent = 0.0 if state.last_sequence > reached else silent + LOOK_SECONDS
        reached = state.last_sequence
        progress("taken over", reached, damaged.last_sequence)
    await ask(client, f"STREAM.UPDATE.{STREAM}", manifest.config, dict[str, object])


async def _adopt(
    client: Connection, database: Database | None, manifest: Manifest, state: StreamState
) -> str:
    if database is None:
        return ""
    wanted = {position.sequence for position in database.positions()}
    links = await links_of(client, state.last_sequence, wanted, lambda *told: None)
    whole = msgspec.structs.replace(manifest, last_sequence=state.last_sequence)
    return adopt(database, whole, state, links)


async def _with(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    client = await connect(url, "qudao repair")
    try:
        return await work(client)
    finally:
        await client.close()


def _prove(damaged: Looked, found: Looked) -> None:
    if found.lost:
        lost = ", ".join(map(str, found.lost))
        raise RepairError(f"the copy does not have what is lost, or not all: {lost} would still be missing")
    if found.state.last_sequence < damaged.state.last_sequence:
        raise RepairError(
            f"the log would end at {found.state.last_sequence:,}, and ends at {damaged.state.last_sequence:,} now"
        )
    for sequence in range(1, damaged.state.last_sequence + 1):
        if damaged.leaf(sequence) not in (ABSENT, found.leaf(sequence)):
            raise RepairError(
                f"message {sequence} is another one in the copy: after the copy the log went another way"
            )
