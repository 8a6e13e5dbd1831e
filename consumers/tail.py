"""The live end of the log, as a FastStream batch subscriber that neither skips nor swallows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from types import TracebackType

import nats.errors
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsBatchMessage
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, ConnectionReconnectingError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy as ServerAckPolicy
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import ServiceUnavailableError

from infra.delivery import place
from infra.jetstream import JetStreamError, LogUnreachableError
from infra.message import Message
from infra.reader import LogHoleError, LogShrunkError
from infra.stream import STREAM, SUBJECTS, StreamState, stream_state

log = logging.getLogger("qudao.log")

Handle = Callable[[list[Message]], Awaitable[None]]
Verify = Callable[[], Awaitable[None]]

SILENT_SECONDS = 2.0
RETRY_SECONDS = 0.2
STUCK_MAX = 3  # how often the end is subscribed anew while nothing comes that is there
IDLE_SECONDS = 60
IDLE_PULL_SECONDS = 0.5  # how long a pull waits for a first message; an end that is asked for waits as long
LINGER_SECONDS = 0.002  # what a first message waits for others
BEHIND_SECONDS = 0.1  # what it waits for those that are there already, at most
FETCH_SECONDS = 0.001  # FastStream would go on fetching until it is over; what one fetch brings is enough


class LogBroker(NatsBroker):
    """A broker that can be stopped while its server is away."""

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Stop; what nobody listens to any more cannot be drained, and is closed."""
        connection = self._connection
        with suppress(ConnectionClosedError, ConnectionReconnectingError):
            await super().stop(exc_type, exc_val, exc_tb)
        if connection is not None and not connection.is_closed:
            with suppress(OSError):  # raised by flushing what was still to be sent
                await connection.close()


def log_broker(url: str, name: str) -> NatsBroker:
    """Make a broker whose connection is never given up and whose errors discard no event."""
    return LogBroker(
        url.split(","),
        name=name,
        max_reconnect_attempts=-1,  # the default gives up after two minutes, and then FastStream spins
        reconnect_time_wait=0.5,  # type: ignore[arg-type]  # declared int, used in sleep()
        ping_interval=20,
        drain_timeout=5,
        apply_types=False,  # raw messages in: validation happens where events are decoded
        ack_policy=AckPolicy.MANUAL,  # the default discards what a handler failed on
        logger=logging.getLogger("qudao.faststream"),
        log_level=logging.DEBUG,  # two lines a batch
    )


async def tail(
    broker: NatsBroker,
    after: int,
    handle: Handle,
    *,
    verify: Verify | None = None,
    batch_max: int = 1000,
    silent_seconds: float = SILENT_SECONDS,
) -> None:
    """Hand every message after a position to `handle`, once, in order, until cancelled.

    The broker must be connected. What `handle` raises ends the tail and is raised here; so are LogHoleError,
    LogShrunkError, and LogUnreachableError once the connection is closed for good, or where a message does not come
    though it is there: nats-py cannot read every subject that the server takes. A batch in hand when the tail is
    cancelled is finished first. `verify` is asked before a lost subscription is made anew: meanwhile
    the log may have been restored from an older copy and grown beyond the position again. What it raises ends
    the tail, too.
    """
    end = _End(await stream_state(broker.connection), after, handle)
    subscribed, stuck, times = False, -1, 0
    while True:
        end.renew()
        subscriber = broker.subscriber(
            SUBJECTS[0],
            stream=JStream(STREAM, declare=False),  # declaring would change the stream
            pull_sub=PullSub(batch=True, batch_size=batch_max, timeout=FETCH_SECONDS),
            config=_from_sequence(end.handled + 1),
            decoder=_raw,
            persistent=False,
            title="channel log",
        )
        subscriber(end.take)
        try:
            await subscriber.start()
            subscribed = True
            _ask_promptly(subscriber.subscription, end)
            await _watch(broker, end, silent_seconds)
        except nats.errors.Error as error:  # the server is away, or not yet ready
            if not subscribed or broker.connection.is_closed:
                raise LogUnreachableError(f"the live end of the log is out of reach: {error}") from error
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            if (
                broker.connection.is_closed
            ):  # nothing to unsubscribe from: trying raises, here and in broker.stop()
                subscriber.subscription = None
            await subscriber.stop()
        if verify is not None:
            await verify()
        times = times + 1 if stuck == end.handled else 0
        if times == STUCK_MAX:
            raise LogUnreachableError(
                f"what comes after sequence {stuck} of the log does not come by its live end"
            )
        stuck = end.handled
        log.warning("the live end of the log is subscribed anew after sequence %d", end.handled)


