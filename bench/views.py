"""How long answers take: the views of the card on what was folded, and after facts that are told late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, time_ns
from typing import Any

import msgspec

from api.past import Replaying
from api.query import parameters, read_query
from api.reading import Opened, read_page, shown
from api.views import views_of
from bench.figures import Report
from cli.simulation.year import FIRST_DAY
from domain.catalogue import TYPES
from domain.event_types import CATALOGUE
from infra.database import Database
from infra.documents import ROWS
from infra.engine import Engine
from infra.message import Message
from infra.positions import INDEX, Log
from projections.registry import PROJECTIONS

TIMES = 5
PAGES = 300
AT_REST, SUM, WHOLE = 10, 300, 1000  # ms that a page, a sum over the year, and a view of all dealers may take


class Asked:
    """The API's own reading of one database, from the query to the bytes, without HTTP."""

    def __init__(self, path: Path) -> None:
        self._views = views_of(PROJECTIONS, {INDEX: ROWS})
        self._opened = Opened(f"sqlite:///{path}", Replaying(CATALOGUE, {p.name: p for p in PROJECTIONS}))
        self.now = datetime.now(UTC)  # the time of asking

    def answer(self, address: str) -> dict[str, Any]:
        """The rows and the cursor of an answer."""
        name, _, said = address.partition("?")
        view = self._views[name]
        query = read_query(view, parameters(said.encode()))
        page = read_page(self._opened, view, query, self.now)
        return {"items": shown(page), "next": page.next}

    def seconds(self, address: str) -> float:
        """How long it takes until the answer is bytes."""
        began = perf_counter()
        msgspec.json.encode(self.answer(address))
        return perf_counter() - began

    def milliseconds(self, address: str) -> float:
        """The median of a few, the first of them cold."""
        return median([self.seconds(address) for _ in range(TIMES)]) * 1000

    def close(self) -> None:
        self._opened.close()


class Year:
    """The days that the events of a database speak of; it is asked on the last of them."""

    def __init__(self, asked: Asked) -> None:
        [newest] = asked.answer("orders?sort=-day&limit=1")["items"]
        self.last = date.fromisoformat(newest["day"])
        self.end = self.last + timedelta(days=1)
        self.month = self.last.replace(day=1)
        self.quarter = f"{self.last.year}-Q{(self.last.month + 2) // 3}"
        asked.now = datetime.combine(self.last, time(12), UTC)


def viewing(report: Report, path: Path, log: Log) -> None:
    """Ask what the card asks, then tell facts late and ask what they change."""
    asked = Asked(path)
    try:
        year = Year(asked)
        for name, address, most in _questions(year):
            report.add(name, asked.milliseconds(address), "ms", most=most)
        report.add("page of 100 orders, p99, no HTTP", _pages(asked), "ms", most=AT_REST)
        _told_late(report, asked, year, path, log)
    finally:
        asked.close()


def _questions(year: Year) -> Iterator[tuple[str, str, int]]:
    over = f"from={FIRST_DAY}&to={year.end}"
    yield "sales of the year by territory", f"sales?sum=ordered_net&by=territory&{over}", SUM
    yield "targets of a month, all", f"targets?from={year.month}&to={year.end}&limit=1000", WHOLE
    yield "assessments of a quarter, all", f"assessments?period={year.quarter}&limit=1000", WHOLE
    yield "dealers, all", "dealers?limit=1000", WHOLE
    yield "statements, a page of all", "statements?limit=100", WHOLE
    yield "receivables, all", "receivables?limit=1000", WHOLE
    yield "promotions, all", "promotions?limit=1000", WHOLE
    yield "otif of the year by carrier", "otif_orders?policy=otif-default&sum=on_time,late&by=carrier", WHOLE


def _pages(asked: Asked) -> float:
    """Page after page, from the first on: the ninety-ninth of a hundred."""
    taken = []
    address = "orders?limit=100"
    for _ in range(PAGES):
        taken.append(asked.seconds(address) * 1000)
        cursor = asked.answer(address)["next"]
        address = f"orders?limit=100&cursor={cursor}" if cursor else "orders?limit=100"
    return quantiles(taken, n=100)[98]


def _told_late(report: Report, asked: Asked, year: Year, path: Path, log: Log) -> None:
    """Each fact changes the answer at once, and no projection is built anew for it."""
    database = Database(f"sqlite:///{path}")
    engine = Engine(database, CATALOGUE, PROJECTIONS, log)
    try:
        for name, event, address, most in _facts(asked, year):
            before = asked.answer(address)
            engine.apply([_message(engine.position.sequence + 1, event)])
            engine.sync()
            assert asked.answer(address) != before, f"{name}: the answer did not change"
            report.add(f"after {name}", asked.milliseconds(address), "ms", most=most)
    finally:
        engine.close()
        database.close()


def _facts(asked: Asked, year: Year) -> Iterator[tuple[str, dict[str, Any], str, int]]:
    """A fact, with the question whose answer it changes."""
    over = f"from={FIRST_DAY}&to={year.end}"
    most = asked.answer("dealer_sales?sum=ordered_net&by=dealer&sort=-ordered_net&limit=1")["items"][0]
    dealer = most["dealer"]
    [sku] = asked.answer("sales?sum=ordered_net&by=sku&sort=-ordered_net&limit=1")["items"]
    [product] = asked.answer(f"products?sku={sku['sku']}")["items"]
    begin, end = [f"{day}T00:00:00+08:00" for day in (FIRST_DAY, year.end)]
    plan = {"scope": {"dealer": dealer}, "measure": "amount", "flow": "primary", "currency": "CNY"}
    yield (
        "a target told after its sales",
        _event("plans", "target.set.v1", target="BENCH", value="1000", to=end, **{"from": begin}, **plan),
        f"targets?from={FIRST_DAY}&to={year.end}&limit=1000",
        WHOLE,
    )
    yield (
        "a territory assigned a year back",
        _event("dealers", "territory.assigned.v1", dealer=dealer, territory="BENCH", **{"from": begin}),
        f"sales?sum=ordered_net&by=territory&{over}",
        SUM,
    )
    card: dict[str, Any] = {
        "criteria": [{"code": "on_time", "figure": "on_time", "points": 30, "way": "ratio"}]
    }
    rule: dict[str, Any] = {"kind": "assessment", "version": "1", "effective": begin, "body": card}
    yield (
        "a policy told after its quarter began",
        _event("plans", "policy.published.v1", policy="bench", **rule),
        f"assessments?period={year.quarter}&limit=1000",
        WHOLE,
    )
    listed = {"sku": product["sku"], "name": product["name"], "base_uom": product["base_uom"] or "case"}
    yield (
        "a product listed in another category",
        _event("plans", "product.listed.v1", category="BENCH", **listed),
        f"sales?sum=ordered_net&by=category&{over}",
        WHOLE,
    )


def _event(family: str, type: str, **data: Any) -> dict[str, Any]:
    subject = data[TYPES[type].document_field]
    return {"family": family, "type": type, "subject": subject, "data": data}


def _message(sequence: int, event: dict[str, Any]) -> Message:
    """The fact as the log would hold it."""
    body = {
        "specversion": "1.0",
        "type": event["type"],
        "source": "bench",
        "id": f"late-{sequence}",
        "subject": event["subject"],
        "time": datetime.now(UTC).isoformat(),
        "data": event["data"],
    }
    where = f"channel.{event['family']}.{event['data'].get('dealer', '_')}"
    return Message(sequence, time_ns(), where, msgspec.json.encode(body))
