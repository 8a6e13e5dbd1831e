"""Appending facts: every event gets the sequence it is stored under, however often it is sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import nats.errors
from nats.aio.client import Client

from domain.errors import QudaoError
from infra.connection import LostError
from infra.jetstream import JetStreamError, LogUnreachableError, Refusal
from infra.stream import MESSAGE_BYTES_MAX, STREAM

HEADER_BYTES_MAX = 192  # message id, batch id, place in the batch; the limit of the stream counts them
BODY_BYTES_MAX = MESSAGE_BYTES_MAX - HEADER_BYTES_MAX
BATCH_MAX = 1000  # the server's own limit
BATCH_BYTES_MAX = 4_194_304
# An atomic batch costs four disk syncs whatever its size, a plain publish one (R1, sync_interval: always).
BATCH_MIN = 5
SINGLES_MAX = 256
SENT_MAX = 20_000  # how many message ids are remembered
FIRST_TRY_SECONDS = 2.0
BATCH_SECONDS = 5.0
DUPLICATE_IN_PROCESS = 10158
UNAVAILABLE = 503


class EventTooLargeError(QudaoError):
    """The event is larger than the log takes; nothing of the request was sent."""

    code = "event_too_large"


class AppendUnknownError(QudaoError):
    """The log fell silent: the event may be stored or not."""

    code = "append_unknown"


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One event on its way to the log; the log stores one message id once within its duplicate window."""

    subject: str
    body: bytes
    message_id: str


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where the event stands in the log; `duplicate`: it stood there before this answer."""

    sequence: int
    duplicate: bool


class Answer(msgspec.Struct):
    """What the log says to a message: where it stands, or why it does not."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    count: int = 0
    error: Refusal | None = None


Outcome = Receipt | QudaoError


class _Part(msgspec.Struct, frozen=True):
    messages: Sequence[Outgoing]
    outcomes: asyncio.Future[list[Outcome]]


def message_id(source: str, event: str, body: bytes) -> str:
    """Name an event by its identity and content, so that other content under one identity is stored too."""
    digest = hashlib.sha256()
    for part in (source.encode(), event.encode(), body):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return base64.urlsafe_b64encode(digest.digest())[:22].decode()


