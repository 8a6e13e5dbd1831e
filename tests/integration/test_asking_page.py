"""What docs/asking.md says can be asked is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from cli.demo import SEED
from tests.lab.databases import Databases
from tests.lab.site import fold, site
from tests.lab.year import VIEWS, simulated

PAGE = Path(__file__).parents[2] / "docs" / "asking.md"
EXAMPLES = re.findall(r"^\| `(\w+)` \|.*\| `(/[^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

#: What the demo has nothing of.
NONE = ("territory_overlaps",)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def client(databases: Databases) -> Iterator[TestClient[Litestar]]:
    path = databases.new()
    fold(path, simulated(SEED, 3000))
    with site(path) as client:
        yield client


def test_the_page_has_an_example_of_every_view_of_the_card() -> None:
    assert {name for name, _ in EXAMPLES} >= {
        *("sales", "dealer_sales", "targets", "target_history", "promotions", "assessments", "policies"),
        *("receivables", "statements", "deliveries", "otif", "otif_orders", "dealers", "outlets"),
        *("territories", "reps", "barred_orders", "territory_overlaps"),
    }


@pytest.mark.parametrize(("view", "address"), EXAMPLES)
def test_an_example_of_the_page_is_answered(client: TestClient[Litestar], view: str, address: str) -> None:
    answer = client.get(address, headers={"Accept": "application/json"})

    assert address.startswith(f"/{view}?")
    assert answer.status_code == 200, answer.text
    assert answer.json()["items"] or view in NONE, "the demo has none of these"


def test_the_page_says_where_a_day_stands_for_none(client: TestClient[Litestar]) -> None:
    """They are parts of keys, and what SQL compares with: no view may take to them unsaid."""
    [told] = re.findall(r"^`to_day` is .*?\n\n", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    spoken = {
        view
        for view in VIEWS
        if re.search('"(0001-01-01|9999-12-31)"', client.get(f"/{view}?limit=1000").text)
    }

    assert {"territory_holdings", "rep_assignments"} <= spoken
    assert spoken <= set(re.findall(r"`(\w+)`", told)) - {"dealers"}