class _End:
    """The end of the log as handled so far, and why the present subscription cannot go on."""

    def __init__(self, state: StreamState, after: int, handle: Handle) -> None:
        self.handled = after
        self.failure: Exception | None = None
        self._handle = handle
        self._created = state.created
        self.check(state)
        self.renew()

    def renew(self) -> None:
        """Begin a subscription; its deliveries are counted from one."""
        self.lost = False
        self.busy = False
        self.heard = monotonic()
        self.stirred = asyncio.Event()
        self._number = 0

    def check(self, state: StreamState) -> None:
        """Refuse a log that is not the one read so far."""
        if state.created != self._created:
            raise LogShrunkError(f"the stream {STREAM} was made anew while it was read")
        if state.last_sequence < self.handled:
            raise LogShrunkError(
                f"the log ends at {state.last_sequence}, before {self.handled}: it lost its end"
            )

    def lose(self) -> None:
        """Give the present subscription up."""
        self.lost = True
        self.stirred.set()

    async def take(self, raw: list[Msg]) -> None:
        """Hand on what follows; FastStream would log and forget an exception, so it is kept for `tail`."""
        if self.lost or self.failure is not None:
            return
        self.busy = True
        try:
            if batch := self._following(raw):
                await self._handle(batch)
                self.handled = batch[-1].sequence
        except Exception as error:
            self.failure = error
        finally:
            self.busy = False
            self.heard = monotonic()
            if self.failure is not None:
                self.stirred.set()

    def _following(self, raw: list[Msg]) -> list[Message]:
        batch: list[Message] = []
        following = self.handled + 1
        for message in raw:
            sequence, number, recorded, _ = place(message.reply.encode())
            self._number += 1
            if number != self._number:  # delivered to a connection that was lost meanwhile
                self.lose()
                break
            if sequence > following:
                self.failure = LogHoleError(following, sequence)
                break
            if sequence == following:
                batch.append(Message(sequence, recorded, message.subject, message.data))
                following += 1
        return batch


async def _watch(broker: NatsBroker, end: _End, silent_seconds: float) -> None:
    """Return when the subscription is to be made anew, raise when nothing can follow."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(silent_seconds / 2):
                await end.stirred.wait()
        task = asyncio.current_task()
        if (
            task is not None and task.cancelling()
        ):  # Python 3.11 loses it where an answer comes at the same time
            raise asyncio.CancelledError
        if end.failure is not None:
            raise end.failure
        if broker.connection.is_closed:
            raise LogUnreachableError("the connection to the log is closed for good")
        if not end.lost and (end.busy or monotonic() - end.heard < silent_seconds):
            continue
        try:
            state = await stream_state(broker.connection)
        except LogUnreachableError:
            if broker.connection.is_connected:  # what reads for it may have died of a subject it cannot read
                raise
            continue
        except JetStreamError as error:
            if not error.passing:
                raise
            continue
        end.check(state)
        if end.lost or (state.last_sequence > end.handled and not end.busy):
            return


def _ask_promptly(subscription: JetStreamContext.PullSubscription | None, end: _End) -> None:
    """Wait for one message and take what comes with it; nats-py waits until a batch is full or its time over.

    A consumer that is gone is known at once; FastStream drops the error and asks again, unpausing.
    """
    assert subscription is not None
    fetch = subscription.fetch

    async def prompt(batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None) -> list[Msg]:  # noqa: ASYNC109
        try:
            first = await fetch(1, IDLE_PULL_SECONDS, heartbeat)
            waiting = place(first[-1].reply.encode())[3]
            try:
                if waiting:  # behind: what is there comes as fast as it can be read
                    return [*first, *await fetch(min(batch - 1, waiting), BEHIND_SECONDS, heartbeat)]
                return [*first, *await fetch(batch - 1, LINGER_SECONDS, heartbeat)]
            except TimeoutError:
                return first
        except (ConnectionClosedError, ServiceUnavailableError):
            end.lose()
            await asyncio.sleep(RETRY_SECONDS)
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            end.lose()  # a connection that is closed cancels what waits for its messages
            await asyncio.sleep(RETRY_SECONDS)
            raise nats.errors.TimeoutError from error
        except (
            TimeoutError
        ) as error:  # nats-py lets asyncio's own slip through, which FastStream does not know
            raise nats.errors.TimeoutError from error

    subscription.fetch = prompt  # type: ignore[method-assign]


def _from_sequence(sequence: int) -> ConsumerConfig:
    return ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=sequence,
        ack_policy=ServerAckPolicy.NONE,
        inactive_threshold=IDLE_SECONDS,
        mem_storage=True,
        num_replicas=1,
    )


async def _raw(message: NatsBatchMessage) -> list[Msg]:
    return message.raw_message
