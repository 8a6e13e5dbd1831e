"""Sends simulated events to the log, as the sources would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from msgspec import Struct

from cli.simulation.outbox import Published
from infra.append import Outgoing, Receipt, message_id


class Appends(Protocol):
    """What stores events: the log's appender, or a list in a test."""

    async def append(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Return one receipt per event, in order, once all are stored."""
        ...


class Sent(Struct):
    """What became of a stream: `duplicates` stood in the log already, within its duplicate window."""

    events: int = 0
    duplicates: int = 0
    last_sequence: int = 0


async def publish(
    appender: Appends,
    published: Iterable[Published],
    *,
    batch: int = 500,
    limit: int | None = None,
    rate: float | None = None,
) -> Sent:
    """Append events in their order, `batch` at a time; at most `limit` of them, at most `rate` a second.

    Raises what the appender raises; what came before is stored, and the same stream may be sent again.
    """
    sent = Sent()
    stream = islice(published, limit)
    now = asyncio.get_running_loop().time
    begun = now()
    while part := list(islice(stream, batch)):
        receipts = await appender.append([outgoing(event) for event in part])
        sent.events += len(receipts)
        sent.duplicates += sum(receipt.duplicate for receipt in receipts)
        sent.last_sequence = max(sent.last_sequence, *(receipt.sequence for receipt in receipts))
        if rate is not None:
            await asyncio.sleep(max(0.0, begun + sent.events / rate - now()))
    return sent


def outgoing(event: Published) -> Outgoing:
    """The event under the message id that every publisher of it would use."""
    return Outgoing(event.subject, event.body, message_id(event.source, event.id, event.body))
