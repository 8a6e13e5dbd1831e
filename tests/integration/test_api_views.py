"""Views over a real database: filters, pages, sums, formats, and how current an answer is."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from api import moment
from api.query import PARAMETERS, parameters_of
from api.views import FIXED_PATHS, token, untoken, views_of
from domain.identifiers import escape
from domain.numbers import ZERO
from infra.database import LIVE, Position
from infra.definitions import physical
from infra.documents import ROWS
from infra.positions import INDEX, insert_position
from projections.projection import Computed, Projection
from projections.registry import PROJECTIONS
from projections.rows import TABLES, Row, table
from tests.lab.databases import Databases, Where, address
from tests.lab.events import HOUR, NOON, counted, dispatched, log, moved, order, received
from tests.lab.folding import database_on, store
from tests.lab.site import checked, fold, site

pytestmark = pytest.mark.integration


@table("test_sales", key=("dealer", "sku", "currency"), indexes=(("day",),))
class Sale(Row):
    """What one dealer bought of one product."""

    dealer: str
    sku: str
    currency: str
    day: str | None = None
    net: Decimal = ZERO
    lines: int = 0
    open: bool = False


SALES = Projection("test_sales", (Sale,), frozenset(), lambda change: iter(()), lambda change, rows: None, ())
LEAST, MOST = Decimal("-999999999999.999999"), Decimal("999999999999.999999")


def put(where: Where, sales: list[Sale], sequence: int = 7) -> None:
    """A database as a projector would have left it."""
    database = database_on(where)
    database.create([Sale], "test")
    with database.transaction() as run:
        store(database, run, physical(Sale, "test"), sales)
        database.point_views(run, [(Sale, "test")])
    insert_position(database, Position("test_sales", "test", LIVE, sequence))
    database.close()


def sale(number: int, **values: Any) -> Sale:
    return Sale(f"D{number % 7}", f"S{number}", "CNY" if number % 3 else "EUR", **values)


@pytest.fixture(scope="module")
def sales(databases: Databases) -> Iterator[TestClient[Litestar]]:
    path = databases.new()
    put(
        path,
        [
            sale(
                n,
                day=None if n % 5 == 0 else f"2026-01-{n % 4 + 1:02}",
                net=Decimal(n) / 8,
                lines=n % 3,
                open=n % 2 > 0,
            )
            for n in range(60)
        ],
    )
    with site(path, projections=[SALES]) as client:
        yield client


@pytest.fixture(scope="module")
def shop(databases: Databases) -> Iterator[TestClient[Litestar]]:
    path = databases.new()
    events = [
        order("O1", "D1", ("COLA", 10), ("茶", 3)),
        order("渠/2", "渠道-7"),
        order("O3", "_", time=NOON + timedelta(days=300), placed=NOON + timedelta(days=300)),
        dispatched("L1", "D1", order="O1"),
        received("L1", "D1", accepted=7, short=3),
        counted("C1", "W1", NOON, ("COLA", 5)),
        moved("M1", "W1", "out", 2, time=NOON + HOUR),
    ]
    fold(path, log(events))
    with site(path) as client:
        yield client


@pytest.fixture(scope="module")
def spec(shop: TestClient[Litestar]) -> Any:
    return shop.get("/openapi.json").json()


def all_pages(client: TestClient[Litestar], address: str) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        answer = client.get(address + (f"&cursor={quote(cursor)}" if cursor else "")).json()
        found += answer["items"]
        cursor = answer["next"]
        if not cursor:
            return found


# pages


@pytest.mark.parametrize(
    "sort", ["", "dealer", "-dealer", "day", "-day", "net", "-net", "lines", "-lines", "open", "-open", "sku"]
)
@pytest.mark.parametrize("limit", [1, 7, 20, 1000])
def test_pages_have_every_row_once_in_order(sales: TestClient[Litestar], sort: str, limit: int) -> None:
    rows = all_pages(sales, f"/test_sales?limit={limit}" + (f"&sort={sort}" if sort else ""))

    assert len(rows) == len({(row["dealer"], row["sku"], row["currency"]) for row in rows}) == 60
    values = [row[sort.lstrip("-") or "dealer"] for row in rows]
    known = [Decimal(v) if sort.lstrip("-") == "net" else v for v in values if v is not None]
    assert known == sorted(known, reverse=sort.startswith("-"))
    assert None not in values[: len(known)], "nulls come last"


def test_filters_name_fields_and_any_of_several_values(sales: TestClient[Litestar]) -> None:
    rows = sales.get("/test_sales?dealer=D1&dealer=D2&currency=EUR&day=").json()["items"]

    assert rows
    assert all(
        row["dealer"] in ("D1", "D2") and row["currency"] == "EUR" and row["day"] is None for row in rows
    )


@given(
    st.dictionaries(
        st.sampled_from([*PARAMETERS, "dealer", "day", "net", "open", "nope", "after", "渠"]),
        st.text(),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_no_query_makes_the_service_fail(sales: TestClient[Litestar], query: dict[str, str]) -> None:
    query |= {"wait": "0"} if "wait" in query else {}
    response = sales.get("/test_sales", params=query | {"wait": "0"})

    assert response.status_code in (200, 304, 400, 503), response.text
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("dealr=D1", "dealr", "there are: .*dealer"),
        ("limit=0", "limit", "1 to 1000"),
        ("limit=1001", "limit", "1 to 1000"),
        ("limit=1&limit=2", "limit", "more than once"),
        ("sort=nope", "sort", "there are: dealer"),
        ("sum=sku", "sum", "there are: net, lines"),
        ("sum=net&by=nope", "by", "there are: dealer"),
        ("sum=net&sort=sku", "sort", "there are: currency, net, count"),
        ("cursor=xyz", "cursor", "not given"),
        ("net=abc", "net", "decimal"),
        ("open=yes", "open", "true or false"),
        ("min_sequence=-1", "min_sequence", "negative"),
        ("wait=31", "wait", "0 to 30"),
        ("format=pdf", "format", "json, csv, html"),
        ("valid_at=yesterday", "valid_at", "must be an instant"),
        ("known_at=soon", "known_at", "must be an instant such as .*, or a sequence of the log such as 4711"),
        ("known_at=", "known_at", "must be an instant such as .*, or a sequence of the log such as 4711"),
        ("after=5", "after", "not known here"),
        ("dealer=%00", "dealer", "NUL"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_there_is(
    sales: TestClient[Litestar], query: str, field: str, reason: str
) -> None:
    response = sales.get(f"/test_sales?{query}")

    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["field"] == field
    assert re.search(reason, error["reason"])


def test_everything_wrong_is_said_at_once(sales: TestClient[Litestar]) -> None:
    errors = sales.get("/test_sales?limit=x&nope=1&net=y").json()["errors"]

    assert {error["field"] for error in errors} == {"limit", "nope", "net"}


# sums


def test_sums_never_add_currencies_and_group_as_asked(sales: TestClient[Litestar]) -> None:
    rows = sales.get("/test_sales?limit=1000").json()["items"]
    sums = sales.get("/test_sales?sum=net,lines&by=dealer&limit=1000").json()["items"]

    assert {(s["dealer"], s["currency"]) for s in sums} == {(r["dealer"], r["currency"]) for r in rows}
    for one in sums:
        mine = [r for r in rows if (r["dealer"], r["currency"]) == (one["dealer"], one["currency"])]
        assert one["count"] == len(mine)
        assert Decimal(one["net"]) == sum((Decimal(r["net"]) for r in mine), ZERO)
        assert one["lines"] == sum(r["lines"] for r in mine)


def test_sums_alone_and_counts_alone_are_answered(sales: TestClient[Litestar]) -> None:
    assert sum(s["count"] for s in sales.get("/test_sales?by=").json()["items"]) == 60
    assert {s["currency"] for s in sales.get("/test_sales?sum=net").json()["items"]} == {"CNY", "EUR"}


@pytest.mark.parametrize("sort", ["", "-net", "net", "count", "-lines", "day", "-day", "dealer"])
def test_groups_come_in_pages_too(sales: TestClient[Litestar], sort: str) -> None:
    address = "/test_sales?sum=net,lines&by=dealer,day" + (f"&sort={sort}" if sort else "")

    whole = sales.get(address + "&limit=1000").json()["items"]
    assert all_pages(sales, address + "&limit=4") == whole
    if sort in ("-net", "net"):
        nets = [Decimal(one["net"]) for one in whole]
        assert nets == sorted(nets, reverse=sort == "-net")


def test_sums_beyond_64_bits_are_exact(database: Where) -> None:
    put(database, [sale(n, net=LEAST if n % 10 == 0 else MOST) for n in range(100)])

    with site(database, projections=[SALES]) as client:
        sums = client.get("/test_sales?sum=net").json()["items"]
        ordered = client.get("/test_sales?sum=net&by=dealer&sort=-net").json()["items"]

    by_currency = {s["currency"]: Decimal(s["net"]) for s in sums}
    assert sum(by_currency.values(), ZERO) == 80 * MOST
    nets = [Decimal(one["net"]) for one in ordered]
    assert nets == sorted(nets, reverse=True)


# rows


@given(st.text(min_size=0, max_size=20).filter(lambda t: t.isprintable()))
def test_a_key_goes_into_an_address_and_comes_back(text: str) -> None:
    segment = token(text)

    assert untoken(segment) == text
    assert "/" not in segment
    assert segment


def test_a_row_is_found_under_its_key(shop: TestClient[Litestar], spec: Any) -> None:
    address = f"/orders/{escape('渠道-7')}/{escape('渠/2')}"

    row = checked(shop.get(address), spec, "/orders/{dealer}/{order}")

    assert (row["dealer"], row["order"], row["net"]) == ("渠道-7", "渠/2", "25")
    assert f'href="{address}"' in shop.get("/orders?format=html").text


def test_an_empty_key_field_is_an_underscore(shop: TestClient[Litestar], spec: Any) -> None:
    row = checked(shop.get("/stock_levels/W1/COLA/_"), spec, "/stock_levels/{location}/{sku}/{lot}")

    assert row["on_hand"] == "3"


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/orders/D1/none", 404, "no_such_row"),
        ("/orders/D1/=zz", 404, "not_found"),
        ("/orders/D1", 404, "not_found"),
        ("/nowhere", 404, "not_found"),
        ("/orders/D1/O1?limit=1", 400, "bad_parameter"),
        ("/orders?format=html&accept=x", 400, "bad_parameter"),
    ],
)
def test_what_is_not_there_is_a_problem(
    shop: TestClient[Litestar], spec: Any, address: str, status: int, code: str
) -> None:
    response = shop.get(address)

    assert response.status_code == status
    assert response.json()["type"] == f"/problems/{code}"
    assert checked(response, spec, "/orders")["status"] == status


def test_a_method_an_address_does_not_take_is_a_problem(shop: TestClient[Litestar]) -> None:
    response = shop.delete("/orders")

    assert response.json()["type"] == "/problems/method_not_allowed"
    assert "GET" in response.headers["allow"]


# formats


def test_every_view_is_answered_as_its_schema_says(shop: TestClient[Litestar], spec: Any) -> None:
    for view in shop.get("/").json()["views"]:
        answer = checked(shop.get(view["address"]), spec, view["address"])
        assert set(answer) == {"items", "next"}


def test_a_page_is_a_sheet_where_that_is_wanted(shop: TestClient[Litestar]) -> None:
    sheet = shop.get("/orders", headers={"Accept": "text/csv"})

    assert sheet.headers["content-type"].startswith("text/csv")
    assert sheet.content.startswith(b"\xef\xbb\xbfdealer,order,status,")
    assert "\r\n渠道-7,渠/2,placed,2026-03-02T12:00:00Z,2026-03-02," in sheet.text


def test_a_page_is_readable_where_a_browser_asks(shop: TestClient[Litestar]) -> None:
    page = shop.get("/orders?limit=1", headers={"Accept": "text/html,*/*;q=0.8"})

    assert page.headers["content-type"].startswith("text/html")
    assert "next page" in page.text
    assert 'class="number"><a href="/orders/D1/O1/explain#net">32.5</a><' in page.text
    assert not any(word in page.text for word in ("<script", "http://", "https://"))


def test_an_answer_to_come_is_linked(shop: TestClient[Litestar]) -> None:
    first = shop.get("/orders?limit=1&sort=-net")
    second = shop.get(first.headers["link"].split(">")[0].removeprefix("<"))

    assert [first.json()["items"][0]["order"], second.json()["items"][0]["order"]] == ["O1", "渠/2"]


# how current


def test_an_answer_says_how_current_it_is_and_is_not_sent_twice(shop: TestClient[Litestar]) -> None:
    first = shop.get("/orders")
    again = shop.get("/orders", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["qudao-sequence"] == "7"
    assert first.headers["qudao-at"].endswith("Z")
    assert first.headers["etag"].startswith('W/"')
    assert (again.status_code, again.content) == (304, b"")


def test_a_row_far_ahead_of_now_waits_for_its_time(shop: TestClient[Litestar]) -> None:
    orders = shop.get("/orders").json()["items"]

    assert {row["order"] for row in orders} == {"O1", "渠/2"}
    assert shop.get("/orders/=5F/O3").status_code == 404


def test_an_answer_waits_for_a_sequence_and_not_for_ever(database: Where) -> None:
    put(database, [sale(1)], sequence=7)

    def move_on() -> None:
        time.sleep(0.2)
        written = database_on(database)
        with written.transaction() as run:
            run("UPDATE positions SET sequence = 8", ())
        written.close()

    with site(database, projections=[SALES]) as client:
        mover = threading.Thread(target=move_on)
        mover.start()
        reached = client.get("/test_sales?min_sequence=8")
        mover.join()
        late = client.get("/test_sales?min_sequence=9&wait=0.1")

    assert reached.headers["qudao-sequence"] == "8"
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")
    assert late.json()["type"] == "/problems/not_yet"


def test_a_view_nobody_has_built_yet_says_so(database: Where) -> None:
    with site(database) as client:
        response = client.get("/orders")

    assert response.status_code == 503
    assert response.json()["type"] == "/problems/not_built"


#: What an older program had made of a name, and a question that needs more.
OLDER = {
    "orders": ("SELECT 'D1' AS dealer, 'O1' AS \"order\"", "/orders"),
    "event_names": ("SELECT 'D1' AS name, 1 AS sequence", "/stock_levels?location=WH&known_at=1"),
}


@pytest.mark.parametrize("name", OLDER)
def test_a_view_that_another_program_built_without_a_field_says_so(databases: Databases, name: str) -> None:
    where = databases.new()
    fold(where, log([order()]))
    made, question = OLDER[name]
    engine = sa.create_engine(address(where))
    with engine.begin() as connection:
        cascade = " CASCADE" if engine.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP VIEW {name}{cascade}")
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {made}")
    engine.dispose()
    with site(where) as client:
        response = client.get(question)

    assert response.status_code == 503
    assert response.json()["type"] == "/problems/not_built"
    assert "another program" in response.json()["detail"]


# other times


def test_stock_is_answered_as_it_was(shop: TestClient[Litestar], spec: Any) -> None:
    def on_hand(at: str) -> list[tuple[str, str]]:
        answer = shop.get(f"/stock_levels?location=W1&valid_at={quote(at)}")
        return [(row["sku"], row["on_hand"]) for row in checked(answer, spec, "/stock_levels")["items"]]

    assert on_hand("2026-03-02T20:00:00+08:00") == [("COLA", "5")]
    assert on_hand("2026-03-02T13:00:00Z") == [("COLA", "3")]
    assert shop.get("/stock_levels/W1/COLA/_?valid_at=2026-03-02T12:30:00Z").json()["on_hand"] == "5"


def test_stock_as_of_now_is_the_stock_there_is(shop: TestClient[Litestar]) -> None:
    for location in ("W1", "D1", "渠道-7"):
        now = shop.get(f"/stock_levels?location={quote(location)}").json()["items"]
        then = shop.get(f"/stock_levels?location={quote(location)}&valid_at=2026-04-01T00:00:00Z").json()[
            "items"
        ]
        assert then == now


def test_what_more_rows_bear_on_than_are_read_is_too_much_to_ask(
    shop: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moment, "ROWS_MAX", 2)
    response = shop.get("/stock_levels?valid_at=2026-03-02T12:00:00Z")

    assert response.status_code == 400
    assert response.json()["type"] == "/problems/cannot_be_answered"
    assert response.json()["errors"][0]["field"] == "location"


def test_a_computed_view_is_filtered_sorted_and_summed_like_any_other(database: Where) -> None:
    put(database, [])
    rows = [sale(n, net=Decimal(n), lines=n) for n in range(20)]
    way = Computed(Sale, lambda tables, at, filters: iter(rows), always=True)

    with site(database, projections=[replace(SALES, computed=(way,))]) as client:
        page = all_pages(client, "/test_sales?dealer=D1&sort=-net&limit=2")
        [euro] = client.get("/test_sales?sum=net&currency=EUR").json()["items"]

    assert [row["net"] for row in page] == ["15", "8", "1"]
    assert euro == {"currency": "EUR", "count": 7, "net": "63"}


# names


def test_no_view_and_no_field_has_a_name_that_means_something_else() -> None:
    views = views_of(PROJECTIONS, {INDEX: ROWS})

    assert not set(views) & (set(FIXED_PATHS) - {"events"})
    for view in views.values():
        assert not set(view.fields) & {*parameters_of(view), "count"}, view.name
        assert TABLES[view.row].view == view.name


def test_a_page_of_a_hundred_rows_is_quick(database: Where) -> None:
    put(database, [sale(n, net=Decimal(n)) for n in range(20_000)])

    with site(database, projections=[SALES]) as client:
        took = []
        for number in range(50):
            began = time.perf_counter()
            assert client.get(f"/test_sales?dealer=D{number % 7}&limit=100").status_code == 200
            took.append(time.perf_counter() - began)

    assert sorted(took)[25] < 0.05  # a shared machine; the bench has the real goal
