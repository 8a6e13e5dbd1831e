"""What a past moment costs: beside reading the bytes of the events that it is made of, and by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from msgspec import Struct

from api.history import read_history
from api.past import Replaying
from api.query import read_query
from api.reading import Opened, read_page
from api.simulating import Simulation, simulate
from api.views import View, views_of
from bench.figures import Report
from domain.event_types import CATALOGUE
from domain.identifiers import escape
from infra.documents import ROWS
from infra.jetstream import connect
from infra.positions import INDEX
from infra.reader import Reader
from projections.registry import PROJECTIONS

EVENTS = 1000  # of the dealer that is asked for
TIMES = 9
QUARTERS = ("2025-Q1", "2025-Q2", "2025-Q3", "2025-Q4")


class Dealer(Struct):
    """The dealer with nearly so many events, and how far the log goes."""

    name: str
    events: int
    last: int


def remembering(report: Report, path: Path, nats: str) -> Report:
    """Ask for the orders of one dealer as they were known just before the end, and try a policy on the year."""
    opened = Opened(f"sqlite:///{path}", Replaying(CATALOGUE, {one.name: one for one in PROJECTIONS}))
    views = views_of(PROJECTIONS, {INDEX: ROWS})
    dealer = _dealer(opened)
    about = f"{dealer.events:,} events among {dealer.last:,}"
    stored = _milliseconds(lambda: _bytes(opened, dealer))
    asked = _milliseconds(lambda: _known(opened, views["orders"], dealer))
    pulled = median([asyncio.run(_pulled(nats, dealer)) for _ in range(TIMES)])
    name = f"a dealer's orders as known before, {about}"
    report.add(name, asked, "ms", limit=pulled, limited_by="reading those events from the log", most_ratio=5)
    report.add(name, asked, "ms", limit=stored, limited_by="reading them from the index")
    stock = _milliseconds(lambda: _known(opened, views["stock_levels"], dealer, by="location"))
    report.add("  its stock as known before", stock, "ms", limit=pulled, limited_by="the same")
    page = _milliseconds(lambda: _history(opened, views["events"], dealer))
    report.add("  a page of 100 of its history", page, "ms")
    tried = Simulation(periods=QUARTERS, policy="secondary-quarterly")
    seconds = _milliseconds(lambda: simulate(opened, views["assessments"], tried, datetime.now(UTC))) / 1000
    report.add(f"another policy tried on the year, {dealer.last:,} events", seconds, "s", most=2)
    opened.close()
    return report


def _milliseconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(TIMES):
        began = perf_counter()
        work()
        taken.append((perf_counter() - began) * 1000)
    return median(taken)


def _dealer(opened: Opened) -> Dealer:
    with opened.reader() as reader:
        row = reader.connection.exec_driver_sql(
            "SELECT dealer, count(*), (SELECT max(sequence) FROM events) FROM events WHERE dealer <> '' "
            f"AND status = 'accepted' GROUP BY dealer ORDER BY abs(count(*) - {EVENTS}), dealer LIMIT 1"
        ).one()
    return Dealer(*row)


def _bytes(opened: Opened, dealer: Dealer) -> int:
    sql = "SELECT body FROM events WHERE dealer = ? AND status = 'accepted' ORDER BY sequence"
    with opened.reader() as reader:
        return sum(len(body) for (body,) in reader.connection.exec_driver_sql(sql, (dealer.name,)))


def _known(opened: Opened, view: View, dealer: Dealer, *, by: str = "dealer") -> None:
    said = [(by, dealer.name), ("known_at", str(dealer.last - 1))]
    assert read_page(opened, view, read_query(view, said), datetime.now(UTC)).rows


def _history(opened: Opened, view: View, dealer: Dealer) -> None:
    found = read_history(opened, view, dealer.name, read_query(view, []), 100, datetime.now(UTC))
    assert found is not None
    assert len(found.items) == 100


async def _pulled(nats: str, dealer: Dealer) -> float:
    """The milliseconds that reading the dealer's messages takes over a connection that is there."""
    client = await connect(nats, "bench")
    began, count = perf_counter(), 0
    async with Reader(client, until=dealer.last, subjects=[f"channel.*.{escape(dealer.name)}"]) as reader:
        async for batch in reader:
            count += len(batch)
    taken = (perf_counter() - began) * 1000
    await client.close()
    assert count >= dealer.events
    return taken
