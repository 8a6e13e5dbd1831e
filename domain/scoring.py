"""How a card scores a dealer (考核, domain.md §3.13): pure, exact, and open to the last point."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated

from msgspec import Meta, Struct

from domain.cards import HUNDRED, ONE, Card, Criterion
from domain.numbers import ZERO, plain, portion
from domain.texts import Code

_CENTS = Decimal("0.01")

NO_DATA = "no data"
NO_GRADE = "暫不評級"


class Figure(Struct, frozen=True, gc=False):
    """What the log says of one criterion: `part` of `whole`, or a number of cases with no whole."""

    part: Decimal
    whole: Decimal | None = None


class Judged(Struct, frozen=True, gc=False):
    """One criterion of one dealer: what it was judged by, and what it earned."""

    code: Code
    figure: Code
    points: Decimal
    part: Decimal | None = None
    whole: Decimal | None = None
    earned: Decimal | None = None  # None: it cannot be judged, and its weight goes to the others
    reason: Annotated[str, Meta(max_length=256)] = ""


class Deducted(Struct, frozen=True, gc=False):
    """Points taken off for cases."""

    code: Code
    figure: Code
    cases: Decimal
    points: Decimal


class Scored(Struct, frozen=True, gc=False):
    """A card filled in. `score` is rounded to 2 places, half to even; grades go by what it was before."""

    score: Decimal | None
    grade: str
    coverage: Decimal
    criteria: tuple[Judged, ...]
    deductions: tuple[Deducted, ...]


def score(card: Card, figures: Mapping[str, Figure], given: Mapping[str, Decimal | str]) -> Scored:
    """Fill in a card from figures by name, and what persons gave by criterion: a value of 100, or a grade.

    Where the log has no figure, the value that a person entered for the criterion is taken.

    score = 100 × Σ earned ÷ Σ points judged − Σ deductions, within 0 and 100. A figure that is not there is not
    judged; under the card's least coverage there is neither score nor grade.
    """
    judged = tuple([_judge(criterion, figures, given) for criterion in card.criteria])
    whole = sum([one.points for one in judged], ZERO)
    available = sum([one.points for one in judged if one.earned is not None], ZERO)
    coverage = plain(portion(available, ONE, whole)) if whole else ZERO
    deductions = tuple(
        [
            Deducted(d.code, d.figure, figures[d.figure].part, min(d.each * figures[d.figure].part, d.most))
            for d in card.deductions
            if d.figure in figures and figures[d.figure].part
        ]
    )
    if not available or coverage < card.coverage_least:
        return Scored(None, NO_GRADE, coverage, judged, deductions)
    earned = sum([one.earned for one in judged if one.earned is not None], ZERO)
    total = portion(HUNDRED, earned, available) - sum([d.points for d in deductions], ZERO)
    total = max(ZERO, min(HUNDRED, total))
    return Scored(
        plain(total.quantize(_CENTS, ROUND_HALF_EVEN)), grade_of(card, total), coverage, judged, deductions
    )


def grade_of(card: Card, total: Decimal) -> str:
    """The first grade whose least score is reached: 100 is the top grade's, and nothing falls between two."""
    for grade, least in sorted(card.grades, key=lambda pair: pair[1], reverse=True):
        if total >= least:
            return grade
    return ""


def _judge(criterion: Criterion, figures: Mapping[str, Figure], given: Mapping[str, Decimal | str]) -> Judged:
    blank = Judged(criterion.code, criterion.figure, criterion.points)
    if criterion.way == "manual":
        return _by_hand(criterion, blank, given.get(criterion.code))
    figure, said = figures.get(criterion.figure), given.get(criterion.code)
    if figure is None and isinstance(said, Decimal):
        figure = Figure(said, ONE)
    if figure is None:
        return _with(blank, None, NO_DATA)
    whole = criterion.target if criterion.target is not None else figure.whole
    if criterion.way == "count_down":
        left = max(ZERO, criterion.points - criterion.step * figure.part)
        seen = Judged(criterion.code, criterion.figure, criterion.points, _short(figure.part))
        return _with(seen, left)
    if not whole:
        return _with(blank, None, "there was nothing to compare with")
    reached = portion(figure.part, ONE, whole)
    seen = Judged(criterion.code, criterion.figure, criterion.points, _short(figure.part), _short(whole))
    if criterion.way == "ratio":
        if criterion.floor is not None and reached < criterion.floor:
            return _with(seen, ZERO)
        if figure.part >= whole:
            return _with(seen, criterion.points)
        return _with(seen, max(ZERO, portion(criterion.points, figure.part, whole)))
    if criterion.way == "band":
        share = next((s for most, s in criterion.bands if reached <= most), ZERO)
        return _with(seen, portion(criterion.points, share, HUNDRED))
    return _with(seen, None, f"the card names an unknown way: {criterion.way}")


def _by_hand(criterion: Criterion, blank: Judged, said: Decimal | str | None) -> Judged:
    if said is None:
        return _with(blank, None, "nobody has said")
    share = criterion.grades.get(said) if isinstance(said, str) else said
    if share is None:
        return _with(blank, None, f"the card does not know the grade {said}")
    share = max(ZERO, min(HUNDRED, share))
    judged = Judged(criterion.code, criterion.figure, criterion.points, share, HUNDRED)
    return _with(judged, portion(criterion.points, share, HUNDRED))


def _with(judged: Judged, earned: Decimal | None, reason: str = "") -> Judged:
    return Judged(
        judged.code, judged.figure, judged.points, judged.part, judged.whole, _short(earned), reason
    )


def _short(value: Decimal | None) -> Decimal | None:
    return None if value is None else plain(value)
