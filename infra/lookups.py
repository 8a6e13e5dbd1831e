"""Single messages of the log, by their sequence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import nats.errors
from nats.aio.client import Client

from infra.jetstream import JetStreamError, LogUnreachableError, ask, nanoseconds
from infra.message import Message, subject_text
from infra.stream import STREAM

NO_MESSAGE = 10037
READS_MAX = 64


class _Stored(msgspec.Struct):
    subject: str
    seq: int
    time: str
    data: bytes = b""  # base64 on the wire


class _Found(msgspec.Struct):
    message: _Stored


async def read_one(client: Client, sequence: int, *, from_leader: bool = False) -> Message | None:
    """Read one message; None where there is none. Unless the leader is asked, a lagging replica may answer."""
    if from_leader:
        return await _from_leader(client, sequence)
    try:
        reply = await client.request(
            f"$JS.API.DIRECT.GET.{STREAM}", msgspec.json.encode({"seq": sequence}), timeout=5
        )
    except nats.errors.Error as error:
        raise LogUnreachableError(f"no answer to a read of message {sequence}: {error}") from error
    headers = reply.headers or {}
    if "Nats-Sequence" not in headers:
        return None
    recorded = nanoseconds(headers["Nats-Time-Stamp"])
    subject = subject_text(headers["Nats-Subject"].encode(errors="surrogateescape"))
    return Message(int(headers["Nats-Sequence"]), recorded, subject, reply.data)


async def read_there(client: Client, sequences: Sequence[int]) -> list[Message]:
    """Those of the messages named that are there, in the order named."""
    slots = asyncio.Semaphore(READS_MAX)

    async def one(sequence: int) -> Message | None:
        async with slots:
            return await read_one(client, sequence)

    return [message for message in await asyncio.gather(*map(one, sequences)) if message is not None]


async def _from_leader(client: Client, sequence: int) -> Message | None:
    try:
        found = (await ask(client, f"STREAM.MSG.GET.{STREAM}", {"seq": sequence}, _Found)).message
    except JetStreamError as error:
        if error.number != NO_MESSAGE:
            raise
        return None
    return Message(found.seq, nanoseconds(found.time), found.subject, found.data)
