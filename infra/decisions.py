"""Appending decisions: each stands on all decisions before it, or is not stored."""

from __future__ import annotations

import msgspec
import nats.errors
from nats.aio.client import Client

from domain.errors import QudaoError
from infra.append import Answer, AppendUnknownError, Outgoing, Receipt
from infra.jetstream import JetStreamError, LogUnreachableError, ask
from infra.stream import STREAM

DECISIONS = "channel.decisions.>"
WAIT_SECONDS = 5
NO_MESSAGE = 10037
# The second is what several writers at once get on a cluster.
OVERTAKEN = frozenset({10071, 10164})


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
