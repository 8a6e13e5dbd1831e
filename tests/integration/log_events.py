"""Events for the log, of no meaning but their number, and a way to be rid of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from nats.errors import NoRespondersError

from infra.append import Outgoing, message_id
from infra.connection import Connection
from infra.stream import STREAM


def outgoing(number: int) -> Outgoing:
    body = b'{"id":"%d","pad":"%s"}' % (number, b"x" * 300)
    return Outgoing(f"channel.orders.D{number % 7}", body, message_id("erp", str(number), body))


def numbered(first: int, last: int) -> list[Outgoing]:
    return [outgoing(number) for number in range(first, last + 1)]


async def delete_stream(client: Connection) -> None:
    """Delete the stream and wait until it is: for some milliseconds it still takes and answers messages."""
    await client.request(f"$JS.API.STREAM.DELETE.{STREAM}", timeout=5)
    with suppress(NoRespondersError):
        while True:
            await client.request("channel.orders.gone", b"", timeout=5)
            await asyncio.sleep(0.01)
