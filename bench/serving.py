"""How fast events come in over HTTP, and how soon they are visible."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import median, quantiles
from time import perf_counter

import httpx
import msgspec

from bench.figures import Report
from bench.raw import raw_atomic
from cli.simulation.outbox import Published

BATCH = 500


async def batches_over_http(
    report: Report, api: str, nats: str, stream: Iterator[Published], count: int
) -> None:
    """Batches of 500 over HTTP beside atomic batches of 500 straight to the log."""
    raw = await raw_atomic(nats, count, BATCH)
    report.add("atomic batches of 500, straight", raw, "events/s")
    bodies = [event.body for event in islice(stream, count) if is_json(event.body)]
    posts = [b"[" + b",".join(bodies[n : n + BATCH]) + b"]" for n in range(0, len(bodies), BATCH)]
    began = perf_counter()
    async with httpx.AsyncClient(base_url=api, timeout=60) as client:
        for post in posts:
            answer = await client.post(
                "/events", content=post, headers={"Content-Type": "application/cloudevents-batch+json"}
            )
            assert answer.status_code < 400 or answer.status_code == 422, answer.text[:300]
    rate = len(bodies) / (perf_counter() - began)
    report.add(
        "batches of 500 over HTTP, durable",
        rate,
        "events/s",
        limit=raw,
        limited_by="straight atomic batches",
        least_ratio=0.4,
    )


def is_json(body: bytes) -> bool:
    """What was cut on its way would make an array of events no JSON."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


async def settled(api: str) -> None:
    """Wait until everything sent is folded: a projector that catches up takes a whole core."""
    async with httpx.AsyncClient(base_url=api, timeout=60) as client:
        for _ in range(20):
            health = (await client.get("/health")).json()
            last = health["log"]["last_sequence"]
            answer = await client.get(
                "/assessment_inputs", params={"min_sequence": last, "wait": 30, "limit": 1}
            )
            if answer.status_code == 200:
                return


async def requests_a_second(api: str, requests: Sequence[bytes], clients: int) -> float:
    """Send requests over so many kept connections. A client library would measure itself: its pool is slower."""
    port = int(api.rpartition(":")[2])
    left = iter(requests)

    async def call() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in left:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    began = perf_counter()
    await asyncio.gather(*(call() for _ in range(clients)))
    return len(requests) / (perf_counter() - began)


async def singles_over_http(
    report: Report, api: str, stream: Iterator[Published], count: int, clients: int = 64
) -> None:
    """Single events from 64 clients beside empty requests from the same clients."""
    host = b"Host: 127.0.0.1\r\n"
    get = b"GET /problems/invalid HTTP/1.1\r\n" + host + b"\r\n"
    empty = await requests_a_second(api, [get] * count, clients)
    report.add("empty requests, 64 clients", empty, "requests/s")
    head = b"POST /events HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nContent-Length: "
    bodies = [event.body for event in islice(stream, count)]
    posts = [head + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    report.add(
        "single events over HTTP, 64 clients, durable",
        await requests_a_second(api, posts, clients),
        "events/s",
        limit=empty,
        limited_by="empty requests",
        least_ratio=0.4,
    )


async def visibility(report: Report, api: str, stream: Iterator[Published], count: int) -> None:
    """From sending an event to reading a page that knows it, one after the other."""
    bodies = [event.body for event in islice(stream, count)]
    waited = []
    async with httpx.AsyncClient(base_url=api, timeout=60) as client:
        for body in bodies:
            began = perf_counter()
            answer = await client.post("/events", content=body, headers={"Content-Type": "application/json"})
            if answer.status_code != 201:
                continue
            sequence = answer.json()["sequence"]
            await client.get("/orders", params={"min_sequence": sequence, "limit": 1})
            waited.append(perf_counter() - began)
    report.add("send to visible, median", median(waited) * 1000, "ms")
    report.add("send to visible, p99", quantiles(waited, n=100)[98] * 1000, "ms", most=50)
