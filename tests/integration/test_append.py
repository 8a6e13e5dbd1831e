from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_events import delete_stream, numbered, outgoing

from infra.append import (
    BODY_BYTES_MAX,
    Appender,
    AppendUnknownError,
    EventTooLargeError,
    Outgoing,
    Receipt,
    message_id,
)
from infra.connection import Connection
from infra.jetstream import LogUnreachableError, connect
from infra.lookups import read_there
from infra.message import Message
from infra.nats_server import NatsServer
from infra.reader import Reader
from infra.stream import create_stream, stream_state

pytestmark = pytest.mark.integration


async def everything(client: Connection) -> list[Message]:
    state = await stream_state(client)
    async with Reader(client, until=state.last_sequence) as reader:
        return [message async for batch in reader for message in batch]


@contextmanager
def halted(server: NatsServer) -> Iterator[None]:
    """The server stands still, as in a network that lets nothing through."""
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)  # its threads stop one by one
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@given(st.text(), st.text(), st.binary(), st.text(), st.text(), st.binary())
def test_a_message_id_names_source_id_and_body_and_nothing_else(
    source: str, event: str, body: bytes, source2: str, event2: str, body2: bytes
) -> None:
    same = (source, event, body) == (source2, event2, body2)

    assert (message_id(source, event, body) == message_id(source2, event2, body2)) is same
    assert len(message_id(source, event, body)) == 22


def test_parts_of_a_message_id_do_not_run_into_each_other() -> None:
    assert message_id("ab", "c", b"d") != message_id("a", "bc", b"d")


@pytest.mark.parametrize("count", [1, 2, 4, 5, 1000, 2500])
async def test_events_stand_in_the_log_in_their_order_under_their_receipts(
    stream: Connection, count: int
) -> None:
    events = numbered(1, count)

    receipts = await Appender(stream).append(events)

    stored = await everything(stream)
    assert receipts == [Receipt(sequence, False) for sequence in range(1, count + 1)]
    assert [(m.subject, m.body) for m in stored] == [(e.subject, e.body) for e in events]


@pytest.mark.parametrize("count", [1, 50])
async def test_a_repeated_call_gets_the_first_sequences_and_stores_nothing(
    stream: Connection, count: int
) -> None:
    first = await Appender(stream).append(numbered(1, count))

    again = await Appender(stream).append(numbered(1, count))

    assert again == [Receipt(receipt.sequence, True) for receipt in first]
    assert (await stream_state(stream)).messages == count


async def test_new_events_among_repeated_ones_are_stored(stream: Connection) -> None:
    await Appender(stream).append(numbered(3, 12))

    receipts = await Appender(stream).append(numbered(1, 20))

    assert [receipt.duplicate for receipt in receipts] == [False] * 2 + [True] * 10 + [False] * 8
    assert [receipt.sequence for receipt in receipts[2:12]] == list(range(1, 11))
    assert (await stream_state(stream)).messages == 20


@pytest.mark.parametrize("count", [1, 8])
async def test_an_event_named_twice_in_one_call_is_stored_once(stream: Connection, count: int) -> None:
    receipts = await Appender(stream).append([*numbered(1, count), *numbered(1, count)])

    assert [receipt.duplicate for receipt in receipts] == [False] * count + [True] * count
    assert receipts[0].sequence == receipts[count].sequence
    assert (await stream_state(stream)).messages == count


async def test_receipts_are_true_among_many_writers_on_several_connections(
    stream: Connection, nats_server: NatsServer
) -> None:
    other = await connect(nats_server.url, "other")
    calls = [numbered(100 * n, 100 * n + size - 1) for n, size in enumerate([1, 60, 3, 7, 1, 99, 20, 2] * 5)]
    appenders = [Appender(stream), Appender(other)]

    receipts = await asyncio.gather(*(appenders[n % 2].append(call) for n, call in enumerate(calls)))

    said = [
        (receipt.sequence, event.body)
        for got, call in zip(receipts, calls, strict=True)
        for receipt, event in zip(got, call, strict=True)
    ]
    found = await read_there(stream, [sequence for sequence, _ in said])
    await other.close()
    assert [message.body for message in found] == [body for _, body in said]
    assert (await stream_state(stream)).messages == len(said)


