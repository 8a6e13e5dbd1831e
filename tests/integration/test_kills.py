"""A year flows in over NATS and HTTP while everything is killed in turn: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from msgspec import Struct, field

from cli.asking import Api, AskError
from cli.simulation import Published, Tally, events
from cli.simulation.publishing import outgoing
from cli.simulation.world import STORES
from cli.supervisor import API, NATS, PROJECTOR, Supervisor
from domain.errors import QudaoError
from domain.event_types import CATALOGUE
from infra.append import Appender
from infra.checking import Report, check
from infra.connection import Connection
from infra.database import Database
from infra.jetstream import connect
from infra.message import Message
from infra.reader import Reader
from infra.settings import Settings
from infra.stream import stream_state
from projections.registry import PROJECTIONS
from tests.lab.databases import Where, address
from tests.lab.folding import database_on

pytestmark = pytest.mark.integration

SIZE = 20_000
KILLS = 10
#: These reach the log through the API, the others directly.
OVER_HTTP = frozenset({"erp.south", "fieldapp", "pos.01"})
CHUNK_MAX = 500
AWAY_SECONDS = 60.0


class Said(Struct):
    """What publishers were told: where each message stands that was acknowledged, and how often they asked again."""

    at: dict[Published, int] = field(default_factory=dict)
    refused: list[Published] = field(default_factory=list)
    again: int = 0

    @property
    def done(self) -> int:
        return len(self.at) + len(self.refused)


async def publish_over_nats(url: str, stream: Sequence[Published], said: Said, rng: Random) -> None:
    """As an ERP would: the same events again until the log has acknowledged them."""
    client: Connection = await connect(url, "erp")
    appender = Appender(client, patience_seconds=2)
    try:
        for chunk in chunks(stream, rng):
            receipts = None
            while receipts is None:
                try:
                    receipts = await appender.append([outgoing(event) for event in chunk])
                except QudaoError:
                    said.again += 1
                    await asyncio.sleep(0.1)
            for event, receipt in zip(chunk, receipts, strict=True):
                said.at[event] = receipt.sequence
    finally:
        await client.close()


async def publish_over_http(url: str, stream: Sequence[Published], said: Said, rng: Random) -> None:
    """The same through the API, which answers each event by itself."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for chunk in chunks(stream, rng):
            by_family: defaultdict[str, list[Published]] = defaultdict(list)
            for event in chunk:
                by_family[event.subject.split(".")[1]].append(event)
            for family, part in by_family.items():
                while (entries := await posted(client, family, part)) is None:
                    said.again += 1
                    await asyncio.sleep(0.1)
                for event, entry in zip(part, entries, strict=True):
                    if entry["status"] == "conflict":
                        said.refused.append(event)
                    else:
                        assert entry["status"] in ("accepted", "duplicate"), entry
                        said.at[event] = entry["sequence"]


async def posted(
    client: httpx.AsyncClient, family: str, part: Sequence[Published]
) -> list[dict[str, Any]] | None:
    """An entry for each event; None where nobody answered, or the log was away for one of them."""
    body = b"[" + b",".join(event.body for event in part) + b"]"
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


def chunks(stream: Sequence[Published], rng: Random) -> Iterator[list[Published]]:
    rest = iter(stream)
    while chunk := list(islice(rest, rng.randint(1, CHUNK_MAX))):
        yield chunk


class Site:
    """Everything on this machine, to be killed."""

    def __init__(self, folder: Path, database: Where) -> None:
        self.told: list[str] = []
        self.supervisor = Supervisor(
            Settings(data=str(folder), database=address(database), port=0, nats_port=0),
            self.told.append,
            ["--json"],
        )
        self.database = database
        self._looking: Database | None = None

    def tend_until(self, holds: Callable[[], bool], what: str) -> None:
        """Restart what died until something holds."""
        deadline = time.monotonic() + AWAY_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"not {what} within {AWAY_SECONDS:g} s: {self.told}"
            self.supervisor.tend()
            time.sleep(0.02)

    def kill(self, victim: str) -> None:
        """SIGKILL a process that is at work: one that projects, serves or takes events."""
        if victim == PROJECTOR:
            before = self.folded()
            self.tend_until(lambda: self.folded() > before, "projecting")
        if victim == API:
            self.tend_until(self.serves, "serving")
        self.tend_until(lambda: victim in self.supervisor.pids, f"running the {victim}")
        os.kill(self.supervisor.pids[victim], signal.SIGKILL)

    def folded(self) -> int:
        [(sequence,)] = self.rows("SELECT max(sequence) FROM positions")
        return int(sequence)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if self._looking is None:
            self._looking = Database(address(self.database), read_only=True)
        return self._looking.rows(sql)

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()

    def serves(self) -> bool:
        try:
            return bool(self.api.rows("orders", limit=1))
        except AskError:
            return False

    @property
    def api(self) -> Api:
        return Api(self.supervisor.settings.host, self.supervisor.settings.port)


