from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import Struct

from cli.simulation import events
from cli.simulation.publishing import publish
from infra.append import Appender
from infra.connection import Connection
from infra.jetstream import connect
from infra.nats_server import NatsServer
from tests.lab.databases import Databases, Where, address
from tests.lab.events import order
from tests.lab.folding import database_on
from tests.lab.qudao import Site, answer, qudao, up

pytestmark = pytest.mark.integration


class Place(Struct, frozen=True):
    """The folder of a site, and its database."""

    folder: Path
    database: Where

    @property
    def flags(self) -> tuple[str, ...]:
        return "--data", str(self.folder), "--database", address(self.database)

    def versions(self, projection: str) -> dict[str, str]:
        with closing(database_on(self.database)) as database:
            positions = database.positions()
        return {p.version: p.status for p in positions if p.projection == projection}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Place:
    return Place(tmp_path_factory.mktemp("site") / "var", databases.new())


@pytest.fixture(scope="module")
def site(place: Place) -> Iterator[Site]:
    """One site for the tests of this module, filled with a small simulated channel that is all visible."""
    with up(place.folder, "--database", address(place.database)) as site:
        sent = asyncio.run(_fill(site.nats))
        for view in ("orders", "stock_levels"):
            assert site.rows(view, sent)
        yield site


async def _fill(url: str) -> int:
    client: Connection = await connect(url, "test")
    try:
        return (await publish(Appender(client), events(7, events=400))).last_sequence
    finally:
        await client.close()


def test_status_finds_the_server_on_the_folder_and_says_that_all_is_well(site: Site, place: Place) -> None:
    ended = qudao("status", *place.flags)

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "all is well"
    assert "An acknowledged event is on disk" in ended.stdout
    assert {"index", "orders", "stock"} <= {line.split(" ")[0] for line in ended.stdout.splitlines()}


def test_every_row_is_what_the_log_says_while_the_projector_works(site: Site, place: Place) -> None:
    for number in range(20):
        site.post("/events", order(f"SO-{number}", "D1", ("COLA", 1)))

    ended = qudao("check", *place.flags, "--json")

    report = answer(ended)
    assert (ended.returncode, report["equal"], report["differences"], report["not_compared"]) == (
        0,
        True,
        [],
        [],
    )
    rows = {table["table"]: table["rows"] for table in report["tables"]}
    assert {"events", "identities", "documents", "orders", "stock_levels"} <= set(rows)
    assert rows["events"] == report["sequence"]
    assert rows["orders"] > 20


def test_a_rebuild_beside_is_switched_by_the_projector_at_work_and_is_equal(site: Site, place: Place) -> None:
    before = place.versions("stock")

    ended = qudao("rebuild", "stock", *place.flags, "--json")

    rebuilt = answer(ended)["rebuilt"]
    assert ended.returncode == 0
    assert place.versions("stock") == dict.fromkeys(before, "retired") | {rebuilt["stock"]: "live"}
    assert answer(qudao("check", *place.flags, "--json"))["equal"]
    assert site.get("/stock_levels?limit=1")[0] == 200


def test_what_was_edited_beside_the_rows_is_found(tmp_path: Path, databases: Databases) -> None:
    """The tables of every projection are as they should be; what people ask for is not."""
    place = Place(tmp_path / "var", databases.new())
    with up(place.folder, "--database", address(place.database)) as site:
        _, receipt = site.post("/events", order("SO-1", "D1"))
        site.rows("orders", receipt["sequence"])

    def checked_after(*edits: str) -> str:
        with closing(database_on(place.database)) as edited, edited.transaction() as run:
            for sql in edits:
                run(sql, ())
        with NatsServer.start(place.folder / "nats"):
            ended = qudao("check", *place.flags)
        assert ended.returncode == 1
        return ended.stdout

    other = "CREATE VIEW ordering_dealers AS SELECT 'D9' AS dealer, 7 AS orders, TRUE AS registered"
    views = checked_after("DROP VIEW ordering_dealers", other, "DROP VIEW barred_orders")
    gaps = checked_after("INSERT INTO gaps VALUES (7, 9)")

    assert {line.split(" ")[1] for line in views.splitlines() if line.startswith("view ")} == {
        *("ordering_dealers", "barred_orders")
    }
    assert "start the projector again" in views
    assert ["gaps", "7"] in [line.split()[:2] for line in gaps.splitlines()]
    assert "move the database away" in gaps


def test_a_row_that_was_edited_is_found_and_a_rebuild_without_a_projector_puts_it_right(
    tmp_path: Path, database: Where
) -> None:
    place = Place(tmp_path / "var", database)
    with up(place.folder, "--database", address(database)) as site:
        for number in range(3):
            _, receipt = site.post("/events", order(f"SO-{number}", "渠道-7", ("COLA", 1 + number)))
        site.rows("orders", receipt["sequence"])
    [version], [index] = place.versions("orders"), place.versions("index")
    with closing(database_on(database)) as edited, edited.transaction() as run:
        run(f"UPDATE orders__{version} SET net = net + 1 WHERE \"order\" = 'SO-1'", ())
        run(f"DELETE FROM orders__{version} WHERE \"order\" = 'SO-2'", ())
        run(f"UPDATE identities__{index} SET sequence = 9 WHERE sequence = 3", ())

    with NatsServer.start(place.folder / "nats"):
        found = qudao("check", *place.flags, "--json")
        readable = qudao("check", *place.flags)
        rebuilt = qudao("rebuild", "orders", "--drop-retired", *place.flags, "--json")
        again = qudao("check", *place.flags, "--json")

    differences = answer(found)["differences"]
    assert found.returncode == 1
    assert ["orders", ["渠道-7", "SO-1"], "net", "5.000001", "5"] in [list(d.values()) for d in differences]
    assert [d["key"] for d in differences if d["live"] is None and d["table"] == "orders"] == [
        ["渠道-7", "SO-2"]
    ]
    assert "5.000001" in readable.stdout
    assert "the index itself is wrong" in readable.stdout
    assert (rebuilt.returncode, list(place.versions("orders").values())) == (0, ["live"])
    left = {table["table"]: table["changed"] + table["missing"] for table in answer(again)["tables"]}
    assert (left["orders"], left["identities"], again.returncode) == (0, 1, 1)


def test_a_projector_that_is_gone_while_events_come_is_behind(tmp_path: Path, database: Where) -> None:
    place = Place(tmp_path / "var", database)
    with up(place.folder, "--database", address(database)) as site:
        _, receipt = site.post("/events", order("SO-1", "D1", ("COLA", 1)))
        site.rows("orders", receipt["sequence"])
    with NatsServer.start(place.folder / "nats") as server:
        asyncio.run(_fill(server.url))

        ended = qudao("status", *place.flags, "--json", "--behind", "0")

    assert ended.returncode == 1
    assert "does a projector run?" in answer(ended)["faults"][0]


def test_the_demo_prints_what_became_of_a_channel_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = qudao("demo", "--once", "--events", "2000", more={"TMPDIR": str(tmp_path)})

    assert (ended.returncode, ended.stderr) == (0, "")
    for title in ("What arrived", "Orders", "Dealers by order value", "Least in stock", "What looks wrong"):
        assert title in ended.stdout.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_the_demo_refuses_a_folder_with_a_real_log(site: Site, place: Place) -> None:
    ended = qudao("demo", "--once", "--data", place.folder)

    assert ended.returncode == 2
    assert "holds a log that no demo made" in ended.stderr
