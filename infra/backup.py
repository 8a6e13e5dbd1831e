"""Copies of the log: taken from a running server as it stores it, and put back so that nothing tells the difference."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from domain.chain import START, gap_leaf, leaf, link
from domain.errors import QudaoError
from infra.connection import Connection
from infra.database import RETIRED, Database
from infra.decisions import accepted_gaps
from infra.jetstream import ask
from infra.reader import Reader
from infra.stream import STREAM, StreamError, StreamState, stream_state

CHUNK_BYTES = 131_072
CHUNKS_AHEAD = 16
SILENCE_SECONDS = 20.0
MANIFEST, CONTENT = "manifest.json", "stream.snapshot"

Progress = Callable[[str, int, int], None]
Link = tuple[str, str]  # leaf and chain at a sequence, in hexadecimal digits


class BackupError(QudaoError):
    """A copy cannot be taken, is not whole, or cannot be put back here."""

    code = "backup"


class Manifest(Struct, frozen=True):
    """What a copy holds, and what proves it."""

    store_id: str
    created: int  # of the stream it was taken from, nanoseconds since 1970 UTC
    last_sequence: int
    chain: str  # of the log up to there
    bytes: int
    sha256: str  # of the content as it was taken
    config: dict[str, object]  # of the stream, as the server says it
    state: dict[str, object]
    format: int = 1


class _Snapshot(Struct):
    config: dict[str, object]
    state: dict[str, object]


class _Restoring(Struct):
    deliver_subject: str


async def back_up(client: Connection, folder: Path, progress: Progress) -> Manifest:
    """Copy the log into a new folder, while it goes on; all of it is there under that name, or nothing.

    Raises BackupError where the folder is there already or cannot be written, or the server falls silent.
    """
    if await asyncio.to_thread(folder.exists):
        raise BackupError(f"{folder} is there already: a copy goes into a folder of its own")
    state = await stream_state(client)
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        beside.mkdir(parents=True)
        content = beside / CONTENT
        taken = await _snapshot(client, content, progress)
        last = msgspec.convert(taken.state["last_seq"], int)
        links = await links_of(client, last, (last,), progress)
        manifest = Manifest(
            state.store_id,
            state.created,
            last,
            links[last][1] if last else START.hex(),
            content.stat().st_size,
            await asyncio.to_thread(_sha256, content),
            taken.config,
            taken.state,
        )
        said = beside / MANIFEST
        said.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        for path in (content, said, beside):
            _sync(path)
        beside.rename(folder)
        _sync(folder.parent)
        return manifest
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise BackupError(f"{folder} cannot be written ({reason}): choose another place") from error
        raise


async def _snapshot(client: Client, content: Path, progress: Progress) -> _Snapshot:
    inbox = client.new_inbox()
    chunks: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await client.subscribe(inbox, cb=chunks.put)
    try:
        question = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES}
        taken = await ask(
            client, f"STREAM.SNAPSHOT.{STREAM}", question, _Snapshot, timeout_seconds=60, once=True
        )
        whole = msgspec.convert(taken.state.get("bytes", 0), int)
        size = 0
        with content.open("wb") as file:
            while (chunk := await _next(chunks)).data:
                file.write(chunk.data)
                size += len(chunk.data)
                if chunk.reply:  # the server goes on when it hears that one has come
                    await client.publish(chunk.reply)
                progress("copied", size, max(size, whole))
        if chunk.headers and chunk.headers.get("Status", "204") != "204":
            raise BackupError(
                f"the server broke the copy off: {chunk.headers.get('Description', 'no reason given')}"
            )
        return taken
    finally:
        await subscription.unsubscribe()


async def _next(chunks: asyncio.Queue[Msg]) -> Msg:
    try:
        return await asyncio.wait_for(chunks.get(), SILENCE_SECONDS)
    except TimeoutError:
        raise BackupError(
            f"the server sent nothing for {SILENCE_SECONDS:g} s: the copy is not whole"
        ) from None


def read_manifest(folder: Path) -> Manifest:
    """What a copy says of itself, once its content is proved to be what was taken. Raises BackupError."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupError(f"{folder} is no copy of a log: it has no {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}") from None
    content = folder / CONTENT
    size = content.stat().st_size if content.is_file() else 0
    if size != manifest.bytes:
        raise BackupError(
            f"{content} has {size} bytes and had {manifest.bytes}: it was cut; take another copy"
        )
    if _sha256(content) != manifest.sha256:
        raise BackupError(
            f"{content} is not what was taken (its SHA-256 differs): it is damaged; take another copy"
        )
    return manifest


