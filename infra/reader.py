"""Reading the log in order, fast, and loudly where it is not whole."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec
import nats.errors
from nats.aio.subscription import Subscription

from domain.errors import QudaoError
from domain.gaps import Gap, covered
from infra.connection import Connection
from infra.delivery import place
from infra.jetstream import JetStreamError, LogUnreachableError, ask
from infra.lookups import read_one
from infra.message import Message, subject_text
from infra.stream import STREAM, StreamState, stream_state

log = logging.getLogger("qudao.log")

PULL_SECONDS = 10
LINGER_SECONDS = 0.02  # what a batch waits for more where the server says more is coming
HEARTBEAT_SECONDS = 1
SILENCE_SECONDS = 3  # three heartbeats missed: the consumer is gone
IDLE_SECONDS = 60  # then the server forgets the consumer of a reader that died
PULL_BYTES_MAX = 16_777_216  # bounds what is read ahead where messages are large
RETRY_SECONDS = 0.1


class LogHoleError(QudaoError):
    """A sequence is missing on the replica that answers: the log is damaged there."""

    code = "log_hole"

    def __init__(self, expected: int, found: int | None) -> None:
        then = "nothing" if found is None else str(found)
        super().__init__(
            f"the log has no message {expected} (found {then}): `qudao repair` says what can be done; nothing is "
            "folded beyond it"
        )
        self.expected = expected
        self.found = found


class LogShrunkError(QudaoError):
    """The log ends before a position that was read, or is another log of the same name."""

    code = "log_shrunk"


class _Created(msgspec.Struct):
    name: str
    num_pending: int = 0


class Reader:
    """Yields the messages after a position in batches of at most `batch_max`, each sequence once, in order.

    Reads ahead `depth` batches. With `until` it ends exactly there; without, it goes on with what arrives.
    Without `subjects` every sequence must follow the one before, but for the `gaps`: LogHoleError otherwise. A server
    that restarts or forgets the consumer costs time, not messages; a log that shrank or was replaced is a
    LogShrunkError.
    """

    def __init__(
        self,
        client: Connection,
        *,
        after: int = 0,
        until: int | None = None,
        subjects: Sequence[str] = (),
        gaps: Sequence[Gap] = (),
        batch_max: int = 1000,
        depth: int = 2,
    ) -> None:
        self._client = client
        self._position = after  # the last sequence handed on
        self._until = until
        self._subjects = list(subjects)
        self._gaps = gaps
        self._batch_max = batch_max
        self._depth = depth
        self._created = 0
        self._consumer = self._inbox = self._next = ""
        self._request = msgspec.json.encode(
            {
                "batch": batch_max,
                "expires": PULL_SECONDS * 1_000_000_000,
                "idle_heartbeat": HEARTBEAT_SECONDS * 1_000_000_000,
                "max_bytes": PULL_BYTES_MAX,
            }
        )
        self._subscription: Subscription | None = None
        self._reset()

    def _reset(self) -> None:
        self._messages: list[Message] = []
        self._owed = 0  # messages asked for and not yet delivered
        self._delivered = 0  # by this consumer, which counts them too
        self._caught_up = False
        self._heard = True
        self._lost = False
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Message]:
        while self._until is None or self._position < self._until:
            if self._lost:
                await self._begin_again()
            await self._ask_ahead()
            full = len(self._messages) >= self._batch_max or self._caught_up
            if full or not await self._woken(LINGER_SECONDS):
                if self._messages:
                    return self._hand_on()
                if self._until is not None and self._caught_up and self._subjects:
                    break
                await self._listen()
        raise StopAsyncIteration

    def _hand_on(self) -> list[Message]:
        batch = self._messages[: self._batch_max]
        if self._until is not None and batch[-1].sequence > self._until:
            batch = [message for message in batch if message.sequence <= self._until]
            if not batch and (self._subjects or covered(self._gaps, self._position + 1, self._until)):
                raise StopAsyncIteration
        if not self._subjects and (not batch or batch[-1].sequence != self._position + len(batch)):
            batch = self._before_the_hole(batch)
        del self._messages[: len(batch)]
        self._position = batch[-1].sequence
        return batch

    def _before_the_hole(self, batch: list[Message]) -> list[Message]:
        whole: list[Message] = []
        expected = self._position + 1
        for message in batch:
            if message.sequence != expected and not covered(self._gaps, expected, message.sequence - 1):
                break
            whole.append(message)
            expected = message.sequence + 1
        if not whole:
            raise LogHoleError(self._position + 1, self._messages[0].sequence)
        return whole

    async def _listen(self) -> None:
        if await self._woken(SILENCE_SECONDS):
            return
        if self._until is not None and self._caught_up and self._heard and not self._subjects:
            raise LogHoleError(self._position + 1, None)
        if self._until is not None and self._heard and not self._subjects:
            await self._refuse_unreadable()
        self._lost = not self._heard and self._client.is_connected
        self._heard = False

    async def _refuse_unreadable(self) -> None:
        """The server goes silent over a message that it counts and cannot read, where none comes after it."""
        following = self._position + 1
        if await read_one(self._client, following, from_leader=True) is None:
            raise LogHoleError(following, None)

    async def _woken(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _ask_ahead(self) -> None:
        while self._owed + len(self._messages) <= (self._depth - 1) * self._batch_max:
            try:
                await self._client.publish(self._next, self._request, reply=self._inbox)
            except nats.errors.ConnectionClosedError as error:
                raise LogUnreachableError("the connection to the log is closed for good") from error
            except nats.errors.OutboundBufferLimitError:  # away for long; the reconnect begins anew
                return
            self._owed += self._batch_max

    def _receive(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self._heard = True
        if not reply:
            self._told(headers)
            return
        sequence, number, recorded, waiting = place(reply)
        self._delivered += 1
        if number != self._delivered:
            self._lost = True
        if self._lost:
            self._wake.set()
            return
        self._messages.append(Message(sequence, recorded, subject_text(subject), body))
        self._owed -= 1
        self._caught_up = waiting == 0
        if self._caught_up or len(self._messages) >= self._batch_max:
            self._wake.set()

    def _told(self, headers: bytes) -> None:
        status = headers[9:12]
        if status == b"100":  # a heartbeat
            return
        pending = re.search(rb"Nats-Pending-Messages: (\d+)", headers)
        if pending is None:  # the consumer is gone, or moved: 503, or 409 with a reason
            self._lost = True
            self._wake.set()
        else:  # a pull that ended by time or by bytes
            self._owed -= int(pending[1])
            self._wake.set()

    async def _begin(self) -> None:
        state = await stream_state(self._client)
        self._refuse_another_log(state)
        self._reset()
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.open_lane(self._inbox, self._receive)
        try:
            created = await self._create()
        except LogUnreachableError:  # a server that has just come back may have been given it, and lost it
            created = await self._create()
        self._consumer = created.name
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{created.name}"
        self._caught_up = created.num_pending == 0

    async def _create(self) -> _Created:
        """A consumer of its own, under a new name each time."""
        name = secrets.token_hex(8)
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "ack_policy": "none",
            "filter_subjects": self._subjects,
            "inactive_threshold": IDLE_SECONDS * 1_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        }
        question = {"stream_name": STREAM, "config": config}
        return await ask(self._client, f"CONSUMER.CREATE.{STREAM}.{name}", question, _Created)

    def _refuse_another_log(self, state: StreamState) -> None:
        if self._created not in (0, state.created):
            raise LogShrunkError(f"the stream {STREAM} was made anew while it was read")
        self._created = state.created
        wanted = max(self._position, self._until or 0)
        if state.last_sequence < wanted:
            raise LogShrunkError(f"the log ends at {state.last_sequence}, before {wanted}: it lost its end")

    async def _begin_again(self) -> None:
        log.warning("reading the log anew after sequence %d", self._position)
        while not self._client.is_closed:
            await self._end()
            try:
                await self._begin()
                return
            except LogUnreachableError:
                await asyncio.sleep(RETRY_SECONDS)
            except JetStreamError as error:
                if not error.passing:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        raise LogUnreachableError("the connection to the log is closed for good")

    async def _end(self) -> None:
        if self._subscription is not None:
            await self._client.close_lane(self._subscription)
            self._subscription = None
        if self._consumer and self._client.is_connected:  # the server would forget it by itself, later
            await self._client.publish(f"$JS.API.CONSUMER.DELETE.{STREAM}.{self._consumer}")
        self._consumer = ""
