"""A portion is exact where it can be, and rounded once, half to even, where it cannot."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.numbers import EXACT, LIMIT, ZERO, portion, priced, product

D = Decimal
figures = st.decimals(-LIMIT + 1, LIMIT - 1, places=6)
quantities = st.decimals(D("0.000001"), LIMIT - 1, places=6)


@given(figures, quantities, quantities)
def test_a_portion_is_the_nearest_figure_and_half_way_the_even_one(
    amount: Decimal, part: Decimal, whole: Decimal
) -> None:
    true = Fraction(amount) * Fraction(part) / Fraction(whole)

    with localcontext(EXACT):
        found = portion(amount, part, whole)

    nearest = Fraction(round(true * 10**6), 10**6)  # Python rounds fractions half to even
    assert found == (nearest if abs(nearest) < 10**22 else 0)
    assert priced(amount, part, whole) == (found if abs(found) < LIMIT or abs(found) <= abs(amount) else 0)


@given(figures, quantities)
def test_a_whole_is_worth_its_amount_and_nothing_of_nothing(amount: Decimal, whole: Decimal) -> None:
    assert portion(amount, whole, whole) == amount
    assert portion(amount, whole, ZERO) == portion(amount, ZERO, ZERO) == ZERO


@given(quantities, figures)
def test_a_product_is_rounded_as_a_portion_is(quantity: Decimal, price: Decimal) -> None:
    assert product(quantity, price) == priced(price, quantity, D(1))


def test_half_of_the_smallest_figure_is_rounded_to_even() -> None:
    assert portion(D("0.000001"), D(1), D(2)) == ZERO
    assert portion(D("0.000003"), D(1), D(2)) == D("0.000002")
    assert D("0.0000005").quantize(D("0.000001"), ROUND_HALF_EVEN) == ZERO