async def restore(
    client: Connection,
    folder: Path,
    manifest: Manifest,
    progress: Progress,
    config: dict[str, object] | None = None,
) -> StreamState:
    """Put a copy back where no log is, as the stream it was or with another configuration. Raises BackupError."""
    try:
        there = await stream_state(client)
    except StreamError:  # there is none, as it should be
        pass
    else:
        raise BackupError(
            f"there is a log already, store {there.store_id} up to {there.last_sequence}: a copy is put back only "
            "where none is; move the server's data away first"
        )
    question = {"config": config or manifest.config, "state": manifest.state}
    begun = await ask(client, f"STREAM.RESTORE.{STREAM}", question, _Restoring, timeout_seconds=60, once=True)
    await _send(client, begun.deliver_subject, folder / CONTENT, manifest.bytes, progress)
    state = await stream_state(client)
    if (state.store_id, state.last_sequence) != (manifest.store_id, manifest.last_sequence):
        raise BackupError(
            f"what was put back is store {state.store_id} up to {state.last_sequence}, and should be "
            f"{manifest.store_id} up to {manifest.last_sequence}"
        )
    return state


async def _send(client: Client, subject: str, content: Path, whole: int, progress: Progress) -> None:
    sent = 0
    waiting: list[asyncio.Task[Msg]] = []
    with content.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            waiting.append(asyncio.create_task(client.request(subject, chunk, timeout=SILENCE_SECONDS)))
            sent += len(chunk)
            if len(waiting) >= CHUNKS_AHEAD:
                await _heard(waiting.pop(0))
            progress("put back", sent, whole)
    for one in waiting:
        await _heard(one)
    answer = await client.request(subject, b"", timeout=120)
    refused = msgspec.json.decode(answer.data, type=dict[str, object]).get("error") if answer.data else None
    if refused:
        raise BackupError(f"the server did not take the copy: {refused}")


async def _heard(one: asyncio.Task[Msg]) -> None:
    try:
        await one
    except nats.errors.Error as error:
        raise BackupError(f"the server stopped taking the copy ({type(error).__name__})") from error


async def links_of(
    client: Connection, last: int, wanted: Iterable[int], progress: Progress
) -> dict[int, Link]:
    """Leaf and chain at some sequences, from reading the log up to the last."""
    asked, chain, found = set(wanted), START, dict[int, Link]()
    if not last:
        return found
    expected = 1
    async with Reader(client, until=last, gaps=await accepted_gaps(client)) as reader:
        async for batch in reader:
            for message in batch:
                if message.sequence != expected:
                    chain = link(chain, gap_leaf(expected, message.sequence - 1))
                expected = message.sequence + 1
                mine = leaf(message.sequence, message.recorded, message.subject, message.body)
                chain = link(chain, mine)
                if message.sequence in asked:
                    found[message.sequence] = (mine.hex(), chain.hex())
            progress("proved", batch[-1].sequence, last)
    return found


def adopt(database: Database, manifest: Manifest, state: StreamState, links: dict[int, Link]) -> str:
    """Let a database that is of this log go on with it; what keeps it from that, or nothing.

    The stream put back says that it was made now, so every position is told, once all of them are proved.
    """
    positions = [p for p in database.positions() if p.sequence or p.status != RETIRED]
    for position in positions:
        if position.store_id != manifest.store_id:
            return f"it was made from another log, store {position.store_id}"
        if position.sequence > manifest.last_sequence:
            return (
                f"it has folded {position.sequence:,} events and the copy holds {manifest.last_sequence:,}: the last "
                f"{position.sequence - manifest.last_sequence:,} are not in the copy"
            )
        if (
            position.leaf
            and position.sequence
            and (position.leaf, position.chain) != links[position.sequence]
        ):
            return f"it folded another message {position.sequence} than the copy holds"
    with database.transaction() as run:
        run(database.sql.marked("UPDATE positions SET stream_created = ?"), (state.created,))
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_all(folder: Path) -> None:
    """Bring everything below a folder to the disk."""
    for path in (*folder.rglob("*"), folder):
        if path.is_file() or path.is_dir():
            _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
