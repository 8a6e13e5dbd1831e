"""SQLite and PostgreSQL hold the same rows, give the same answers, and let one projector write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.views import views_of
from cli.simulation import events
from infra.arrays import arrays, unnested
from infra.database import Database, DatabaseError
from infra.definitions import physical
from infra.documents import ROWS
from infra.lock import BusyError, ProjectorLock
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from tests.lab.both import Engines, Sides, answers, folded_on_both, questions, sites_over
from tests.lab.databases import Files, PostgreSQL, Where
from tests.lab.events import order
from tests.lab.folding import database_on, messages, tables
from tests.lab.qudao import eventually, up
from tests.lab.site import site

pytestmark = pytest.mark.integration

LAW = settings(max_examples=100, derandomize=True, database=None, deadline=None)
SIZE = 1_000
VIEWS = views_of(PROJECTIONS, {INDEX: ROWS})


@pytest.fixture(scope="module")
def engines(files: Files, server: PostgreSQL) -> Iterator[Engines]:
    """One simulated year folded on both."""
    log = messages([(event.subject, event.body) for event in events(7, events=SIZE)])
    with folded_on_both(files, server, log) as both:
        yield both


@pytest.fixture(scope="module")
def sides(engines: Engines) -> Iterator[Sides]:
    with sites_over(engines) as both:
        yield both


def test_the_same_events_make_the_same_rows(engines: Engines) -> None:
    one, other = [tables(engine) for engine in engines]

    assert one == other
    assert sum(map(len, one.values())) > SIZE


@pytest.mark.parametrize("name", VIEWS)
def test_the_same_events_give_the_same_answers(sides: Sides, name: str) -> None:
    for question in questions(VIEWS[name]):
        one, other = [answers(client, question) for client in sides]
        assert one == other, question


VALUES = {
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
    | st.sampled_from(["NULL", "null", "{}", '"', "\\", "a,b", " a ", "\n"]),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
}


@LAW
@given(st.lists(st.tuples(*[st.none() | values for values in VALUES.values()]), min_size=1, max_size=5))
def test_rows_reach_postgresql_as_they_are(server: PostgreSQL, rows: list[tuple[Any, ...]]) -> None:
    with server.connect() as connection:
        found = connection.execute(f"SELECT * FROM {unnested(VALUES)}", arrays(VALUES, rows)).fetchall()

    assert found == rows


def test_texts_are_in_the_order_of_their_bytes_whatever_the_language_of_the_server(
    engines: Engines,
) -> None:
    _, engine = engines

    tables = [physical(row, version) for row, version in engine.live_tables()]
    found = engine.database.rows(
        "SELECT DISTINCT data_type, collation_name FROM information_schema.columns "
        "WHERE character_maximum_length IS NULL AND data_type NOT IN ('bigint', 'numeric', 'boolean') "
        f"AND table_name IN ({', '.join([repr(table) for table in tables])})"
    )

    assert found == [("text", "C")]


def test_the_newest_of_a_view_are_found_by_an_index(engines: Engines) -> None:
    _, engine = engines
    newest = 'SELECT "order" FROM orders ORDER BY placed DESC NULLS LAST, dealer, "order" LIMIT 10'

    plan = engine.database.rows(f"EXPLAIN {newest}")

    assert "Index Scan Backward" in " ".join(line for (line,) in plan)


def test_a_second_projector_is_refused_until_the_first_has_gone(
    database: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.lock.LET_GO_SECONDS", 1)
    first, second = database_on(database), database_on(database)

    with ProjectorLock(first), pytest.raises(BusyError, match="another projector"):
        ProjectorLock(second)
    with ProjectorLock(second):
        pass
    first.close()
    second.close()


def test_a_database_without_a_place_for_every_name_is_refused(server: PostgreSQL) -> None:
    with server.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")

    with pytest.raises(DatabaseError, match="encoded in LATIN1"):
        Database(server.address("latin"))


def test_a_database_that_may_not_be_written_says_so_and_not_its_password(server: PostgreSQL) -> None:
    where = server.new()
    with server.connect() as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")

    with pytest.raises(DatabaseError, match="cannot be written") as raised:
        Database(where.replace("qudao@", "reader:secret@"))

    assert "secret" not in str(raised.value)


def test_a_clerk_who_may_only_read_serves_the_answers(engines: Engines, server: PostgreSQL) -> None:
    where = engines[1].database.url
    with psycopg.connect(where.replace("+psycopg", "")) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")

    with site(where.replace("qudao@", "clerk@")) as client:
        answers = [client.get(f"/{name}").status_code for name in ("orders", "sales", "dealers")]

    assert answers == [200, 200, 200]


def test_a_site_gets_well_after_postgresql_was_away(server: PostgreSQL, tmp_path: Path) -> None:
    where = server.new()
    with up(tmp_path / "var", "--database", where) as it:
        it.post("/events", order("O1", "D1"))
        before = it.rows("orders", 1)
        server.disconnect(where)
        it.post("/events", order("O2", "D1"))
        eventually(lambda: it.get("/health")[0] == 200)
        after = it.rows("orders", 2)

    assert [[row["order"] for row in rows] for rows in (before, after)] == [["O1"], ["O1", "O2"]]
