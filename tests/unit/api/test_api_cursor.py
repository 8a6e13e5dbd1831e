"""Cursors come back as they went out, and nothing else is taken for one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import cursor
from api.cursor import Cursor
from api.problems import Problem

VALUES = st.one_of(
    st.tuples(st.just(str), st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))),
    st.tuples(st.just(int), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(Decimal), st.integers(-(2**95), 2**95 - 1)),
    st.tuples(st.just(bool), st.booleans()),
    st.tuples(st.just(str), st.none()),
)


@given(st.text("abc,-"), st.lists(VALUES))
def test_a_cursor_comes_back_as_it_went_out(order: str, pairs: list[tuple[type, cursor.Value]]) -> None:
    written = Cursor(order, [value for _, value in pairs])

    assert cursor.read(cursor.write(written), order, [kind for kind, _ in pairs]) == written


@given(st.text())
def test_any_other_word_is_a_problem_that_names_the_cursor(word: str) -> None:
    with pytest.raises(Problem) as problem:
        cursor.read(word, "dealer", [str])

    assert problem.value.document.type == "/problems/bad_cursor"
    assert [error.field for error in problem.value.document.errors] == ["cursor"]


@pytest.mark.parametrize(
    ("last", "kinds"),
    [
        (["x"], [int]),
        ([1], [str]),
        ([True], [int]),
        ([1], [bool]),
        ([2**63], [int]),
        ([2**95], [Decimal]),
        (["\x00"], [str]),
        ([1, 2], [int]),
    ],
)
def test_a_cursor_of_another_view_is_a_problem(last: list[cursor.Value], kinds: list[type]) -> None:
    word = cursor.write(Cursor("dealer", last))

    with pytest.raises(Problem, match="was not given"):
        cursor.read(word, "dealer", kinds)


def test_a_cursor_of_another_order_is_a_problem() -> None:
    word = cursor.write(Cursor("dealer", ["D1"]))

    with pytest.raises(Problem, match="belongs to the order 'dealer', not to '-placed'"):
        cursor.read(word, "-placed", [str])
