"""Every line of the seed is on the page of what it can be asked, and what stands there exists."""

from __future__ import annotations

import re

from pages import ROOT, code, read, rows

from api.views import views_of
from infra.documents import ROWS
from infra.positions import INDEX
from projections.registry import PROJECTIONS

PAGE = read("docs/seed-coverage.md")
IDS = re.findall(
    r"\S+",
    """
壹-1a 壹-1b 壹-2a 壹-2b 壹-2c 壹-3a 壹-3b 壹-4 壹-5 壹-end 貳-0a 貳-0b 貳-0c 貳-0d 貳-0e 貳-0f 貳-0g 貳-A1 貳-A2
貳-A3 貳-A4 貳-A5 貳-A6 貳-A7 貳-A8 貳-A9 貳-A10 貳-A11 貳-A12 貳-A13 貳-A14 貳-A15 貳-A16 貳-A17a 貳-A17b 貳-A18
貳-A19 貳-A20 貳-A21 貳-A22 貳-A23 貳-A24 貳-A25a 貳-A25b 貳-A26 貳-A27 貳-A28 貳-A29 貳-A30 叄 肆-1 肆-2 肆-2b
肆-3 肆-4 肆-5 伍 陸-1.1 陸-1.2 陸-1.3 陸-1.4 陸-1.5 陸-2.1 陸-2.2 陸-2.3 陸-3.1 陸-3.2 陸-3.3 陸-3.4 陸-3.5
柒-def1 柒-def2 柒-def3 柒-w1 柒-w2 柒-w3 柒-w4 柒-1a 柒-1b 柒-2 柒-3 柒-4a 柒-4b 柒-4c 柒-c1 柒-c2 柒-c3 柒-n1
柒-n2 柒-n3 柒-n4 柒-n5 柒-p1..p2 柒-p3 柒-p4 柒-p5 柒-inc
""",
)


def coverage() -> list[list[str]]:
    return [[*row, ""][:4] for row in rows(PAGE, "Coverage")]


def test_every_line_of_the_seed_is_on_the_page_once_and_in_order() -> None:
    assert [row[0] for row in coverage()] == IDS


def test_every_line_names_a_test_that_there_is_or_says_not_yet() -> None:
    for id, _, answered, test in coverage():
        if answered == "not yet" or id == "叄":
            assert not test.strip("` "), id
        else:
            assert (ROOT / test.strip("`")).is_file(), f"{id}: {test}"


def test_every_view_that_is_named_can_be_asked() -> None:
    views = views_of(PROJECTIONS, {INDEX: ROWS})
    named = [text for row in coverage() for text in code(row[2]) if text.startswith("/")]

    assert named
    for text in named:
        address, _, query = text.partition("?")
        name = address.split("/")[1]
        assert name in views, text
        parameters = set(re.findall(r"(\w+)=", query)) - {"sum", "by", "under", "compare", "period"}
        assert parameters <= {*views[name].fields, "policy"}, text


def test_fields_named_of_a_view_are_its_own() -> None:
    views = views_of(PROJECTIONS, {INDEX: ROWS})

    for row in coverage():
        for view, fields in re.findall(r"`/(\w+)[^`]*` \(((?:`\w+`(?:, )?)+)\)", row[2]):
            assert set(code(fields)) <= set(views[view].fields), row[0]
