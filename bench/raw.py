"""What the log itself gives on this machine: the ceiling every other rate is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from time import perf_counter

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig

from infra.append import Appender, Outgoing, message_id
from infra.jetstream import connect
from infra.message import Message
from infra.reader import Reader
from infra.stream import STREAM, stream_state

BODY_BYTES = 400
SEED = 20_260_101


def bodies(count: int, seed: int = SEED) -> list[Outgoing]:
    """Make seeded events of 400 bytes over a hundred dealers."""
    random = Random(seed)
    events = []
    for number in range(count):
        head = b'{"specversion":"1.0","id":"%08d","data":"' % number
        body = head + random.randbytes(BODY_BYTES // 2).hex().encode()[: BODY_BYTES - len(head) - 2] + b'"}'
        subject = f"channel.orders.D{random.randrange(100)}"
        events.append(Outgoing(subject, body, message_id("bench", f"{seed}-{number}", body)))
    return events


async def raw_pull(url: str, decode: Callable[[bytes], object], *, batch_max: int = 1000) -> float:
    """Read the whole log with our reader and decode every body; messages per second."""
    client = await connect(url, "bench")
    last = (await stream_state(client)).last_sequence
    began = perf_counter()
    async with Reader(client, until=last, batch_max=batch_max) as reader:
        async for batch in reader:
            for message in batch:
                decode(message.body)
    seconds = perf_counter() - began
    await client.close()
    return last / seconds


async def raw_fetch(url: str, decode: Callable[[bytes], object], *, batch_max: int = 1000) -> float:
    """Read the same with nats-py's own fetch, for the ratio."""
    client = await connect(url, "bench")
    last = (await stream_state(client)).last_sequence
    stream = client.jetstream()
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, mem_storage=True)
    subscription = await stream.pull_subscribe("channel.*.*", stream=STREAM, config=config)
    count = 0
    began = perf_counter()
    while count < last:
        try:
            messages = await subscription.fetch(batch_max, timeout=5)
        except NatsTimeoutError:
            break
        for message in messages:
            numbers = message.metadata.sequence
            decode(Message(numbers.stream, 0, message.subject, message.data).body)
        count += len(messages)
    seconds = perf_counter() - began
    await client.close()
    return count / seconds


async def raw_atomic(url: str, n: int, batch: int, *, seed: int = SEED) -> float:
    """Append n events in calls of `batch`, one call after the other; events per second."""
    client = await connect(url, "bench")
    appender = Appender(client)
    events = bodies(n, seed)
    began = perf_counter()
    for first in range(0, n, batch):
        await appender.append(events[first : first + batch])
    seconds = perf_counter() - began
    await client.close()
    return n / seconds


async def raw_singles(url: str, n: int, callers: int, *, seed: int = SEED) -> float:
    """Append n events one a call from many callers at once, as HTTP handlers do; events per second."""
    client = await connect(url, "bench")
    appender = Appender(client)
    events = iter(bodies(n, seed))

    async def call() -> None:
        for event in events:
            await appender.append([event])

    began = perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    seconds = perf_counter() - began
    await client.close()
    return n / seconds


async def raw_awaited(url: str, n: int, callers: int, *, seed: int = SEED) -> float:
    """The same by plain publishes without sharing writes, for the ratio."""
    client: Client = await connect(url, "bench")
    stream = client.jetstream()
    events = iter(bodies(n, seed))

    async def call() -> None:
        for event in events:
            headers = {"Nats-Msg-Id": event.message_id}
            await stream.publish(event.subject, event.body, headers=headers, timeout=30)

    began = perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    seconds = perf_counter() - began
    await client.close()
    return n / seconds
