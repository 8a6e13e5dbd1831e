"""Two real exports, folded and asked in SQL, to the last digit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from domain.calendar import microseconds
from domain.event_types import CATALOGUE
from domain.numbers import text, unscaled
from infra.importing import Import
from infra.message import Message
from projections.registry import PROJECTIONS
from tests.lab.databases import Databases, Where
from tests.lab.events import NOON
from tests.lab.folding import engine_on, shut

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("QUDAO_REAL_DATA") or ROOT.parent / "shared" / "data")
NEEDED = tuple(p for p in PROJECTIONS if p.name in ("sales", "parties"))
BATCH = 500

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no real exports at {DATA}: name their folder in QUDAO_REAL_DATA"
)

Ask = Callable[[str], list[tuple[object, ...]]]


def folded(name: str, where: Where) -> Iterator[Ask]:
    engine = engine_on(where, NEEDED)
    start = microseconds(NOON) * 1000
    running = Import(ROOT / "examples" / "mappings" / f"{name}.toml", DATA / name, CATALOGUE)
    log = [Message(n, start + n * 10**6, o.subject, o.body) for n, o in enumerate(running.outgoing(), 1)]
    for first in range(0, len(log), BATCH):
        engine.apply(log[first : first + BATCH])
    engine.sync()
    yield engine.database.rows
    shut(engine)


@pytest.fixture(scope="module")
def adventureworks(databases: Databases) -> Iterator[Ask]:
    yield from folded("adventureworks", databases.new())


@pytest.fixture(scope="module")
def northwind(databases: Databases) -> Iterator[Ask]:
    yield from folded("northwind", databases.new())


def money(value: object) -> str:
    assert isinstance(value, int | Decimal)  # as either database adds integers up
    return text(unscaled(int(value)))


@pytest.mark.parametrize("view", ["sales", "dealer_sales"])
def test_adventureworks_sales_and_discounts_are_met_in_all(adventureworks: Ask, view: str) -> None:
    [(net, discount, dealers)] = adventureworks(
        f"SELECT SUM(ordered_net), SUM(discount), COUNT(DISTINCT dealer) FROM {view} WHERE ordered > 0"
    )

    assert (money(net), money(discount), dealers) == ("16288441.7675", "140612.1794", 208)


@pytest.mark.parametrize("view", ["sales", "dealer_sales"])
def test_adventureworks_sales_are_met_by_territory(adventureworks: Ask, view: str) -> None:
    found = adventureworks(
        f"SELECT territory, SUM(ordered_net) FROM {view} GROUP BY territory ORDER BY territory"
    )

    assert {territory: money(net) for territory, net in found if net} == {
        "AW-Canada": "3079806.8149",
        "AW-Central": "2024175.803",
        "AW-Northeast": "1182920.4702",
        "AW-Northwest": "3255251.4311",
        "AW-Southeast": "2857047.7707",
        "AW-Southwest": "3889239.4776",
    }


def test_adventureworks_sales_of_one_employee_are_met_by_window(adventureworks: Ask) -> None:
    windows = [("2010-12-29", "2011-03-31"), ("2011-07-01", "2011-09-29"), ("2011-09-29", "2012-01-01")]

    found = [
        adventureworks(
            "SELECT SUM(ordered_net) FROM dealer_sales WHERE rep = 'AW-286' "
            f"AND day >= '{since}' AND day < '{until}'"
        )[0][0]
        for since, until in windows
    ]

    assert [money(net) for net in found] == ["191328.4939", "281933.9256", "337110.1558"]


def test_what_adventureworks_delivered_is_worth_what_was_ordered(adventureworks: Ask) -> None:
    [(ordered, dispatched, net, priced)] = adventureworks(
        "SELECT SUM(ordered), SUM(dispatched), SUM(ordered_net), SUM(dispatched_net) FROM sales"
    )

    assert dispatched == ordered
    assert priced == net


def test_northwind_sales_are_met_in_all_and_by_year(northwind: Ask) -> None:
    found = northwind("SELECT substr(day, 1, 4), SUM(ordered_net) FROM sales GROUP BY 1 ORDER BY 1")

    by_year = {year: f"{round(unscaled(int(str(net))), 2)}" for year, net in found if net}
    assert by_year == {"1996": "208083.97", "1997": "617085.20", "1998": "440623.87"}
    assert money(sum(int(str(net)) for _, net in found)) == "1265793.0395"
