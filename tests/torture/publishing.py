"""Publishers as they should be: they send the same again until they are told what became of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

import httpx
from msgspec import Struct, field

from cli.simulation import Published
from cli.simulation.publishing import outgoing
from domain.errors import QudaoError
from infra.append import Appender
from infra.jetstream import connect

#: These reach the log through the API, the others directly.
OVER_HTTP = frozenset({"erp.south", "fieldapp", "pos.01"})
CHUNK_MAX = 500
AGAIN_SECONDS = 0.1


class StoppedError(Exception):
    """The site is gone for good: there is nobody left to ask again."""


class Said(Struct):
    """What publishers were told: where each message stands that was acknowledged, and how often they asked again.

    They pause where they have sent what they may, so that what is done to the site is done while events flow.
    """

    at: dict[Published, int] = field(default_factory=dict)
    refused: list[Published] = field(default_factory=list)
    again: int = 0
    allowed: float = float("inf")
    stopped: bool = False

    @property
    def done(self) -> int:
        return len(self.at) + len(self.refused)

    async def may_go_on(self) -> None:
        while self.done >= self.allowed and not self.stopped:  # noqa: ASYNC110  another thread allows
            await asyncio.sleep(0.01)

    async def ask_again(self) -> None:
        self.again += 1
        if self.stopped:
            raise StoppedError
        await asyncio.sleep(AGAIN_SECONDS)


async def publish(
    nats: str, api: Callable[[], str], stream: Sequence[Published], said: Said, seed: int
) -> None:
    """Send everything, half of the sources over HTTP; what is no event an ERP could only send over NATS."""
    over_http = [event for event in stream if event.source in OVER_HTTP and event.manner != "invalid"]
    over_nats = [event for event in stream if event.source not in OVER_HTTP or event.manner == "invalid"]
    most = max(1, min(CHUNK_MAX, len(stream) // 40))
    await asyncio.gather(
        _over_nats(nats, chunks(over_nats, Random(seed), most), said),
        _over_http(api(), chunks(over_http, Random(seed + 1), most), said),
    )


async def _over_nats(url: str, parts: Iterator[list[Published]], said: Said) -> None:
    client = await connect(url, "erp")
    appender = Appender(client, patience_seconds=2)
    try:
        for part in parts:
            await said.may_go_on()
            receipts = None
            while receipts is None:
                try:
                    receipts = await appender.append([outgoing(event) for event in part])
                except QudaoError:
                    await said.ask_again()
            for event, receipt in zip(part, receipts, strict=True):
                said.at[event] = receipt.sequence
    finally:
        await client.close()


async def _over_http(url: str, parts: Iterator[list[Published]], said: Said) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for part in parts:
            await said.may_go_on()
            by_family: defaultdict[str, list[Published]] = defaultdict(list)
            for event in part:
                by_family[event.subject.split(".")[1]].append(event)
            for family, events in by_family.items():
                while (entries := await _posted(client, family, events)) is None:
                    await said.ask_again()
                for event, entry in zip(events, entries, strict=True):
                    if entry["status"] == "conflict":
                        said.refused.append(event)
                    else:
                        assert entry["status"] in ("accepted", "duplicate"), entry
                        said.at[event] = entry["sequence"]


async def _posted(
    client: httpx.AsyncClient, family: str, events: Sequence[Published]
) -> list[dict[str, Any]] | None:
    """An entry for each event; None where nobody answered, or one of them is to be sent again."""
    body = b"[" + b",".join(event.body for event in events) + b"]"
    headers = {"content-type": "application/cloudevents-batch+json"}
    try:
        answer = await client.post(f"/events?family={family}", content=body, headers=headers)
    except httpx.TransportError:
        return None
    assert answer.status_code in (200, 207, 503), answer.text
    if answer.status_code == 503:
        return None
    entries: list[dict[str, Any]] = answer.json()["items"]
    return None if any(entry["status"] == "retry" for entry in entries) else entries


def chunks(stream: Sequence[Published], rng: Random, most: int) -> Iterator[list[Published]]:
    rest = iter(stream)
    while chunk := list(islice(rest, rng.randint(1, most))):
        yield chunk
