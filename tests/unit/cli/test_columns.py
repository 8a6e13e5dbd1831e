from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cli.columns import columns, grouped, shortened, width

CELLS = st.text(st.sampled_from("ab 1渠道é上海-"), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6))
def test_every_line_is_as_wide_as_the_rule_or_ends_in_blanks(rows: list[tuple[str, str, str]]) -> None:
    head, rule, *lines = columns(("dealer", "名稱", "net"), rows, right=(2,))

    assert len(lines) == len(rows)
    assert all(width(line) <= width(rule) for line in (head, *lines))


@given(st.lists(st.tuples(CELLS, st.integers(0, 10**9).map(str)), min_size=1, max_size=6))
def test_numbers_end_together_whatever_stands_before_them(rows: list[tuple[str, str]]) -> None:
    _, rule, *lines = columns(("dealer", "net"), rows, right=(1,))

    assert {width(line) for line in lines} == {width(rule)}


def test_a_chinese_character_is_two_places_wide() -> None:
    assert columns(("dealer", "orders"), [("渠道-7", "3"), ("D-0001", "12")], right=(1,)) == [
        "dealer  orders",
        "──────  ──────",
        "渠道-7       3",
        "D-0001      12",
    ]


@given(st.text(st.sampled_from("a渠"), max_size=20), st.integers(1, 20))
def test_a_shortened_text_fits_and_says_that_it_was_cut(text: str, places: int) -> None:
    short = shortened(text, places)

    assert width(short) <= places
    assert short == text or short.endswith("…")


@given(st.decimals(-(10**11), 10**11, places=2))
def test_grouping_changes_no_digit(number: Decimal) -> None:
    shown = grouped(str(number))

    assert shown.replace(",", "") == str(number)


def test_thousands_are_set_apart() -> None:
    assert [grouped(n) for n in (1234567, "-1234.50", "0", "-0.5")] == ["1,234,567", "-1,234.50", "0", "-0.5"]