def victims(rng: Random) -> list[str]:
    """Who dies, in which order: each at least twice."""
    drawn = [NATS, PROJECTOR, API] * (KILLS // 3) + rng.choices([NATS, PROJECTOR, API], k=KILLS % 3)
    rng.shuffle(drawn)
    return drawn


async def _publish(supervisor: Supervisor, stream: Sequence[Published], said: Said, seed: int) -> None:
    over_http = [event for event in stream if event.source in OVER_HTTP and event.manner != "invalid"]
    over_nats = [event for event in stream if event.source not in OVER_HTTP or event.manner == "invalid"]
    await asyncio.gather(
        publish_over_nats(supervisor.settings.nats, over_nats, said, Random(seed)),
        publish_over_http(supervisor.url, over_http, said, Random(seed + 1)),
    )


async def _look(site: Site, folder: Path) -> tuple[list[Message], Report]:
    """The whole log, and what folding it from zero beside finds."""
    client = await connect(site.supervisor.settings.nats, "auditor")
    live = Database(address(site.database), read_only=True)
    scratch: Database = database_on(folder / "refolded.db")
    try:
        until = (await stream_state(client)).last_sequence
        async with Reader(client, until=until) as reader:
            log = [message async for batch in reader for message in batch]
        return log, await check(client, live, scratch, CATALOGUE, PROJECTIONS, lambda *_: None)
    finally:
        scratch.close()
        live.close()
        await client.close()


def _reached(said: Said, moment: int, publishing: Future[None]) -> bool:
    return said.done >= moment or publishing.done()


class Found(Struct):
    """What is there when all has come to rest."""

    log: list[Message]
    report: Report
    accepted: list[tuple[str, str]]
    judged: dict[str, int]
    figures: dict[str, object]


def find(site: Site, folder: Path) -> Found:
    log, report = asyncio.run(_look(site, folder))
    api = site.api
    api.await_sequence(("events", "orders", "stock_levels"), len(log), 30)
    accepted = site.rows("SELECT source, id FROM events WHERE status = 'accepted'")
    judged = {row["status"]: row["count"] for row in api.rows("events", by="status")}
    return Found(log, report, sorted(accepted), judged, figures(api))


def figures(api: Api) -> dict[str, object]:
    """What the API says of the year; an order without a status was never placed."""
    standing = api.rows("orders", by="status,currency", sum="net,accepted", limit=100)
    standing = [row for row in standing if row["status"]]
    dealers = api.rows("orders", by="dealer,status", limit=1000)
    stock = [row for store in STORES for row in api.rows("stock_levels", location=store, limit=1000)]
    return {
        "orders": sum(row["count"] for row in standing),
        "cancelled": sum(row["count"] for row in standing if row["status"] == "cancelled"),
        "orders by dealer": summed((row["dealer"], row["count"]) for row in dealers if row["status"]),
        "net": summed((row["currency"], row["net"]) for row in standing),
        "accepted": sum(Decimal(row["accepted"]) for row in standing),
        "on hand": summed(((row["location"], row["sku"]), row["on_hand"]) for row in stock),
    }


def books(tally: Tally) -> dict[str, object]:
    """What the simulated company itself says of the year."""
    return {
        "orders": tally.orders,
        "cancelled": tally.cancelled,
        "orders by dealer": summed(tally.orders_by_dealer.items()),
        "net": tally.net(),
        "accepted": tally.accepted.total(),
        "on hand": summed(tally.on_hand.items()),
    }


def summed(parts: Iterable[tuple[object, str | int]]) -> dict[object, Decimal]:
    """Exact sums by key, without those that are nothing."""
    sums: defaultdict[object, Decimal] = defaultdict(Decimal)
    for key, figure in parts:
        sums[key] += Decimal(figure)
    return {key: figure for key, figure in sums.items() if figure}


@pytest.mark.parametrize("seed", [20260302])
def test_ten_kills_while_twenty_thousand_events_flow_change_nothing(
    tmp_path: Path, database: Where, seed: int
) -> None:
    rng, tally, said = Random(seed), Tally(), Said()
    stream = list(events(seed, events=SIZE, tally=tally))
    moments = sorted(rng.sample(range(SIZE // 20, SIZE * 19 // 20), KILLS))
    site = Site(tmp_path / "var", database)

    with closing(site), ThreadPoolExecutor(1) as pool, site.supervisor:
        site.supervisor.start()
        site.supervisor.await_health()
        publishing = pool.submit(lambda: asyncio.run(_publish(site.supervisor, stream, said, seed)))
        for moment, victim in zip(moments, victims(rng), strict=True):
            site.tend_until(partial(_reached, said, moment, publishing), f"at event {moment}")
            site.kill(victim)
        site.tend_until(publishing.done, "done publishing")
        publishing.result()
        site.tend_until(lambda: site.folded() >= max(said.at.values()) and site.serves(), "up to date")
        found = find(site, tmp_path)

    # Nothing acknowledged is missing.
    body_at = {message.sequence: message.body for message in found.log}
    first = {(event.source, event.id): event for event in stream if event.manner == "first"}
    assert said.done == len(stream) == tally.published
    assert [e for e, at in said.at.items() if body_at[at] not in (e.body, first_body(e, first))] == []
    # Nothing is doubled, in the log or in what was taken from it.
    assert [body for body, count in Counter(body_at.values()).items() if count > 1] == []
    assert found.accepted == sorted(first)
    assert found.judged["invalid"] + found.judged["not_understood"] == tally.invalid
    assert found.judged.get("conflict", 0) + len(said.refused) == tally.conflicts
    # Every table is what folding from zero makes of the log, and every figure is that of the company's books.
    assert (found.report.differences, found.report.not_compared, found.report.equal) == ([], [], True)
    assert found.report.sequence == len(found.log) == max(body_at)
    assert found.figures == books(tally)


def first_body(event: Published, first: dict[tuple[str, str], Published]) -> bytes:
    """What may stand where an event was acknowledged: of the same in other words, the first."""
    return first[event.source, event.id].body if event.manner == "reserialised" else event.body
