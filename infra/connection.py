"""nats-py's client with a fast lane for subscriptions that carry the log in bulk.

nats-py spends 20 µs on a message: five regular expressions, a dictionary of headers, a queue, a task. A lane
takes the four parts of a message straight from the read buffer, in order, at a tenth of that. Everything
else about the connection (TLS, credentials, reconnecting, other subscriptions) stays nats-py's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

# subject, reply, headers, body; called from the read loop, so it must return at once and never raise
Lane = Callable[[bytes, bytes, bytes, bytes], None]

LOST = b"NATS/1.0 503 Connection Lost\r\n\r\n"


class LostError(nats.errors.Error):
    """The connection broke before the answer came: nobody knows whether the request was heard.

    No kind of timeout, which nats-py would put a timeout of its own in the place of.
    """

    def __str__(self) -> str:
        return "the connection broke before the answer came"


class Connection(Client):
    """A NATS client whose lanes bypass the usual way of a message."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: dict[int, Lane] = {}
        self._ps = _LaneParser(self)

    async def open_lane(self, subject: str, lane: Lane) -> Subscription:
        """Subscribe so that `lane` gets every message; it survives reconnects, until close_lane."""
        subscription = await self.subscribe(subject, cb=_unused)
        self.lanes[subscription._id] = lane
        return subscription

    async def close_lane(self, subscription: Subscription) -> None:
        """End a lane; late messages are dropped."""
        if self.lanes.pop(subscription._id, None) is not None and not self.is_closed:
            await subscription.unsubscribe()

    async def close(self) -> None:
        """Close the connection, also where it is broken: then nats-py fails to flush what was still to be sent."""
        with suppress(OSError):
            await super().close()

    def interrupted(self) -> None:
        """End what waits for an answer that was lost with the connection; nats-py would sit its time out.

        A request fails with LostError. A lane is told 503, as by a server that no longer knows the consumer.
        """
        for answer in list((self._resp_map or {}).values()):
            if not answer.done():
                answer.set_exception(LostError())
        for lane in list(self.lanes.values()):
            lane(b"", b"", LOST, b"")

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        if lane := self.lanes.get(sid):
            lane(bytes(subject), bytes(reply), headers or b"", data)
        else:
            await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type]


class _LaneParser(Parser):
    """Walks over whole messages of lanes; whatever else turns up goes to nats-py's own parser."""

    nc: Connection

    async def parse(self, data: bytes = b"") -> None:
        lanes = self.nc.lanes
        if not lanes or self.state != AWAITING_CONTROL_LINE:
            await super().parse(data)
            return
        chunk = bytes(self.buf) + data if self.buf else bytes(data)
        size = len(chunk)
        position = 0
        while (line := chunk.find(b"\r\n", position)) >= 0:
            fields = chunk[position:line].split(b" ")  # [H]MSG subject sid [reply] [header bytes] total bytes
            verb = fields[0]
            lane = lanes.get(int(fields[2])) if verb in (b"HMSG", b"MSG") else None
            if lane is None:
                self.buf = bytearray(chunk[position:])
                await super().parse()
                return
            body = line + 2
            end = body + int(fields[-1])
            if end + 2 > size:
                break
            if verb == b"HMSG":
                begin, body = body, body + int(fields[-2])
                lane(fields[1], fields[3] if len(fields) == 6 else b"", chunk[begin:body], chunk[body:end])
            else:
                lane(fields[1], fields[3] if len(fields) == 5 else b"", b"", chunk[body:end])
            position = end + 2
        self.buf = bytearray(chunk[position:])


async def _unused(message: Msg) -> None:
    """Never called: a lane's messages do not reach the subscription."""
