"""Rows as CSV and HTML: nothing in them is taken for a formula or for markup."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from api import pages, sheets
from api.fields import Field, decimal_text
from domain.numbers import text, unscaled
from domain.scoring import Judged

NAME = Field("name", "text", False, str)
NET = Field("net", "decimal", False, str)


def test_a_sheet_opens_in_a_spreadsheet() -> None:
    rows = [{"name": "渠道, 北京", "net": "-12.5"}, {"name": 'say "hi"', "net": "0"}]

    sheet = sheets.sheet([NAME, NET], rows)

    assert sheet.decode() == '\ufeffname,net\r\n"渠道, 北京",-12.5\r\n"say ""hi""",0\r\n'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_text_is_never_a_formula(text: str) -> None:
    assert sheets.cell(NAME, text) == "'" + text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))))
def test_every_cell_is_one_cell(texts: list[str]) -> None:
    sheet = sheets.sheet([NAME], [{"name": text} for text in texts]).decode().removeprefix("\ufeff")

    read = list(csv.reader(io.StringIO(sheet, newline="")))[1:]
    assert [row[0].removeprefix("'") if row else "" for row in read] == [
        text.removeprefix("'") for text in texts
    ]


@given(st.text())
def test_a_value_is_never_markup(text: str) -> None:
    shown = pages.shown(text)

    assert not set(shown) & set("<>\"'")


def test_numbers_stand_to_the_right_and_keys_lead_to_their_row() -> None:
    table = pages.table([NAME, NET], [{"name": "渠<道>", "net": "1.5"}], [{"name": "/orders/=E6=B8=A0"}])

    assert '<td class="number">1.5</td>' in table
    assert '<a href="/orders/=E6=B8=A0">渠&lt;道&gt;</a>' in table


def test_a_long_text_is_shortened_in_a_table_and_whole_in_its_own_row() -> None:
    row = {"name": "x" * 300}

    assert "x" * 201 not in pages.table([NAME], [row])
    assert "x" * 300 in pages.record([NAME], row)


def test_a_list_is_one_line_in_a_table_and_a_table_in_its_own_row() -> None:
    criteria = Field("criteria", "json", False, tuple[Judged, ...])
    row = {"criteria": Raw(b'[{"code":"on <time>","points":"30","part":null,"earned":"0"}]')}

    line = pages.table([criteria], [row], [{"criteria": "/a#criteria"}])
    whole = pages.record([criteria], row, {"criteria": "/a/explain#criteria"})

    assert '<a href="/a#criteria">on &lt;time&gt;: points 30, earned 0</a>' in line
    assert '<a href="/a/explain#criteria.on%20%3Ctime%3E">30</a>' in whole


@given(st.integers(-(2**80), 2**80))
def test_a_stored_decimal_is_written_as_everywhere_else(millionths: int) -> None:
    assert decimal_text(millionths) == text(unscaled(millionths))
