from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from faststream.nats import NatsBroker
from log_events import delete_stream, numbered
from nats.errors import ConnectionClosedError

from consumers.tail import log_broker, tail
from infra.append import Appender
from infra.connection import Connection
from infra.jetstream import LogUnreachableError, ask, connect
from infra.message import Message
from infra.nats_server import NatsServer
from infra.reader import LogHoleError, LogShrunkError
from infra.stream import STREAM, StreamError, create_stream

pytestmark = pytest.mark.integration

Json = dict[str, object]


class Handled:
    """Remembers what was handed on, and can be waited for."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._more = asyncio.Condition()

    async def __call__(self, batch: list[Message]) -> None:
        async with self._more:
            self.messages += batch
            self._more.notify_all()

    async def until(self, sequence: int, seconds: float = 8) -> list[int]:
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: bool(self.messages) and self.messages[-1].sequence >= sequence)
        return [message.sequence for message in self.messages]


@asynccontextmanager
async def broker_at(server: NatsServer) -> AsyncIterator[NatsBroker]:
    broker = log_broker(server.url, "tail")
    await broker.connect()
    yield broker
    with suppress(ConnectionClosedError):  # FastStream's word where the connection was closed for good
        await broker.stop()


@asynccontextmanager
async def tailing(broker: NatsBroker, after: int, handled: Handled) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(tail(broker, after, handled, silent_seconds=0.5))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def consumers(client: Connection) -> list[str]:
    names = await ask(client, f"CONSUMER.NAMES.{STREAM}", {}, Json)
    return list(names["consumers"])  # type: ignore[call-overload]


async def test_the_tail_hands_on_what_was_there_and_what_arrives(
    stream: Connection, nats_server: NatsServer
) -> None:
    handled = Handled()
    events = numbered(1, 30)
    await Appender(stream).append(events[:20])

    async with broker_at(nats_server) as broker, tailing(broker, 10, handled):
        await handled.until(20)
        await Appender(stream).append(events[20:])
        sequences = await handled.until(30)

    assert sequences == list(range(11, 31))
    assert [m.body for m in handled.messages] == [event.body for event in events[10:]]


async def test_what_the_handler_raises_ends_the_tail(stream: Connection, nats_server: NatsServer) -> None:
    seen: list[int] = []

    async def failing(batch: list[Message]) -> None:
        seen.extend(message.sequence for message in batch)
        raise ZeroDivisionError("a fold that raises is a bug")

    await Appender(stream).append(numbered(1, 30))

    async with broker_at(nats_server) as broker:
        with pytest.raises(ZeroDivisionError, match="a fold that raises"):
            await asyncio.wait_for(tail(broker, 0, failing, batch_max=10), 5)

    assert seen == list(range(1, 11))


async def test_a_batch_in_hand_is_finished_when_the_tail_is_cancelled(
    stream: Connection, nats_server: NatsServer
) -> None:
    begun, finished = asyncio.Event(), asyncio.Event()

    async def slow(batch: list[Message]) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        finished.set()

    await Appender(stream).append(numbered(1, 3))

    async with broker_at(nats_server) as broker:
        task = asyncio.create_task(tail(broker, 0, slow))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert finished.is_set()


async def test_a_forgotten_consumer_is_made_again(stream: Connection, nats_server: NatsServer) -> None:
    handled = Handled()
    await Appender(stream).append(numbered(1, 3))

    async with broker_at(nats_server) as broker, tailing(broker, 0, handled):
        await handled.until(3)
        for name in await consumers(stream):
            await ask(stream, f"CONSUMER.DELETE.{STREAM}.{name}", {}, Json)
        await Appender(stream).append(numbered(4, 6))
        sequences = await handled.until(6)

    assert sequences == list(range(1, 7))


async def test_a_silent_consumer_is_replaced(stream: Connection, nats_server: NatsServer) -> None:
    handled = Handled()
    await Appender(stream).append(numbered(1, 3))

    async with broker_at(nats_server) as broker, tailing(broker, 0, handled):
        await handled.until(3)
        for name in await consumers(stream):
            pause = {"pause_until": "2100-01-01T00:00:00Z"}
            await ask(stream, f"CONSUMER.PAUSE.{STREAM}.{name}", pause, Json)
        await Appender(stream).append(numbered(4, 6))
        sequences = await handled.until(6)

    assert sequences == list(range(1, 7))


async def test_a_killed_server_costs_time_and_no_message(tmp_path: Path) -> None:
    server = NatsServer.start(tmp_path)
    client = await connect(server.url, "test")
    await create_stream(client)
    handled = Handled()

    async with broker_at(server) as broker, tailing(broker, 0, handled):
        for first in (1, 101, 201):
            await Appender(client).append(numbered(first, first + 99))
            await handled.until(first + 99)
            server.kill()
            server = NatsServer.start(tmp_path, port=server.port)
        await Appender(client).append(numbered(301, 302))
        sequences = await handled.until(302)

    await client.close()
    server.stop()
    assert sequences == list(range(1, 303))


async def test_a_connection_closed_for_good_ends_the_tail_and_the_loop_goes_on(
    stream: Connection, nats_server: NatsServer
) -> None:
    handled = Handled()
    await Appender(stream).append(numbered(1, 3))

    async with broker_at(nats_server) as broker, tailing(broker, 0, handled) as task:
        await handled.until(3)
        await broker.connection.close()
        with pytest.raises(LogUnreachableError, match=r"closed for good|out of reach"):
            await asyncio.wait_for(task, 15)  # it may have asked the log just then, and waits for its answer


async def test_a_hole_ends_the_tail_after_everything_before_it(
    stream: Connection, nats_server: NatsServer
) -> None:
    handled = Handled()
    await delete_stream(stream)
    config = {"name": STREAM, "subjects": ["channel.*.*"], "allow_atomic": True}
    await ask(stream, f"STREAM.CREATE.{STREAM}", config, Json)
    await Appender(stream).append(numbered(1, 10))
    await ask(stream, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 5}, Json)

    async with broker_at(nats_server) as broker:
        with pytest.raises(LogHoleError, match=r"no message 5 \(found 6\)"):
            await asyncio.wait_for(tail(broker, 0, handled), 5)

    assert [message.sequence for message in handled.messages] == [1, 2, 3, 4]


async def test_a_log_that_shrank_or_was_made_anew_ends_the_tail(
    stream: Connection, nats_server: NatsServer
) -> None:
    handled = Handled()
    await Appender(stream).append(numbered(1, 3))

    async with broker_at(nats_server) as broker:
        with pytest.raises(LogShrunkError, match="the log ends at 3, before 4"):
            await tail(broker, 4, handled)
        async with tailing(broker, 0, handled) as task:
            await handled.until(3)
            await delete_stream(stream)
            await create_stream(stream)
            await Appender(stream).append(numbered(1, 9))
            with pytest.raises((LogShrunkError, StreamError), match=r"made anew|there is no stream"):
                await asyncio.wait_for(
                    task, 15
                )  # it may have asked the log just then, and waits for its answer
