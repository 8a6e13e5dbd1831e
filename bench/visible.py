"""How soon an event is visible while others flow in at a steady rate: one process sends, another one asks.

The sender keeps its times whatever the answers do; an event is late from the moment it was due. The observer asks
for a page that knows more than the one before, again and again: what it has not seen is not visible.
"""

from __future__ import annotations

import asyncio
import http.client
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from statistics import quantiles
from time import perf_counter

import msgspec

from bench.figures import Report
from cli.simulation.outbox import Published
from cli.simulation.publishing import outgoing
from infra.append import Appender
from infra.jetstream import connect

RATE = 2_000
TOGETHER = 20  # events in one call
CONNECTIONS = 8
QUIET_SECONDS = 10  # nothing new for so long: all is seen
VISIBLE = 50  # ms that the ninety-ninth of a hundred events may take

#: When the events of a call were due, and their sequences.
Sent = tuple[float, list[int]]
Seen = tuple[float, int]


class _Item(msgspec.Struct):
    status: str
    sequence: int | None


class _Answers(msgspec.Struct):
    items: list[_Item]


def visible_at_a_rate(
    report: Report, how: str, events: Sequence[Published], port: int, nats: str | None
) -> None:
    """Send events at the rate, over NATS or, where no address is given, over HTTP, and watch them appear."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        observer = processes.submit(watch, port, len(events) / RATE)
        sent = processes.submit(send, events, port, nats).result()
        seen = observer.result()
    times, sequences = [at for at, _ in seen], [sequence for _, sequence in seen]
    taken = []
    for due, stored in sent:
        for sequence in stored:
            found = bisect_left(sequences, sequence)
            assert found < len(seen), f"{sequence} was never seen"
            taken.append((times[found] - due) * 1000)
    parts = quantiles(taken, n=100)
    report.add(f"{how} at {RATE:,}/s to visible, median", parts[49], "ms")
    report.add(f"{how} at {RATE:,}/s to visible, p99", parts[98], "ms", most=VISIBLE)
    (start, first), (stop, last) = seen[1], seen[-1]  # the first is what was there
    report.add(
        "  seen on the way", (last - first) / (stop - start), "events/s", limit=RATE, limited_by="sent"
    )
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(seen)]
    report.add("  between two looks at it, median", quantiles(pauses, n=2)[0] * 1000, "ms")


def send(events: Sequence[Published], port: int, nats: str | None) -> list[Sent]:
    """Send events a few a call, each call when it is due, whether or not those before are answered."""
    return asyncio.run(_send(events, port, nats))


async def _send(events: Sequence[Published], port: int, nats: str | None) -> list[Sent]:
    store, end = await (_over_http(port) if nats is None else _over_nats(nats))
    calls = [events[first : first + TOGETHER] for first in range(0, len(events), TOGETHER)]
    began = perf_counter() + 0.1
    sent: list[Sent] = []

    async def one(due: float, call: Sequence[Published]) -> None:
        sent.append((due, await store(call)))

    async with asyncio.TaskGroup() as group:
        for number, call in enumerate(calls):
            due = began + number * TOGETHER / RATE
            await asyncio.sleep(due - perf_counter())
            group.create_task(one(due, call))
    await end()
    return sent


Store = Callable[[Sequence[Published]], Awaitable[list[int]]]
End = Callable[[], Awaitable[None]]


async def _over_nats(nats: str) -> tuple[Store, End]:
    client = await connect(nats, "bench")
    appender = Appender(client)

    async def store(call: Sequence[Published]) -> list[int]:
        receipts = await appender.append([outgoing(event) for event in call])
        return [receipt.sequence for receipt in receipts if not receipt.duplicate]

    return store, client.close


async def _over_http(port: int) -> tuple[Store, End]:
    head = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/cloudevents-batch+json\r\n"
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def store(call: Sequence[Published]) -> list[int]:
        body = b"[" + b",".join([event.body for event in call]) + b"]"
        connection = await free.get()
        reader, writer = connection
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = told.partition(b"content-length:")[2].partition(b"\r\n")[0]
        answers = msgspec.json.decode(await reader.readexactly(int(length)), type=_Answers)
        free.put_nowait(connection)
        return [item.sequence for item in answers.items if item.status == "accepted" and item.sequence]

    async def end() -> None:
        while not free.empty():
            free.get_nowait()[1].close()

    return store, end


def watch(port: int, seconds: float) -> list[Seen]:
    """When the service first showed a page that knows a sequence, for every sequence that it stopped at."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    until = perf_counter() + seconds + QUIET_SECONDS
    seen: list[Seen] = []
    while True:
        after = seen[-1][1] + 1 if seen else 0
        connection.request("GET", f"/orders?limit=1&min_sequence={after}&wait={QUIET_SECONDS}")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            seen.append((perf_counter(), int(answer.headers["Qudao-Sequence"])))
        elif perf_counter() > until:
            connection.close()
            return seen