class Appender:
    """Stores events for many callers at once; who waits while a write is in flight shares the next one.

    One write at a time: more in flight gained nothing measurable (one disk, one sequence), and so the
    events of one call stand in the log in their order unless some went singly, again or after a failure.
    """

    def __init__(self, client: Client, *, patience_seconds: float = 15) -> None:
        self._client = client
        self._patience_seconds = patience_seconds
        self._waiting: deque[_Part] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._singles = asyncio.Semaphore(SINGLES_MAX)
        # What was sent lately goes singly: the log refuses a whole batch for one repeated id.
        self._sent: dict[str, None] = {}

    async def append(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        """Return one receipt per event, in order, once all are stored.

        Raises EventTooLargeError before anything is sent, AppendUnknownError where the log fell silent (send
        the same events again: what is stored is not stored twice), LogUnreachableError or JetStreamError
        where an event is certainly not stored.
        """
        for message in messages:
            if len(message.body) > BODY_BYTES_MAX:
                raise EventTooLargeError(
                    f"an event for {message.subject} has {len(message.body)} bytes, the log takes"
                    f" {BODY_BYTES_MAX}: put large content elsewhere and name its SHA-256 in `attachments`"
                )
        loop = asyncio.get_running_loop()
        parts = [_Part(part, loop.create_future()) for part in _cut(messages)]
        self._waiting.extend(parts)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        outcomes = [outcome for part in parts for outcome in await part.outcomes]
        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        if len(receipts) < len(outcomes):
            raise _worst([outcome for outcome in outcomes if isinstance(outcome, QudaoError)])
        return receipts

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write(self._gather())
        finally:
            self._writing = None

    def _gather(self) -> list[_Part]:
        parts = [self._waiting.popleft()]
        count = len(parts[0].messages)
        size = _size(parts[0].messages)
        while self._waiting:
            count += len(self._waiting[0].messages)
            size += _size(self._waiting[0].messages)
            if count > BATCH_MAX or size > BATCH_BYTES_MAX:
                break
            parts.append(self._waiting.popleft())
        return parts

    async def _write(self, parts: list[_Part]) -> None:
        messages = [message for part in parts for message in part.messages]
        try:
            outcomes = iter(await self._store(messages))
        except Exception as error:  # a bug: its callers hear of it, the next write goes on
            for part in parts:
                if not part.outcomes.done():
                    part.outcomes.set_exception(error)
            return
        except asyncio.CancelledError:
            for part in (*parts, *self._waiting):
                part.outcomes.cancel()
            raise
        for part in parts:
            own = [next(outcomes) for _ in part.messages]
            if not part.outcomes.done():  # a caller that gave up
                part.outcomes.set_result(own)

    async def _store(self, messages: list[Outgoing]) -> list[Outcome]:
        once = {message.message_id: message for message in messages}
        fresh = [message for name, message in once.items() if name not in self._sent]
        again = [message for name, message in once.items() if name in self._sent]
        first = await self._store_batch(fresh) if len(fresh) >= BATCH_MIN else None
        stored = [*(first or await self._store_singly(fresh)), *await self._store_singly(again)]
        self._remember(once)
        outcome_of = {
            message.message_id: outcome for message, outcome in zip((*fresh, *again), stored, strict=True)
        }
        outcomes: list[Outcome] = []
        for message in messages:
            outcome = outcome_of[message.message_id]
            outcomes.append(outcome)
            if isinstance(outcome, Receipt):
                outcome_of[message.message_id] = Receipt(outcome.sequence, True)
        return outcomes

    def _remember(self, names: Iterable[str]) -> None:
        self._sent |= dict.fromkeys(names)
        for name in list(self._sent)[:-SENT_MAX] if len(self._sent) > 2 * SENT_MAX else ():
            del self._sent[name]

    async def _store_batch(self, messages: list[Outgoing]) -> list[Outcome] | None:
        """Store all in one commit; None where that failed or nobody knows: sending singly settles both."""
        batch = secrets.token_hex(8)
        try:
            for place, message in enumerate(messages[:-1], 1):
                headers = _headers(message, batch, place)
                await self._client.publish(message.subject, message.body, headers=headers)
            headers = _headers(messages[-1], batch, len(messages)) | {"Nats-Batch-Commit": "1"}
            reply = await self._client.request(
                messages[-1].subject, messages[-1].body, timeout=BATCH_SECONDS, headers=headers
            )
        except nats.errors.Error:
            return None
        answer = msgspec.json.decode(reply.data, type=Answer)
        if answer.error is not None or answer.count != len(messages):
            return None
        return [Receipt(sequence, False) for sequence in range(answer.seq - answer.count + 1, answer.seq + 1)]

    async def _store_singly(self, messages: list[Outgoing]) -> list[Outcome]:
        deadline = asyncio.get_running_loop().time() + self._patience_seconds
        return await asyncio.gather(*(self._store_single(message, deadline) for message in messages))

    async def _store_single(self, message: Outgoing, deadline: float) -> Outcome:
        now = asyncio.get_running_loop().time
        outcome: QudaoError | None = None
        attempt_seconds = FIRST_TRY_SECONDS
        pause_seconds = 0.05
        async with self._singles:
            while outcome is None or now() < deadline:
                seconds = max(0.1, min(attempt_seconds, deadline - now()))
                tried = await self._try(message, seconds)
                if isinstance(tried, Receipt | JetStreamError):
                    return tried
                # One silent try is enough for not knowing, whatever the later ones say.
                outcome = outcome if isinstance(outcome, AppendUnknownError) else tried
                attempt_seconds *= 2
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(1, pause_seconds * 2)
        return outcome

    async def _try(self, message: Outgoing, seconds: float) -> Outcome:
        try:
            reply = await self._client.request(
                message.subject, message.body, timeout=seconds, headers=_headers(message)
            )
        except nats.errors.NoRespondersError:
            return LogUnreachableError(f"no stream takes {message.subject}: the event is not stored")
        except (nats.errors.TimeoutError, LostError):
            return AppendUnknownError("the log did not answer: send the same event again, under the same id")
        except nats.errors.Error as error:
            return LogUnreachableError(f"the event could not be sent: {error}")
        answer = msgspec.json.decode(reply.data, type=Answer)
        if answer.error is None:
            if answer.stream != STREAM:
                return LogUnreachableError(f"{message.subject} is taken by the stream {answer.stream}")
            return Receipt(answer.seq, answer.duplicate)
        refused = JetStreamError(f"append to {message.subject}", answer.error)
        if answer.error.code == UNAVAILABLE or answer.error.err_code == DUPLICATE_IN_PROCESS:
            return LogUnreachableError(str(refused))
        return refused


def _headers(message: Outgoing, batch: str | None = None, place: int = 0) -> dict[str, str]:
    if batch is None:
        return {"Nats-Msg-Id": message.message_id}
    return {"Nats-Msg-Id": message.message_id, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(place)}


def _size(messages: Sequence[Outgoing]) -> int:
    return sum(len(message.body) + HEADER_BYTES_MAX for message in messages)


def _cut(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Cut what exceeds one batch, by number or by bytes."""
    begin = size = 0
    for place, message in enumerate(messages):
        size += len(message.body) + HEADER_BYTES_MAX
        if place > begin and (place - begin >= BATCH_MAX or size > BATCH_BYTES_MAX):
            yield messages[begin:place]
            begin, size = place, len(message.body) + HEADER_BYTES_MAX
    if messages:
        yield messages[begin:]


def _worst(errors: list[QudaoError]) -> QudaoError:
    unknown = [error for error in errors if isinstance(error, AppendUnknownError)]
    return (unknown or errors)[0]
