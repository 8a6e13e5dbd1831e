"""What is left when all has come to rest, held against what publishers were told and the company's own books."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from cli.asking import Api
from cli.simulation import Published, Tally
from cli.simulation.world import STORES
from infra.connection import Connection
from infra.database import Database
from infra.message import Message
from infra.reader import Reader
from infra.stream import stream_state
from tests.lab.qudao import answer, qudao
from tests.torture.publishing import Said
from tests.torture.site import Site

CHECK_SECONDS = 1800


class Verdict(Struct):
    """Lost and doubled of what was acknowledged, and every sentence of what is wrong; none is well."""

    events: int
    messages: int
    again: int
    lost: int
    doubled: int
    wrong: list[str]


def judge(site: Site, stream: Sequence[Published], said: Said, tally: Tally | None) -> Verdict:
    """Read the whole log, the index and every figure. `tally` is the books, where the stream is as they say."""
    log = site.with_log(whole)
    site.api.await_sequence(("events", "orders", "stock_levels"), len(log), 60)
    lost, doubled = lost_of(log, stream, said), doubled_of(log)
    wrong = [f"lost: {event.source} {event.id}" for event in lost[:5]]
    wrong += [f"doubled in the log: {body[:200]!r}" for body in doubled[:5]]
    if said.done != len(stream):
        wrong.append(f"{said.done} of {len(stream)} events were answered")
    taken, twice = taken_by(site.database)
    doubled += [b"%d in the index" % count for count in twice.values()]
    wrong += [f"doubled in the index: {name}" for name in list(twice)[:5]]
    first = {(event.source, event.id) for event in stream if event.manner == "first"}
    if taken != first:
        wrong.append(
            f"taken and not sent: {sorted(taken - first)[:5]}; sent and not taken: {sorted(first - taken)[:5]}"
        )
    wrong += differences(site)
    if tally is not None:
        wrong += against_books(site.api, tally, said)
    health = site.health()
    if health is None or not health.healthy:
        wrong.append(f"health is red: {health and health.faults}")
    return Verdict(len(stream), len(log), said.again, len(lost), len(doubled), wrong)


async def whole(client: Connection) -> list[Message]:
    """Every message there is; the reader raises where one is missing."""
    until = (await stream_state(client)).last_sequence
    if not until:
        return []
    async with Reader(client, until=until) as reader:
        return [message async for batch in reader for message in batch]


def lost_of(log: Sequence[Message], stream: Sequence[Published], said: Said) -> list[Published]:
    """What does not stand where it was acknowledged; of the same in other words, the first may stand there."""
    body_at = {message.sequence: message.body for message in log}
    first = {(event.source, event.id): event.body for event in stream if event.manner == "first"}
    lost = []
    for event, sequence in said.at.items():
        may_stand = [event.body]
        if event.manner == "reserialised":
            may_stand.append(first[event.source, event.id])
        if body_at.get(sequence) not in may_stand:
            lost.append(event)
    return lost


def doubled_of(log: Sequence[Message]) -> list[bytes]:
    counted = Counter((message.subject, message.body) for message in log)
    return [body for (_, body), count in counted.items() if count > 1]


def taken_by(url: str) -> tuple[set[tuple[str, str]], dict[tuple[str, str], int]]:
    """The identities of accepted events, and those that were taken more than once."""
    database = Database(url, read_only=True)
    try:
        found = database.rows("SELECT source, id FROM events WHERE status = 'accepted'")
    finally:
        database.close()
    counted = Counter((source, id) for source, id in found)
    return set(counted), {name: count for name, count in counted.items() if count > 1}


def differences(site: Site) -> list[str]:
    """What `qudao check` finds, which folds the log from zero beside."""
    address = ("--nats", site.nats, "--database", site.database)
    ended = qudao("check", "--json", "--scratch", str(site.folder.parent), *address, seconds=CHECK_SECONDS)
    if ended.returncode == 0:
        return []
    if not ended.stdout:
        return [f"check: {ended.stderr.strip()[-500:]}"]
    report = answer(ended)
    return [f"check: {report['differences'][:3]} {report['not_compared'][:3]}"]


def against_books(api: Api, tally: Tally, said: Said) -> list[str]:
    """Every figure that the API says and the company's books do not."""
    judged = {row["status"]: row["count"] for row in api.rows("events", by="status")}
    figures = {
        **figures_of(api),
        "invalid": judged.get("invalid", 0) + judged.get("not_understood", 0),
        "conflicts": judged.get("conflict", 0) + len(said.refused),
    }
    books = {
        "orders": tally.orders,
        "cancelled": tally.cancelled,
        "orders by dealer": summed(tally.orders_by_dealer.items()),
        "net": tally.net(),
        "accepted": tally.accepted.total(),
        "on hand": summed(tally.on_hand.items()),
        "invalid": tally.invalid,
        "conflicts": tally.conflicts,
    }
    return [
        f"{name} is {str(figures[name])[:200]}, the books say {str(book)[:200]}"
        for name, book in books.items()
        if figures[name] != book
    ]


def figures_of(api: Api) -> dict[str, Any]:
    """What the API says of the year; an order without a status was never placed."""
    standing = api.rows("orders", by="status,currency", sum="net,accepted", limit=100)
    standing = [row for row in standing if row["status"]]
    statuses = {row["status"] for row in standing}
    dealers = [row for s in statuses for row in api.rows("orders", by="dealer", status=s, limit=1000)]
    stock = [row for store in STORES for row in api.rows("stock_levels", location=store, limit=1000)]
    return {
        "orders": sum(row["count"] for row in standing),
        "cancelled": sum(row["count"] for row in standing if row["status"] == "cancelled"),
        "orders by dealer": summed((row["dealer"], row["count"]) for row in dealers),
        "net": summed((row["currency"], row["net"]) for row in standing),
        "accepted": sum(Decimal(row["accepted"]) for row in standing),
        "on hand": summed(((row["location"], row["sku"]), row["on_hand"]) for row in stock),
    }


def summed(parts: Iterable[tuple[object, str | int]]) -> dict[object, Decimal]:
    """Exact sums by key, without those that are nothing."""
    sums: defaultdict[object, Decimal] = defaultdict(Decimal)
    for key, figure in parts:
        sums[key] += Decimal(figure)
    return {key: figure for key, figure in sums.items() if figure}
