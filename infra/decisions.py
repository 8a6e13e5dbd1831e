"""Appending decisions: each stands on all decisions before it, or is not stored."""

from __future__ import annotations

from datetime import datetime

import msgspec
import nats.errors
from nats.aio.client import Client

from domain.catalogue import BY_PAYLOAD, Rejected
from domain.errors import QudaoError
from domain.event_types import CATALOGUE
from domain.gaps import Gap, LogGapAccepted
from domain.identifiers import NO_DEALER
from infra.append import Answer, AppendUnknownError, Outgoing, Receipt, message_id
from infra.connection import Connection
from infra.jetstream import JetStreamError, LogUnreachableError, ask
from infra.lookups import read_one
from infra.reader import Reader
from infra.stream import STREAM, stream_state

SOURCE = "urn:qudao:commands"
DECISIONS = "channel.decisions.>"
GAP_MAX = 100_000
WAIT_SECONDS = 5
NO_MESSAGE = 10037
# The second is what several writers at once get on a cluster.
OVERTAKEN = frozenset({10071, 10164})


class GapError(QudaoError):
    """What is to be accepted is no gap of the log, or not the whole of one."""

    code = "gap"


class OvertakenError(QudaoError):
    """Another decision was stored first: this one has to be made again, knowing that one."""

    code = "overtaken"


class _Last(msgspec.Struct):
    seq: int


class _Found(msgspec.Struct):
    message: _Last


async def last_decision(client: Client) -> int:
    """The sequence of the last decision in the log, by its leader; 0 where there is none."""
    try:
        found = await ask(client, f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": DECISIONS}, _Found)
    except JetStreamError as error:
        if error.number == NO_MESSAGE:
            return 0
        raise
    return found.message.seq


async def append_decision(client: Client, decision: Outgoing, after: int) -> Receipt:
    """Store a decision if `after` is still the last one.

    Raises OvertakenError where it is not, and AppendUnknownError where the log fell silent: then only reading the
    decisions again says whether it is stored.
    """
    headers = {
        "Nats-Msg-Id": decision.message_id,
        "Nats-Expected-Last-Subject-Sequence": str(after),
        "Nats-Expected-Last-Subject-Sequence-Subject": DECISIONS,
    }
    try:
        reply = await client.request(decision.subject, decision.body, timeout=WAIT_SECONDS, headers=headers)
    except nats.errors.NoRespondersError:
        raise LogUnreachableError(f"no stream takes {decision.subject}: nothing is decided") from None
    except nats.errors.Error as error:
        raise AppendUnknownError(
            f"the log did not answer whether the decision is stored ({type(error).__name__}): "
            "send the same command again, it is not done twice"
        ) from error
    answer = msgspec.json.decode(reply.data, type=Answer)
    if answer.error is None:
        return Receipt(answer.seq, answer.duplicate)
    refused = JetStreamError(f"append to {decision.subject}", answer.error)
    if refused.number in OVERTAKEN:
        raise OvertakenError(str(refused))
    raise refused


async def accepted_gaps(client: Connection) -> list[Gap]:
    """The gaps of the log that it may have, by decisions in it."""
    found: set[Gap] = set()
    state = await stream_state(client)
    reader = Reader(client, until=state.last_sequence, subjects=[f"channel.decisions.{NO_DEALER}"])
    if not state.last_sequence:
        return []
    async with reader:
        async for batch in reader:
            for message in batch:
                if b"log.gap_accepted" not in message.body:
                    continue
                try:
                    event = CATALOGUE.read(message.sequence, message.recorded, message.subject, message.body)
                except Rejected:
                    continue
                if isinstance(event.data, LogGapAccepted):
                    found.add(Gap(event.data.first, event.data.last))
    return sorted(found)


async def accept_gap(client: Connection, gap: Gap, reason: str, by: str, at: datetime) -> Receipt:
    """Decide that the book goes on without these messages. Raises GapError where it is no gap, or not a whole one."""
    state = await stream_state(client)
    if not 1 <= gap.first <= gap.last <= state.last_sequence:
        raise GapError(f"the log goes from 1 to {state.last_sequence}: {gap} is not within it")
    if gap.last - gap.first >= GAP_MAX:
        raise GapError(
            f"{gap} is more than {GAP_MAX:,} messages: that is no gap to go on from, but another log"
        )
    for sequence in range(gap.first, gap.last + 1):
        if await read_one(client, sequence, from_leader=True) is not None:
            raise GapError(f"the log has message {sequence}: only what is lost can be accepted as such")
    for sequence in (gap.first - 1, gap.last + 1):
        within = 1 <= sequence <= state.last_sequence
        if within and await read_one(client, sequence, from_leader=True) is None:
            raise GapError(f"message {sequence} is lost, too: accept the whole of the gap")
    data = LogGapAccepted(gap=f"{gap.first}-{gap.last}", first=gap.first, last=gap.last, reason=reason)
    envelope = BY_PAYLOAD[LogGapAccepted].envelope(
        specversion="1.0",
        id=f"gap-{data.gap}",
        source=SOURCE,
        subject=data.gap,
        time=at,
        datacontenttype="application/json",
        actor=by,
        data=data,
    )
    body = msgspec.json.encode(envelope)
    outgoing = Outgoing(CATALOGUE.subject_for(envelope), body, message_id(SOURCE, envelope.id, body))
    return await append_decision(client, outgoing, await last_decision(client))
