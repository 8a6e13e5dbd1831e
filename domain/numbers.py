"""Exact decimals: quantities, money and other measures, bounded at the edge and never a float."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, DecimalException, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Annotated

from msgspec import Meta, Struct

PLACES = 6
LIMIT = Decimal(10) ** 12
ZERO = Decimal(0)
_LEAST = Decimal(1).scaleb(-PLACES)
_END = 10 ** (22 + PLACES)  # of figures: what ten thousand million of the largest values add up to
_ONE = Decimal(1)
_times = Context(prec=38).multiply  # exact wherever the product is below 10^12, which alone is taken
# Half of what reading an order costs is this check of its decimals; bound, it takes a quarter of the time
# that `value.quantize(…, context=…)` does.
_fits = Context(prec=12 + PLACES, traps=[Inexact, InvalidOperation]).quantize

#: The arithmetic of folds: what cannot be exact is an error, not a rounding.
EXACT = Context(prec=38, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])

Quantity = Annotated[Decimal, Meta(description="In the SKU's base unit; at most 6 decimal places.")]
Money = Annotated[Decimal, Meta(description="In the document's currency; at most 6 decimal places.")]
UnsignedQuantity = Annotated[Quantity, Meta(extra_json_schema={"minimum": 0})]
UnsignedMoney = Annotated[Money, Meta(extra_json_schema={"minimum": 0})]
Share = Annotated[
    Decimal, Meta(description="A part of one: 0 to 1.", extra_json_schema={"minimum": 0, "maximum": 1})
]
Percent = Annotated[Decimal, Meta(description="0 to 100.", extra_json_schema={"minimum": 0, "maximum": 100})]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217")]


def exact(name: str, value: Decimal, *, least: Decimal | None = None) -> None:
    """Refuse a decimal outside |x| < 10^12, with more than 6 places, or below `least`. Raises ValueError."""
    try:
        _fits(value, _LEAST)
        if value.is_nan():  # a quiet one fits anywhere
            raise InvalidOperation
    except DecimalException:
        if not value.is_finite():
            raise ValueError(f"`{name}` is not a finite number") from None
        if not -LIMIT < value < LIMIT:
            raise ValueError(f"`{name}` must be smaller than 10^12 in size, got {value:.3E}") from None
        raise ValueError(f"`{name}` has more than {PLACES} decimal places: {value}") from None
    if least is not None and value < least:
        raise ValueError(f"`{name}` must be at least {text(least)}, got {text(value)}")


def exact_fields(of: Struct, *names: str, least: Decimal | None = None, most: Decimal | None = None) -> None:
    """Refuse the first of these fields, where given, that `exact` refuses or that lies above `most`."""
    for name in names:
        value = getattr(of, name)
        if value is not None:
            try:
                _fits(value, _LEAST)
                if value.is_nan():
                    raise InvalidOperation
            except DecimalException:
                exact(name, value)
            if least is not None and value < least:
                raise ValueError(f"`{name}` must be at least {text(least)}, got {text(value)}")
            if most is not None and value > most:
                raise ValueError(f"`{name}` must be at most {text(most)}, got {text(value)}")


def exact_sum(name: str, values: Iterable[Decimal]) -> None:
    """Refuse decimals that are good by themselves and together 10^12 or more in size. Raises ValueError."""
    whole = sum(values, ZERO)
    if not -LIMIT < whole < LIMIT:
        raise ValueError(f"`{name}` must add up to less than 10^12 in size, not to {text(whole)}")


def text(value: Decimal) -> str:
    """The canonical text of a decimal: no exponent, no trailing zeros, no negative zero."""
    if not value:
        return "0"  # before format: a zero may carry any exponent, and 0E-900000000 would fill the memory
    written = format(value, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return written


def plain(value: Decimal) -> Decimal:
    """The same decimal with the digits of its canonical text: what is encoded without a column's help."""
    return Decimal(text(value))


def scaled(value: Decimal) -> int:
    """The value in millionths, exactly. Raises OverflowError from 10^22 on, and for more than 6 places."""
    if not value:
        return 0  # most figures of most rows: faster than shifting them
    shifted = value.scaleb(PLACES)
    found = int(shifted)
    if found != shifted or not -_END < found < _END:
        raise OverflowError(f"{value} is no figure below 10^22 with {PLACES} places")
    return found


def unscaled(millionths: int) -> Decimal:
    """The decimal that a number of millionths stands for."""
    return Decimal(millionths).scaleb(-PLACES)


#: The largest figure there is.
FIGURE_MAX = unscaled(_END - 1)


def portion(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """`amount × part ÷ whole`, exact where it can be, else rounded half to even at 6 places.

    In whole millionths, so that it is rounded once and under any decimal context. Zero where the whole is zero, and
    where the result would be no figure.
    """
    if not whole or not part:
        return ZERO
    if part == whole or not amount:
        return amount
    under = int(whole.scaleb(PLACES))
    found, rest = divmod(int(amount.scaleb(PLACES)) * int(part.scaleb(PLACES)), under)
    twice = 2 * abs(rest)
    if twice > abs(under) or (twice == abs(under) and found % 2):
        found += 1
    return unscaled(found) if abs(found) < _END else ZERO


def priced(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """A portion that is added up with others: nothing where it is more than its amount and than may be said of one."""
    found = portion(amount, part, whole)
    return found if -LIMIT < found < LIMIT or abs(found) <= abs(amount) else ZERO


def product(quantity: Decimal, price: Decimal) -> Decimal:
    """`quantity × price`, rounded and held as what is `priced`."""
    try:
        return _fits(_times(quantity, price), _LEAST)
    except DecimalException:
        return priced(price, quantity, _ONE)