async def test_a_lost_answer_is_unknown_and_a_retry_gets_the_first_sequence(fresh_server: NatsServer) -> None:
    client = await connect(fresh_server.url, "test")
    await create_stream(client)
    appender = Appender(client, patience_seconds=0.3)

    with halted(fresh_server), pytest.raises(AppendUnknownError, match="send the same event again"):
        await appender.append([outgoing(1)])
    again = await appender.append([outgoing(1)])

    messages = (await stream_state(client)).messages
    await client.close()
    assert again == [Receipt(1, True)]
    assert messages == 1


async def test_a_call_outlasts_an_answer_that_was_lost(fresh_server: NatsServer) -> None:
    client = await connect(fresh_server.url, "test")
    await create_stream(client)

    with halted(fresh_server):
        call = asyncio.create_task(Appender(client).append([outgoing(1)]))
        await asyncio.sleep(2.2)  # beyond the first try
    [receipt] = await call

    messages = (await stream_state(client)).messages
    await client.close()
    assert receipt.sequence == 1
    assert messages == 1


async def test_nothing_acknowledged_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    server = NatsServer.start(tmp_path)
    client = await connect(server.url, "test")
    await create_stream(client)
    appender = Appender(client)
    acknowledged: dict[int, bytes] = {}
    over = asyncio.Event()

    async def write(worker: int) -> None:
        number = worker * 1_000_000
        while not over.is_set():
            events = numbered(number, number + (0 if worker % 2 else 19))
            number += len(events)
            for event, receipt in zip(events, await appender.append(events), strict=True):
                acknowledged[receipt.sequence] = event.body

    writers = asyncio.gather(*(write(worker) for worker in range(16)))
    for _ in range(2):
        await asyncio.sleep(0.4)
        server.kill()
        server = NatsServer.start(tmp_path, port=server.port)
    await asyncio.sleep(0.8)
    over.set()
    await writers

    stored = {message.sequence: message.body for message in await everything(client)}
    await client.close()
    server.stop()
    assert len(acknowledged) > 100
    assert acknowledged.items() <= stored.items()
    assert max(Counter(stored.values()).values()) == 1


async def test_an_event_as_large_as_the_log_takes_is_stored_and_a_larger_one_refused(
    stream: Connection,
) -> None:
    largest = [Outgoing("channel.orders.D1", bytes(BODY_BYTES_MAX - n), f"id-{n:019d}") for n in range(20)]
    larger = Outgoing("channel.orders.D1", bytes(BODY_BYTES_MAX + 1), "larger")

    one = await Appender(stream).append(largest[:1])
    batch = await Appender(stream).append(largest)
    with pytest.raises(EventTooLargeError, match="put large content elsewhere"):
        await Appender(stream).append([outgoing(1), larger])

    assert [receipt.sequence for receipt in one + batch] == [1, *range(1, 21)]
    assert (await stream_state(stream)).messages == 20


async def test_without_a_stream_the_event_is_certainly_not_stored(stream: Connection) -> None:
    await delete_stream(stream)

    with pytest.raises(LogUnreachableError, match="the event is not stored"):
        await Appender(stream, patience_seconds=0.2).append(numbered(1, 6))


async def test_a_caller_that_gives_up_disturbs_nobody(stream: Connection) -> None:
    appender = Appender(stream)
    calls = [asyncio.create_task(appender.append([outgoing(number)])) for number in range(20)]
    await asyncio.sleep(0)

    calls[0].cancel()
    calls[7].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)

    assert [n for n, result in enumerate(done) if isinstance(result, BaseException)] == [0, 7]
