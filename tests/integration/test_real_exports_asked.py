"""Two real exports imported, projected and asked back over HTTP, to the last digit; then sent again, disturbed."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec import Struct

from domain.event_types import CATALOGUE
from infra.append import Appender, Outgoing, Receipt, message_id
from infra.importing import Import, Report, run_import
from infra.jetstream import connect
from tests.lab.qudao import Site, up

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QUDAO_REAL_DATA") or ROOT.parent / "shared" / "data")
WINDOW_SECONDS = 1
WAREHOUSE = "AW-WAREHOUSE"
#: Tables that list what arrived; every other one is to stay as it is.
ARRIVALS = ("events__", "event_names__", "rejections__", "positions")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not DATA.is_dir(), reason=f"no real exports at {DATA}: name their folder in QUDAO_REAL_DATA"
    ),
]


class Imported(Struct):
    """A running site that has taken in an export and shows all of it."""

    name: str
    site: Site
    folder: Path
    report: Report

    def ask(self, view: str, **query: object) -> list[dict[str, Any]]:
        status, answer = self.site.get(f"/{view}?{urlencode(query)}")
        assert status == 200, answer
        assert answer["next"] in (None, ""), "all on one page"
        found: list[dict[str, Any]] = answer["items"]
        return found

    def await_sequence(self, sequence: int) -> None:
        for view in ("events", "orders", "stock_levels"):
            status, answer = self.site.get(f"/{view}?limit=1&min_sequence={sequence}&wait=30")
            assert status == 200, answer

    def append(self, messages: Sequence[Outgoing]) -> list[Receipt]:
        return asyncio.run(_append(self.site.nats, messages))

    def outgoing(self) -> list[Outgoing]:
        return list(_import(self.name).outgoing())

    def projected(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every stored row but those that list what arrived."""
        with sqlite3.connect(f"file:{self.folder / 'qudao.db'}?mode=ro", uri=True) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return {
                name: sorted(database.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
                for (name,) in names
                if not name.startswith(ARRIVALS)
            }


def _import(name: str) -> Import:
    return Import(ROOT / "examples" / "mappings" / f"{name}.toml", DATA / name, CATALOGUE)


async def _append(url: str, messages: Sequence[Outgoing]) -> list[Receipt]:
    client = await connect(url, "erp")
    try:
        return await Appender(client).append(messages)
    finally:
        await client.close()


async def _run_import(url: str, name: str) -> Report:
    client = await connect(url, "import")
    try:
        mapping = ROOT / "examples" / "mappings" / f"{name}.toml"
        return await run_import(mapping, DATA / name, Appender(client), catalogue=CATALOGUE)
    finally:
        await client.close()


def imported(name: str, folder: Path) -> Iterator[Imported]:
    with up(folder, "--duplicate-window-seconds", str(WINDOW_SECONDS)) as site:
        report = asyncio.run(_run_import(site.nats, name))
        found = Imported(name, site, folder, report)
        found.await_sequence(report.last_sequence)
        yield found


@pytest.fixture(scope="module")
def adventureworks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    yield from imported("adventureworks", tmp_path_factory.mktemp("adventureworks") / "var")


@pytest.fixture(scope="module")
def northwind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    yield from imported("northwind", tmp_path_factory.mktemp("northwind") / "var")


def rows_of(name: str, file: str) -> list[dict[str, str]]:
    with (DATA / name / file).open(encoding="utf-8-sig") as lines:
        return list(csv.DictReader(lines))


def balances(until: str) -> dict[str, Decimal]:
    """What was in the warehouse at the end of a day, by plain sums over the export; nothing is left out."""
    sums: Counter[str] = Counter()
    for row in rows_of("adventureworks", "OpeningBalances.csv"):
        sums[f"AW-{row['ProductKey']}"] += int(row["UnitsBalance"])
    for row in rows_of("adventureworks", "InventoryMovements.csv"):
        if row["DateKey"] <= until:
            sums[f"AW-{row['ProductKey']}"] += int(row["UnitsIn"]) - int(row["UnitsOut"])
    return {sku: Decimal(pieces) for sku, pieces in sums.items() if pieces}


def on_hand(levels: Sequence[dict[str, Any]]) -> dict[str, Decimal]:
    return {level["sku"]: Decimal(level["on_hand"]) for level in levels if Decimal(level["on_hand"])}


def test_adventureworks_orders_are_answered_to_the_last_digit(adventureworks: Imported) -> None:
    [total] = adventureworks.ask("orders", by="currency", sum="lines,net,discount")
    dealers = adventureworks.ask("orders", by="dealer", limit=1000)
    territories = adventureworks.ask("orders", by="territory", sum="net")

    assert (adventureworks.report.unmapped, adventureworks.report.duplicates) == (0, 0)
    assert (total["currency"], total["count"], int(total["lines"])) == ("USD", 739, 8459)
    assert (total["net"], total["discount"]) == ("16288441.7675", "140612.1794")
    assert len(dealers) == 208
    assert sum(dealer["count"] for dealer in dealers) == 739
    assert {row["territory"]: Decimal(row["net"]) for row in territories} == {
        "AW-Canada": Decimal("3079806.8149"),
        "AW-Central": Decimal("2024175.8030"),
        "AW-Northeast": Decimal("1182920.4702"),
        "AW-Northwest": Decimal("3255251.4311"),
        "AW-Southeast": Decimal("2857047.7707"),
        "AW-Southwest": Decimal("3889239.4776"),
    }


def test_opening_and_movements_are_the_last_balance_of_every_product(adventureworks: Imported) -> None:
    levels = on_hand(adventureworks.ask("stock_levels", location=WAREHOUSE, limit=1000))

    movements = sorted(rows_of("adventureworks", "InventoryMovements.csv"), key=lambda row: row["DateKey"])
    last = {f"AW-{row['ProductKey']}": Decimal(row["UnitsBalance"]) for row in movements}
    assert len(last) == 60
    assert {sku: levels.get(sku, 0) for sku in last} == last
    assert levels == balances("99999999")


@pytest.mark.parametrize("day", ["2010-12-28", "2011-01-31", "2011-06-15"])
def test_stock_is_answered_as_it_was_on_a_past_day(adventureworks: Imported, day: str) -> None:
    levels = adventureworks.ask(
        "stock_levels", location=WAREHOUSE, limit=1000, valid_at=f"{day}T22:00:00-08:00"
    )

    assert on_hand(levels) == balances(day.replace("-", ""))


def test_northwind_orders_are_answered_to_the_last_digit(northwind: Imported) -> None:
    [total] = northwind.ask("orders", by="currency", sum="lines,net")
    stock = northwind.ask("stock_levels", location="NW-WAREHOUSE", limit=1000)

    assert (total["count"], int(total["lines"]), total["net"]) == (830, 2155, "1265793.0395")
    assert on_hand(stock) == {
        f"NW-{row['ProductID']}": Decimal(row["UnitsInStock"])
        for row in rows_of("northwind", "Products.csv")
        if int(row["UnitsInStock"])
    }


def reworded(message: Outgoing, rng: Random) -> Outgoing:
    """The same event written anew: members in another order at every depth, other white space, escapes."""
    event = json.loads(message.body)
    body = json.dumps(_turned(event, rng), indent=rng.choice((None, 1, 4)), ensure_ascii=rng.random() < 0.5)
    return Outgoing(message.subject, body.encode(), message_id(event["source"], event["id"], body.encode()))


def _turned(value: Any, rng: Random) -> Any:
    if isinstance(value, dict):
        return {name: _turned(value[name], rng) for name in rng.sample(list(value), len(value))}
    return [_turned(one, rng) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", [7])
def test_a_second_import_after_the_window_shuffled_and_reworded_changes_no_row(
    northwind: Imported, seed: int
) -> None:
    rng = Random(seed)
    first = northwind.outgoing()
    again = [reworded(message, rng) for message in rng.sample(first, len(first))]
    same = rng.sample(first, 200)
    before = northwind.projected()
    time.sleep(WINDOW_SECONDS + 0.5)

    receipts = northwind.append([*again, *same])

    end = max(receipt.sequence for receipt in receipts)
    northwind.await_sequence(end)
    places = {message.body: number for number, message in enumerate(first, 1)}
    holders = {identity(message): places[message.body] for message in first}
    copies = {r.sequence: holders[identity(m)] for m, r in zip([*again, *same], receipts, strict=True)}
    some = rng.sample(first, 10)
    told = [northwind.site.get(f"/receipts?{urlencode(identity(message))}")[1] for message in some]
    assert not any(receipt.duplicate for receipt in receipts), "the log has forgotten what it had"
    assert northwind.projected() == before
    assert listed(northwind, "duplicate") == copies
    assert northwind.ask("rejections") == []
    for message, answer in zip(some, told, strict=True):
        assert answer["sequence"] == holders[identity(message)]
        assert [one["status"] for one in answer["messages"][:2]] == ["accepted", "duplicate"]


def identity(message: Outgoing) -> tuple[tuple[str, str], ...]:
    event = json.loads(message.body)
    return ("source", event["source"]), ("id", event["id"])


def listed(site: Imported, status: str) -> dict[int, int]:
    """The messages of a status and what each is a second copy of, from all pages."""
    found: dict[int, int] = {}
    cursor: dict[str, str] = {}
    while True:
        _, page = site.site.get(f"/events?{urlencode({'status': status, 'limit': 1000} | cursor)}")
        found |= {row["sequence"]: row["of"] for row in page["items"]}
        if not page["next"]:
            return found
        cursor = {"cursor": page["next"]}


def contradicted(message: Outgoing, **changes: str) -> Outgoing:
    """The event with other content; under another id only where one is given."""
    event = json.loads(message.body)
    event["id"] = changes.pop("id", event["id"])
    event["subject"] = changes.get("order", event["subject"])
    event["data"] |= changes
    body = json.dumps(event).encode()
    return Outgoing(message.subject, body, message_id(event["source"], event["id"], body))


def test_other_content_under_an_id_that_was_taken_is_a_conflict_within_the_window_and_beyond(
    northwind: Imported,
) -> None:
    old = next(m for m in northwind.outgoing() if b'"order.placed.v1"' in m.body)
    fresh = contradicted(old, id="order-new", order="NW-NEW")
    [accepted] = northwind.append([fresh])
    northwind.await_sequence(accepted.sequence)
    before = northwind.projected()

    within, beyond = northwind.append(
        [contradicted(fresh, freight="9.99"), contradicted(old, freight="9.99")]
    )
    northwind.await_sequence(beyond.sequence)
    answers = [
        northwind.site.post("/events", contradicted(message, freight="8.88").body) for message in (old, fresh)
    ]

    rejected = northwind.ask("rejections", code="conflict")
    [holder] = northwind.site.get(f"/receipts?{urlencode(identity(old))}")[1]["messages"][:1]
    assert [(row["sequence"], row["of"]) for row in rejected] == [
        (within.sequence, accepted.sequence),
        (beyond.sequence, holder["sequence"]),
    ]
    assert {row["reasons"][0]["field"] for row in rejected} == {"id"}
    assert northwind.projected() == before
    for (status, problem), sequence in zip(answers, (holder["sequence"], accepted.sequence), strict=True):
        assert (status, problem["type"], problem["sequence"]) == (409, "/problems/conflict", sequence)
