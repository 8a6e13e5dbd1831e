from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from log_events import delete_stream, numbered, outgoing

from infra.append import Appender
from infra.connection import Connection
from infra.jetstream import LogUnreachableError, ask, connect
from infra.lookups import read_one, read_there
from infra.nats_server import NatsServer
from infra.reader import LogHoleError, LogShrunkError, Reader
from infra.stream import STREAM, create_stream

pytestmark = pytest.mark.integration

Json = dict[str, object]


async def read(reader: Reader, got: list[int] | None = None) -> list[int]:
    got = [] if got is None else got
    async with reader:
        async for batch in reader:
            got += [message.sequence for message in batch]
    return got


async def holed(client: Connection, *missing: int) -> None:
    """A log of ten messages that lost some, as a damaged replica has."""
    await delete_stream(client)
    config = {"name": STREAM, "subjects": ["channel.*.*"], "allow_atomic": True, "allow_direct": True}
    await ask(client, f"STREAM.CREATE.{STREAM}", config, Json)
    await Appender(client).append(numbered(1, 10))
    for sequence in missing:
        await ask(client, f"STREAM.MSG.DELETE.{STREAM}", {"seq": sequence}, Json)


@pytest.mark.parametrize("batch_max", [1, 7, 1000])
@pytest.mark.parametrize(("after", "until"), [(0, 2500), (0, 1), (999, 2000), (2499, 2500), (2500, 2500)])
async def test_a_reader_yields_each_message_once_in_order_and_ends_where_told(
    stream: Connection, batch_max: int, after: int, until: int
) -> None:
    await Appender(stream).append(numbered(1, 2500))

    read_ = await read(Reader(stream, after=after, until=until, batch_max=batch_max))

    assert read_ == list(range(after + 1, until + 1))


async def test_a_message_is_what_was_appended_and_every_way_of_reading_agrees(stream: Connection) -> None:
    events = numbered(1, 3)
    await Appender(stream).append(events)

    async with Reader(stream, until=3) as reader:
        [batch] = [batch async for batch in reader]

    assert [(m.subject, m.body) for m in batch] == [(e.subject, e.body) for e in events]
    assert await read_there(stream, [3, 1, 2]) == [batch[2], batch[0], batch[1]]
    assert await read_one(stream, 2, from_leader=True) == batch[1]
    assert await read_one(stream, 4) is None
    assert await read_one(stream, 4, from_leader=True) is None


async def test_bodies_of_every_size_come_whole(stream: Connection) -> None:
    bodies = [
        bytes([65 + n % 26]) * size for n, size in enumerate([0, 1, 100_000, 262_000, 5, 32_768, 0, 70_000])
    ]
    for body in bodies * 3:
        await stream.request("channel.orders.D1", body, timeout=5)

    async with Reader(stream, until=len(bodies) * 3) as reader:
        got = [message.body async for batch in reader for message in batch]

    assert got == bodies * 3


async def test_chosen_subjects_come_alone(stream: Connection) -> None:
    await Appender(stream).append(numbered(1, 1500))

    chosen = await read(Reader(stream, until=1000, subjects=["channel.*.D1", "channel.*.D2"]))
    none = await read(Reader(stream, until=1500, subjects=["channel.plans.*"]))

    assert chosen == [number for number in range(1, 1001) if number % 7 in (1, 2)]
    assert none == []


async def test_a_reader_without_an_end_goes_on_with_what_arrives(stream: Connection) -> None:
    appender = Appender(stream)
    await appender.append(numbered(1, 3))

    async with Reader(stream, after=1) as reader:
        first = await anext(reader)
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(0.1)
        await appender.append(numbered(4, 4))
        second = await asyncio.wait_for(waiting, 1)

    assert [[m.sequence for m in batch] for batch in (first, second)] == [[2, 3], [4]]


@pytest.mark.parametrize("missing", [1, 5, 9])
async def test_a_hole_is_an_error_after_everything_before_it(stream: Connection, missing: int) -> None:
    await holed(stream, missing)

    got: list[int] = []
    with pytest.raises(LogHoleError, match=f"no message {missing} \\(found {missing + 1}\\)") as hole:
        await read(Reader(stream, until=10), got)

    assert got == list(range(1, missing))
    assert (hole.value.expected, hole.value.found) == (missing, missing + 1)


async def test_a_hole_at_the_end_is_an_error_too(stream: Connection) -> None:
    await holed(stream, 9, 10)

    with pytest.raises(LogHoleError, match=r"no message 9 \(found nothing\)"):
        await read(Reader(stream, until=10))


async def test_messages_that_are_not_there_are_left_out(stream: Connection) -> None:
    await holed(stream, 9, 10)

    assert [message.sequence for message in await read_there(stream, [9, 8, 11, 1])] == [8, 1]


async def test_a_hole_just_before_the_end_asked_for_is_an_error(stream: Connection) -> None:
    await holed(stream, 5)

    with pytest.raises(LogHoleError, match="no message 5"):
        await read(Reader(stream, until=5))


async def test_a_position_beyond_the_log_is_an_error(stream: Connection) -> None:
    await Appender(stream).append(numbered(1, 3))

    with pytest.raises(LogShrunkError, match="the log ends at 3, before 4"):
        await read(Reader(stream, after=4))
    with pytest.raises(LogShrunkError, match="the log ends at 3, before 9"):
        await read(Reader(stream, until=9))


async def test_a_log_made_anew_under_the_reader_is_an_error(stream: Connection) -> None:
    await Appender(stream).append(numbered(1, 3))

    async with Reader(stream) as reader:
        await anext(reader)
        await delete_stream(stream)
        await create_stream(stream)
        await Appender(stream).append(numbered(1, 9))
        with pytest.raises(LogShrunkError, match="made anew"):
            await asyncio.wait_for(anext(reader), 5)


async def test_a_forgotten_consumer_is_made_again(stream: Connection) -> None:
    appender = Appender(stream)
    await appender.append(numbered(1, 3))

    async with Reader(stream) as reader:
        await anext(reader)
        names = await ask(stream, f"CONSUMER.NAMES.{STREAM}", {}, Json)
        for name in names["consumers"]:  # type: ignore[attr-defined]
            await ask(stream, f"CONSUMER.DELETE.{STREAM}.{name}", {}, Json)
        await appender.append([outgoing(4)])
        batch = await asyncio.wait_for(anext(reader), 2)

    assert [message.sequence for message in batch] == [4]


async def test_a_killed_server_costs_time_and_no_message(tmp_path: Path) -> None:
    server = NatsServer.start(tmp_path)
    client = await connect(server.url, "test")
    await create_stream(client)
    await Appender(client).append(numbered(1, 3000))

    got: list[int] = []
    async with Reader(client, until=3000, batch_max=100) as reader:
        async for batch in reader:
            got += [message.sequence for message in batch]
            if len(got) in (500, 1500):
                server.kill()
                server = NatsServer.start(tmp_path, port=server.port)

    await client.close()
    server.stop()
    assert got == list(range(1, 3001))


async def test_a_connection_closed_for_good_is_an_error(stream: Connection) -> None:
    await Appender(stream).append(numbered(1, 3))

    async with Reader(stream) as reader:
        await anext(reader)
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(0.05)
        await stream.close()
        with pytest.raises(LogUnreachableError, match="closed for good"):
            await waiting
