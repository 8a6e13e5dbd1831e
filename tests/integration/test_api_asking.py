"""Ranges, territories, comparisons and views of views, over a real database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from api.moment import Moment
from api.past import Replaying
from api.reading import Opened
from domain.event_types import CATALOGUE
from domain.numbers import ZERO, Money
from infra.database import LIVE, Position
from infra.definitions import physical
from infra.positions import insert_position
from projections.orders import ORDERS
from projections.projection import Computed, Projection
from projections.registry import PROJECTIONS
from projections.rows import TABLES, MemoryRows, Row, Tables, table, view
from tests.lab.databases import Databases, Where, address
from tests.lab.events import NOON, log, moved, order
from tests.lab.folding import database_on, store
from tests.lab.site import checked, fold, site

pytestmark = pytest.mark.integration


@table("territories", key=("territory",), home="shared")
class Land(Row):
    """A territory and what it is part of."""

    territory: str
    parent: str = ""


@table("test_days", key=("dealer", "day", "sku", "currency"), coarser="test_dealer_days")
class SkuDay(Row):
    """What a dealer bought of a product on a day."""

    dealer: str
    day: date
    sku: str
    currency: str
    territory: str = ""
    net: Money = ZERO
    pieces: int = 0


@table("test_dealer_days", key=("dealer", "day", "currency"))
class DealerDay(Row):
    """The same of all products together."""

    dealer: str
    day: date
    currency: str
    territory: str = ""
    net: Money = ZERO
    pieces: int = 0


@table("test_visits", key=("dealer", "at"), period="at")
class Visit(Row):
    """Somebody was there."""

    dealer: str
    at: datetime
    minutes: int = 0
    left: datetime | None = None


@view("dealers", key=("dealer",))
class Dealer(Row):
    """A dealer on one page."""

    dealer: str
    net: Money = ZERO
    visits: int = 0


def pages(tables: Tables, at: datetime, filters: Any) -> Iterator[Dealer]:
    """Every dealer with its sums; visits before `at` alone."""
    wanted = {name: values for name, values in filters.items() if name == "dealer"}
    for dealer, net in tables.sums(DealerDay, ["dealer"], ["net"], **wanted):
        visits = [one for one in tables.select(Visit, dealer=[dealer]) if one.at <= at]
        yield Dealer(dealer, net, len(visits))


def projection(name: str, *rows: type[Row], **more: Any) -> Projection:
    return Projection(name, rows, frozenset(), lambda change: iter(()), lambda change, held: None, (), **more)


LANDS = projection("test_lands", Land)
DAYS = projection(
    "test_days",
    SkuDay,
    DealerDay,
    Visit,
    views=(Dealer,),
    computed=(Computed(Dealer, pages, always=True),),
    reads=("test_lands",),
)
LAND = [Land("CN"), Land("north", "CN"), Land("BJ", "north"), Land("TJ", "north"), Land("south", "CN")]
LAND += [Land("a", "b"), Land("b", "a"), Land("lost", "nobody")]


def put(where: Where, rows: Iterable[Row], *, sequences: tuple[int, int] = (7, 7)) -> None:
    """A database as a projector would have left it."""
    database = database_on(where)
    kinds = [*DAYS.rows, *LANDS.rows]
    database.create(kinds, "test")
    with database.transaction() as run:
        for kind in kinds:
            store(database, run, physical(kind, "test"), [row for row in rows if type(row) is kind])
        database.point_views(run, [(kind, "test") for kind in kinds])
    for one, sequence in zip((DAYS, LANDS), sequences, strict=True):
        insert_position(database, Position(one.name, "test", LIVE, sequence))
    database.close()


def sold(dealer: str, day: str, net: int, territory: str = "BJ", currency: str = "CNY") -> list[Row]:
    """Two products' days and their dealer's."""
    on = date.fromisoformat(day)
    half = Decimal(net) / 2
    return [
        SkuDay(dealer, on, "COLA", currency, territory, half, 1),
        SkuDay(dealer, on, "TEA", currency, territory, half, 1),
        DealerDay(dealer, on, currency, territory, Decimal(net), 2),
    ]


SOLD = [
    *sold("D1", "2025-03-05", 40),
    *sold("D1", "2026-02-01", 100),
    *sold("D1", "2026-02-28", 60),
    *sold("D1", "2026-03-01", 200),
    *sold("D1", "2026-03-31", 40),
    *sold("D1", "2026-04-01", 999),
    *sold("D2", "2026-02-10", 30, "south"),
    *sold("D3", "2026-03-10", 50, "TJ"),
    *sold("D3", "2026-03-10", 70, "TJ", "EUR"),
]
VISITS = [Visit("D1", NOON + timedelta(hours=n), n) for n in range(48)]


@pytest.fixture(scope="module")
def asked(databases: Databases) -> Iterator[TestClient[Litestar]]:
    path = databases.new()
    put(path, [*LAND, *SOLD, *VISITS])
    with site(path, projections=[DAYS, LANDS]) as client:
        yield client


@pytest.fixture(scope="module")
def spec(asked: TestClient[Litestar]) -> Any:
    return asked.get("/openapi.json").json()


def items(client: TestClient[Litestar], address: str) -> list[Any]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["items"]
    return found


# ranges


def test_a_range_has_its_first_day_and_not_its_last(asked: TestClient[Litestar]) -> None:
    march = items(asked, "/test_dealer_days?from=2026-03-01&to=2026-04-01&dealer=D1")

    assert [row["day"] for row in march] == ["2026-03-01", "2026-03-31"]
    assert items(asked, "/test_dealer_days?from=2026-04-01")[0]["net"] == "999"
    assert len(items(asked, "/test_dealer_days?to=2026-01-01")) == 1


@given(st.integers(-5, 60), st.integers(-5, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_a_range_of_instants_has_what_lies_in_it(
    asked: TestClient[Litestar], since: int, length: int
) -> None:
    begin = NOON + timedelta(hours=since)
    end = begin + timedelta(hours=abs(length) + 1)

    found = items(
        asked, f"/test_visits?from={quote(begin.isoformat())}&to={quote(end.isoformat())}&limit=1000"
    )
    assert [row["minutes"] for row in found] == [n for n in range(48) if since <= n < since + abs(length) + 1]


# territories


@pytest.mark.parametrize(
    ("top", "dealers"),
    [("CN", {"D1", "D2", "D3"}), ("north", {"D1", "D3"}), ("TJ", {"D3"}), ("a", set()), ("nobody", set())],
)
def test_a_territory_has_everything_below_it(
    asked: TestClient[Litestar], top: str, dealers: set[str]
) -> None:
    rows = items(asked, f"/test_dealer_days?under={top}&limit=1000")
    sums = items(asked, f"/test_dealer_days?under={top}&sum=net&by=dealer")

    assert {row["dealer"] for row in rows} == {one["dealer"] for one in sums} == dealers


def test_the_tree_is_asked_like_any_other_view(asked: TestClient[Litestar]) -> None:
    north = items(asked, "/territories?under=north")
    both = items(asked, "/territories?under=north&territory=BJ&territory=south")
    outside = items(asked, "/territories?under=north&territory=south")

    assert [row["territory"] for row in north] == ["BJ", "TJ", "north"]
    assert [row["territory"] for row in both] == ["BJ"]
    assert outside == []


def test_a_territory_nobody_knows_is_named(asked: TestClient[Litestar], spec: Any) -> None:
    response = asked.get("/test_dealer_days?under=mars")

    [error] = checked(response, spec, "/test_dealer_days")["errors"]
    assert response.status_code == 400
    assert error["field"] == "under"
    assert "'mars'" in error["reason"]


def test_an_answer_is_as_current_as_the_tree_it_goes_by(database: Where) -> None:
    put(database, [*LAND, *SOLD], sequences=(9, 4))

    with site(database, projections=[DAYS, LANDS]) as client:
        sequences = [
            client.get(address).headers["qudao-sequence"]
            for address in ("/test_dealer_days", "/test_dealer_days?under=CN", "/dealers")
        ]
        late = client.get("/test_dealer_days?under=CN&min_sequence=5&wait=0")

    assert sequences == ["9", "4", "4"]
    assert late.status_code == 503


# comparisons


def test_a_month_is_compared_with_the_one_before(asked: TestClient[Litestar], spec: Any) -> None:
    answer = asked.get(
        "/test_dealer_days?sum=net,pieces&by=dealer&from=2026-03-01&to=2026-04-01&compare=previous"
    )

    found = checked(answer, spec, "/test_dealer_days")["items"]
    first, second, *third = found
    assert first == {
        "dealer": "D1",
        "currency": "CNY",
        "count": 2,
        "net": "240",
        "net_previous": "160",
        "net_difference": "80",
        "net_ratio": "1.5",
        "pieces": 4,
        "pieces_previous": 4,
        "pieces_difference": 0,
        "pieces_ratio": "1",
    }
    assert (second["dealer"], second["count"], second["net"], second["net_ratio"]) == ("D2", 0, "0", "0")
    assert [(one["currency"], one["net_previous"], one["net_ratio"]) for one in third] == [
        ("CNY", "0", None),
        ("EUR", "0", None),
    ]


def test_a_month_is_compared_with_that_of_a_year_ago(asked: TestClient[Litestar]) -> None:
    [china] = items(
        asked, "/test_days?sum=net&from=2026-03-01&to=2026-04-01&compare=year&dealer=D1&currency=CNY"
    )

    assert (china["net"], china["net_previous"], china["net_difference"]) == ("240", "40", "200")


@pytest.mark.parametrize("sort", ["", "-net_difference", "net_difference", "-net_previous", "net", "count"])
def test_what_is_compared_comes_in_pages_and_sorted(asked: TestClient[Litestar], sort: str) -> None:
    address = "/test_dealer_days?sum=net&by=dealer&from=2026-03-01&to=2026-04-01&compare=previous"
    address += f"&sort={sort}" if sort else ""

    whole = items(asked, address)
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = asked.get(address + "&limit=1" + (f"&cursor={cursor}" if cursor else "")).json()
        found += page["items"]
        cursor = page["next"]
    assert found == whole
    if sort:
        values = [Decimal(one[sort.lstrip("-")]) for one in whole]
        assert values == sorted(values, reverse=sort.startswith("-"))


AMOUNTS = st.lists(
    st.tuples(
        st.sampled_from(["D1", "D2", "D3"]),
        st.dates(date(2026, 2, 1), date(2026, 3, 31)),
        st.decimals(min_value=-(10**11), max_value=10**11, places=6),
    ),
    max_size=12,
    unique_by=lambda amount: amount[:2],
)


@given(AMOUNTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
def test_both_sides_of_a_comparison_are_what_each_range_sums_to_alone(
    databases: Databases, amounts: list[tuple[str, date, Decimal]]
) -> None:
    path = databases.new()
    put(path, [DealerDay(dealer, day, "CNY", "", net, n) for n, (dealer, day, net) in enumerate(amounts)])

    with site(path, projections=[DAYS, LANDS]) as client:
        whole = items(
            client, "/test_dealer_days?sum=net&by=dealer&from=2026-03-01&to=2026-04-01&compare=previous"
        )
        march, february = [
            {
                one["dealer"]: Decimal(one["net"])
                for one in items(client, f"/test_dealer_days?sum=net&by=dealer&from={a}&to={b}")
            }
            for a, b in (("2026-03-01", "2026-04-01"), ("2026-02-01", "2026-03-01"))
        ]

    assert {one["dealer"] for one in whole} == {*march, *february}
    for one in whole:
        this, that = march.get(one["dealer"], ZERO), february.get(one["dealer"], ZERO)
        assert Decimal(one["net"]) == this
        assert Decimal(one["net_previous"]) == that
        assert Decimal(one["net_difference"]) == this - that
        assert (one["net_ratio"] is None) == (not that)


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("from=2026-03-01T00:00:00Z", "from", "no time of day"),
        ("from=March", "from", "instant|day"),
        ("from=2026-03-01&to=2026-03-01", "to", "after `from`"),
        ("compare=previous", "compare", "needs sum, from and to"),
        ("sum=net&from=2026-03-01&compare=year", "compare", "needs sum, from and to"),
        ("sum=net&from=2026-03-01&to=2026-03-02&compare=week", "compare", "previous, year"),
        ("sum=net&by=day&from=2026-03-01&to=2026-03-02&compare=year", "by", "leave it out"),
        ("sum=net&from=0001-01-01&to=0001-12-01&compare=year", "compare", "calendar"),
        ("sum=net&sort=net_difference", "sort", "there are"),
    ],
)
def test_a_wrong_range_or_comparison_says_what_it_lacks(
    asked: TestClient[Litestar], query: str, field: str, reason: str
) -> None:
    response = asked.get(f"/test_days?{query}")

    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["field"] == field
    assert re.search(reason, error["reason"])


def test_a_view_takes_only_what_it_can_answer(asked: TestClient[Litestar], spec: Any) -> None:
    def taken(path: str) -> set[str]:
        return {one["name"] for one in spec["paths"][path]["get"]["parameters"]}

    assert {"from", "to", "compare", "under"} <= taken("/test_days")
    assert taken("/test_visits") & {"from", "to", "compare", "under"} == {"from", "to", "compare"}
    assert taken("/territories") & {"from", "to", "compare", "under"} == {"under"}
    assert asked.get("/dealers?from=2026-01-01").status_code == 400
    assert asked.get("/test_visits?under=CN").status_code == 400


# coarser views


def test_sums_are_read_from_the_coarser_view_where_that_knows_all_that_is_asked(
    asked: TestClient[Litestar],
) -> None:
    coarse = items(asked, "/test_days?sum=net&by=dealer&under=north&from=2026-03-01&to=2026-04-01")
    fine = items(asked, "/test_days?sum=net&by=dealer,sku&under=north&from=2026-03-01&to=2026-04-01")
    filtered = items(asked, "/test_days?sum=net&by=dealer&sku=COLA&dealer=D2")

    assert [(one["dealer"], one["net"], one["count"]) for one in coarse] == [
        ("D1", "240", 2),
        ("D3", "50", 1),
        ("D3", "70", 1),
    ]
    assert sum(Decimal(one["net"]) for one in fine) == sum(Decimal(one["net"]) for one in coarse)
    assert (filtered[0]["net"], filtered[0]["count"]) == ("15", 1)
    assert items(asked, "/test_days?by=dealer&dealer=D2")[0]["count"] == 2, "rows are counted where they are"


# pages of sums


def test_a_group_of_sums_leads_to_its_rows(asked: TestClient[Litestar]) -> None:
    address = "/test_dealer_days?sum=net&by=dealer&from=2026-03-01&to=2026-04-01&compare=previous&sort=-net"
    page = asked.get(address + "&format=html").text
    alone = asked.get("/test_dealer_days?sum=net&format=html").text

    [first, *_] = re.findall(r'<a href="(/test_dealer_days[^"]*)">D1</a>', page)
    rows = items(asked, unescape(first).replace("format=html", "format=json"))
    assert [(row["dealer"], row["day"]) for row in rows] == [("D1", "2026-03-01"), ("D1", "2026-03-31")]
    assert f'<td class="number"><a href="{first}">240</a></td>' in page
    assert 'name="viewport"' in page
    assert ">CNY</a>" in alone


# computed views


def test_a_view_without_a_table_has_pages_rows_and_sums(asked: TestClient[Litestar], spec: Any) -> None:
    page = checked(asked.get("/dealers?sort=-net"), spec, "/dealers")["items"]
    row = checked(asked.get("/dealers/D1"), spec, "/dealers/{dealer}")
    [total] = items(asked, "/dealers?sum=net")

    assert [one["dealer"] for one in page] == ["D1", "D3", "D2"]
    assert (row["net"], row["visits"]) == ("1439", 48)
    assert total == {"count": 3, "net": "1589"}
    assert asked.get("/dealers/nobody").status_code == 404


ROWS = st.lists(
    st.builds(
        Visit,
        st.sampled_from(["D1", "D2", "渠"]),
        st.integers(0, 48).map(lambda hours: NOON + timedelta(hours=hours)),
        st.integers(-(2**62), 2**62),
        st.none() | st.just(NOON),
    ),
    max_size=8,
)


@given(ROWS, st.sets(st.sampled_from(["D1", "渠", "x"])), st.sampled_from([[None], [NOON], [None, NOON]]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
def test_a_computed_view_reads_the_database_as_it_reads_rows_in_memory(
    databases: Databases,
    visits: list[Visit],
    dealers: set[str],
    left: Sequence[datetime | None],
) -> None:
    memory = MemoryRows()
    for visit in visits:
        memory.put(visit)
    path = databases.new()
    put(path, list(memory.range(Visit)))
    opened = Opened(address(path), Replaying(CATALOGUE, {p.name: p for p in PROJECTIONS}))

    with opened.reader() as reader:
        tables = Moment(reader.connection, ["dealer"])
        summed = {"minutes": [visit.minutes for visit in visits] or [1]}
        for wanted in (
            *({}, {"dealer": sorted(dealers)}, {"left": left}, {"dealer": ["D1"], "left": left}),
            summed,
        ):
            assert list(tables.select(Visit, **wanted)) == list(memory.select(Visit, **wanted))
            for by in (["dealer"], ["dealer", "at"], []):
                sums = tables.sums(Visit, by, ["minutes"], **wanted)
                assert list(sums) == list(memory.sums(Visit, by, ["minutes"], **wanted))
    opened.close()


# what a stored row says no longer


def test_stock_whose_time_has_come_is_shown_without_another_event(database: Where) -> None:
    ahead = moved("M2", "W1", "out", 4, time=NOON + timedelta(days=3))
    fold(database, log([moved("M1", "W1", "in", 10), ahead, moved("M3", "W2", "in", 1)]))
    written = database_on(database)
    stored = written.rows("SELECT location, on_hand FROM stock_levels ORDER BY location")
    written.close()

    with site(database) as client:
        levels = items(client, "/stock_levels?sort=-on_hand")
        [sums] = items(client, "/stock_levels?sum=on_hand&sku=COLA")
        row = client.get("/stock_levels/W1/COLA/_").json()
        page = client.get("/stock_levels?limit=1").json()
        rest = client.get(f"/stock_levels?limit=1&cursor={page['next']}").json()

    assert stored == [("W1", 10_000_000), ("W2", 1_000_000)]
    assert [(one["location"], one["on_hand"]) for one in levels] == [("W1", "6"), ("W2", "1")]
    assert (sums["on_hand"], row["on_hand"]) == ("7", "6")
    assert [one["location"] for one in (*page["items"], *rest["items"])] == ["W1", "W2"]


# views of views, on a real engine


@view(
    "test_big_days",
    key=("dealer", "day"),
    sql="SELECT dealer, day, net FROM test_order_days WHERE net > 20000000",
)
class BigDay(Row):
    """Days with more than twenty ordered."""

    dealer: str
    day: date
    net: Money = ZERO


@view(
    "test_order_days",
    key=("dealer", "day"),
    sql="SELECT dealer, day, CAST(SUM(net) AS BIGINT) FROM orders GROUP BY dealer, day",
)
class OrderDay(Row):
    """What a dealer ordered on a day."""

    dealer: str
    day: date
    net: Money = ZERO


@view("test_adrift", key=("territory",), sql="SELECT territory FROM territories")
class Adrift(Row):
    """Selects from what nobody builds here."""

    territory: str


JOINED = projection("test_joined", Visit, views=(BigDay, Adrift, OrderDay), reads=("orders",))


def test_views_of_views_are_made_whatever_their_order_and_wait_for_what_is_missing(database: Where) -> None:
    events = [order("O1", "D1", ("COLA", 10)), order("O2", "D1"), order("O3", "D2", ("TEA", 1))]
    fold(database, log(events), [JOINED, ORDERS])

    with site(database, projections=[JOINED, ORDERS]) as client:
        days = items(client, "/test_order_days")
        big = items(client, "/test_big_days?from=2026-03-02&to=2026-03-03")
        missing = client.get("/test_adrift")

    assert [one["dealer"] for one in days] == ["D1", "D2"]
    assert [one["net"] for one in big] == [days[0]["net"]]
    assert missing.json()["type"] == "/problems/not_built"
    assert TABLES[BigDay].period == "day"
