"""Decimals are exact, bounded, and have one text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.numbers import LIMIT, ZERO, exact, scaled, text, unscaled

taken = st.decimals(min_value=-LIMIT + 1, max_value=LIMIT - 1, places=6, allow_nan=False)


@given(taken)
def test_canonical_text_says_the_same_number_and_only_one_text_says_it(value: Decimal) -> None:
    written = text(value)

    assert Decimal(written) == value
    assert text(Decimal(written)) == written
    assert text(value.normalize()) == written
    assert "E" not in written


@given(taken)
def test_millionths_hold_every_number_that_is_taken(value: Decimal) -> None:
    exact("value", value)

    assert unscaled(scaled(value)) == value
    assert abs(scaled(value)) < 2**63


@given(st.decimals())
def test_any_decimal_is_taken_exactly_or_refused_by_its_name(value: Decimal) -> None:
    try:
        exact("net", value)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""

    assert refusal.startswith("`net` ") or unscaled(scaled(value)) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", "not a finite number"),
        ("sNaN", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("1E12", "smaller than 10^12"),
        ("-1E999999", "smaller than 10^12"),
        ("0.0000001", "more than 6 decimal places"),
        ("1E-999999", "more than 6 decimal places"),
        ("-1", "at least 0"),
    ],
)
def test_a_decimal_out_of_bounds_is_refused_with_the_reason(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"`quantity`.*{reason.replace('^', '.')}"):
        exact("quantity", Decimal(value), least=ZERO)


@pytest.mark.parametrize("value", ["0E-999999", "0E+999999", "-0", "0.000000", "-0E+5"])
def test_a_zero_of_any_exponent_is_written_as_one_digit(value: str) -> None:
    exact("quantity", Decimal(value), least=ZERO)

    assert text(Decimal(value)) == "0"
    assert scaled(Decimal(value)) == 0
